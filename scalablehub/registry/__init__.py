"""Container images in their registries: whether one is there, for which machines, how large, and its digest.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from scalablehub.registry.client import Credential, FoundImage, Registries, read_docker_config
from scalablehub.registry.finding import ImageFinder
from scalablehub.registry.reference import ImageReference, parse_reference

__all__ = [
    "Credential",
    "FoundImage",
    "ImageFinder",
    "ImageReference",
    "Registries",
    "parse_reference",
    "read_docker_config",
]
