"""The buildpack contract: its files as values, its environment rules, and the kit a Python buildpack is written with."""
