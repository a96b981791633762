"""The buildpacks, one folder each."""
