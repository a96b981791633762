"""Entries of the build plan: part of the public interface of the buildpacks that install Python packages."""

SITE_PACKAGES = "site-packages"
"""What they give to others: packages on Python's path."""
