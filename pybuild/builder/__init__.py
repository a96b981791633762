"""The builder: bases, interpreters, buildpacks."""
