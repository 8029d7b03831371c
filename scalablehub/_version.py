"""The version of scalablehub."""

__version__ = "0.1.0.dev0"
