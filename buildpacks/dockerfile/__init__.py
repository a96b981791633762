"""The buildpack for the Dockerfile of a repository."""
