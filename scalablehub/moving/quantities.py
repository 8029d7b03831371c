"""Amounts as KubeSpawner and as Kubernetes write them; the same letter is not always the same number.

KubeSpawner's ``8G`` is 8 x 1024³ bytes (JupyterHub's ByteSpecification). Kubernetes' ``8G`` is 8 x 1000³,
and its ``8Gi`` is 8 x 1024³; that is what stands in `extra_resource_limits`.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_KUBERNETES: dict[str, int | Fraction] = {
    "m": Fraction(1, 1000),
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}
_QUANTITY = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(m|k|[MGTP]i?|Ki)?")
_SPECIFICATION = re.compile(r"\s*([0-9]{1,20}(?:\.[0-9]{1,20})?)\s*([KMGT])i?")
_MOST_BYTES = 2**60
_MOST_CORES = 100_000


def spawner_bytes(value: Any) -> int | None:
    """Return the bytes that KubeSpawner makes of a value: ``"3.5G"`` is 3.5 x 1024³; None if it is no amount.

    ``"8Gi"``, which KubeSpawner refuses, can only mean one thing and is read as that.
    """
    if isinstance(value, str):
        match = _SPECIFICATION.fullmatch(value)
        return _bounded(Fraction(match[1]) * _BINARY[match[2]]) if match else None
    number = _number(value)
    return _bounded(number) if number is not None else None


def kubernetes_bytes(value: Any) -> int | None:
    """Return the bytes of a quantity of Kubernetes: ``"8G"`` is 8 x 1000³, ``"8Gi"`` 8 x 1024³; or None."""
    quantity = _quantity(value)
    return _bounded(quantity) if quantity is not None else None


def cores(value: Any) -> int | float | None:
    """Return a number of cores, from a number or a quantity such as ``"500m"``; None if it is neither."""
    quantity = _quantity(value)
    if quantity is None or not Fraction(1, 1000) <= quantity <= _MOST_CORES:
        return None
    return int(quantity) if quantity.denominator == 1 else round(float(quantity), 3)


def whole(value: Any) -> int | None:
    """Return a whole number of things, such as GPUs, from a number or its digits; None if it is none."""
    quantity = _quantity(value)
    if quantity is None or quantity.denominator != 1 or not 0 <= quantity <= _MOST_CORES:
        return None
    return int(quantity)


def written(number: int) -> str | int:
    """Return bytes as a description has them, exactly: ``"3584M"`` for 3.5 x 1024³."""
    for letter in ("G", "M", "K"):
        if number % _BINARY[letter] == 0:
            return f"{number // _BINARY[letter]}{letter}"
    return number


def _quantity(value: Any) -> Fraction | None:
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        return Fraction(match[1]) * Fraction(_KUBERNETES[match[2] or ""]) if match else None
    return _number(value)


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    # Exactly the decimal number that stands in the file.
    return Fraction(repr(value)) if abs(value) <= _MOST_BYTES else None


def _bounded(number: Fraction) -> int | None:
    return int(number) if 1 <= number <= _MOST_BYTES else None
