"""The platform: what a person, CI or a service calls."""
