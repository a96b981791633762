"""The builder: the environment that builds run in, and the base of the images that they make."""

from pybuild.builder.create import ensure_builder
from pybuild.builder.definition import Definition, default_definition_path, read_definition
from pybuild.builder.inspect import describe_builder, render_description
from pybuild.builder.value import Builder, Interpreter

__all__ = [
    "Builder",
    "Definition",
    "Interpreter",
    "default_definition_path",
    "describe_builder",
    "ensure_builder",
    "read_definition",
    "render_description",
]
