"""scalablehub turns a JupyterHub into a scalable research hub."""

from scalablehub._version import __version__

__all__ = ["__version__"]
