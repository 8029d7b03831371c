"""The images of the Kubernetes tests: built here, loaded into containerd.

`build("user")` returns an archive and the name under which pods use it. `python -m tests.kubernetes.images`
builds them all.
"""

from tests.kubernetes.images.building import ImageTar, build

__all__ = ["ImageTar", "build"]
