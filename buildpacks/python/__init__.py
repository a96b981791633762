"""The interpreter layer."""
