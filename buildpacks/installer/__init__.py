"""The installer: requirement lines are read, resolved to a lock, and installed into an environment, by uv or pip.

A library that the buildpacks share which install Python packages; no buildpack itself.
"""
