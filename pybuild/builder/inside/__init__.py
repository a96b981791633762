"""Programs that run in the sandbox while a builder is made, by the Python that is found there: standard library only."""
