"""pyproject.toml, as Poetry reads it."""
