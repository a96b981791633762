"""The platform: what a person, CI or a service calls to turn a repository into an image."""

__version__ = "0.1.0"
