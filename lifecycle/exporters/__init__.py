"""Sinks for a finished image."""
