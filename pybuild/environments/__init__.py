"""Environments as Azure ML's SDK has them: what Python packages, base image and variables an image is to have, as an object.

The way in is `environment.Environment`; what it says is a `definition.Definition`, which becomes a build context.
"""
