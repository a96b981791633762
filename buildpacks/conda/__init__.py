"""environment.yml."""
