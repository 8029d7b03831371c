"""What a machine type of a cloud has, where its name says it by a rule that its cloud documents."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
"""Labels of a node that name its machine type."""

_GIB = 2**30
_AMAZON = re.compile(r"(?P<family>[mrc])[5-8][a-z]{0,3}\.(?P<times>[0-9]{0,2})(?P<size>x?large)")
_GOOGLE = re.compile(r"(?:e2|n2|n2d)-(?P<family>standard|highmem|highcpu)-(?P<cores>[0-9]{1,3})")
_AZURE = re.compile(r"Standard_(?P<family>[DE])(?P<cores>[0-9]{1,2})[a-z]{0,3}_v[3-5]")
_GIB_PER_CORE = {"m": 4, "r": 8, "c": 2, "standard": 4, "highmem": 8, "highcpu": 1, "D": 4, "E": 8}
_LARGEST_AZURE = 48


class Machine(NamedTuple):
    """Cores, and bytes of memory, of one machine."""

    cores: int
    memory: int


def machine_of(selector: Mapping[str, Any]) -> Machine | None:
    """Return what a machine of the type that a selector names has; None if its name does not say it.

    Amazon's m, r and c families of the fifth generation and later, Google's e2, n2 and n2d, and Azure's D and
    E of versions 3 to 5 have a fixed amount of memory for each core.
    """
    kind = next((selector[label] for label in LABELS if isinstance(selector.get(label), str)), "")
    if match := _AMAZON.fullmatch(kind):
        if match["size"] == "large":
            number = 2 if not match["times"] else 0
        else:
            number = 4 * int(match["times"] or 1)
    elif match := (_GOOGLE.fullmatch(kind) or _AZURE.fullmatch(kind)):
        number = int(match["cores"])
        # Azure's largest have less for each core.
        number = 0 if match.re is _AZURE and number > _LARGEST_AZURE else number
    else:
        return None
    return Machine(number, number * _GIB_PER_CORE[match["family"]] * _GIB) if number else None
