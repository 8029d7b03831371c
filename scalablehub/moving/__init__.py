"""Moving in: from the values of a hub that runs to a description, and what changes for its people.

Everything here but `pods` is pure: values as plain dicts and lists in, models and plain dicts out.
"""

from scalablehub.moving.describing import Moved, describe
from scalablehub.moving.losses import Uncarried
from scalablehub.moving.profiles import Layer, Profile, Way, read_profiles, ways_of
from scalablehub.moving.values import OldHub, locate
from scalablehub.moving.writing import as_yaml

__all__ = [
    "Layer",
    "Moved",
    "OldHub",
    "Profile",
    "Uncarried",
    "Way",
    "as_yaml",
    "describe",
    "locate",
    "read_profiles",
    "ways_of",
]
