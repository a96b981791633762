"""requirements.txt."""
