"""What an admin writes: one description of the hub, validated once.

Nothing here imports JupyterHub or Kubernetes: plain functions on plain models.
"""

from scalablehub.description.buckets import Bucket, egress_warnings
from scalablehub.description.checking import check_complete, check_references
from scalablehub.description.credentials import Credentials, GoogleCredentials, S3Credentials, key_warnings
from scalablehub.description.datasets import Dataset
from scalablehub.description.entry import THIS_MACHINE
from scalablehub.description.loading import DescriptionError, Problem, canonical_json, load_description
from scalablehub.description.models import (
    OWN_IMAGE,
    Cap,
    Dask,
    Description,
    Directory,
    Image,
    Interface,
    NodePool,
    OwnImage,
    Registries,
    Size,
    Toleration,
)
from scalablehub.description.resolving import Capacity, resolve

__all__ = [
    "OWN_IMAGE",
    "THIS_MACHINE",
    "Bucket",
    "Cap",
    "Capacity",
    "Credentials",
    "Dask",
    "Dataset",
    "Description",
    "DescriptionError",
    "Directory",
    "GoogleCredentials",
    "Image",
    "Interface",
    "NodePool",
    "OwnImage",
    "Problem",
    "Registries",
    "S3Credentials",
    "Size",
    "Toleration",
    "canonical_json",
    "check_complete",
    "check_references",
    "egress_warnings",
    "key_warnings",
    "load_description",
    "resolve",
]
