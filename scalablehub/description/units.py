"""Units as an admin writes them: ``16G`` of memory, ``0.5`` cores, ``30m``, a quarter of a node.

Each parser returns the plain number or raises ValueError with the remedy in its words.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from scalablehub.errors import shown

_BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def _number_and_unit(value: Any) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _NUMBER_AND_UNIT.fullmatch(str(value).strip())
    return (match[1], match[2]) if match else None


def parse_bytes(value: Any) -> int:
    """Return a number of bytes from ``"16G"``, ``"512M"``, ``"1.5T"`` or an integer of bytes.

    The letters are powers of 1024, as in KubeSpawner; ``Gi`` and ``GiB`` mean the same.

    Raises:
        ValueError: the value is not a size.
    """
    parts = _number_and_unit(value)
    number, unit = parts or ("", "?")
    letter = re.sub(r"(?<=[A-Za-z])i?B?$|^B$", "", unit).upper()
    if parts is None or letter not in _BYTES:
        example = f"{number}G" if number else "16G"
        raise ValueError(f"{shown(value)} is not a size; write {example!r}")
    return int(Fraction(number) * _BYTES[letter])


def parse_seconds(value: Any) -> int:
    """Return seconds from ``"30m"``, ``"2h"``, ``"7d"``, ``"90s"`` or an integer of seconds.

    Raises:
        ValueError: the value is not a duration.
    """
    parts = _number_and_unit(value)
    number, unit = parts or ("", "?")
    if parts is None or unit not in _SECONDS:
        example = f"{number}m" if number else "30m"
        raise ValueError(f"{shown(value)} is not a duration; write {example!r}")
    return int(Fraction(number) * _SECONDS[unit])


def parse_cores(value: Any) -> float:
    """Return a number of cores from ``2``, ``0.5`` or ``"500m"`` (thousandths of a core).

    Raises:
        ValueError: the value is not a number of cores.
    """
    parts = _number_and_unit(value)
    number, unit = parts or ("", "?")
    if parts is None or unit not in {"", "m"}:
        raise ValueError(f"{shown(value)} is not a number of cores; write 2 or 0.5")
    return float(number) / 1000 if unit == "m" else float(number)


def parse_share(value: Any) -> str:
    """Return a share of a node in lowest terms, such as ``"1/4"``, from ``"1/4"``, ``"2/8"`` or ``1``.

    Raises:
        ValueError: the value is not more than 0 and at most 1.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError
        share = Fraction(value)
        if not 0 < share <= 1:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f"{shown(value)} is not a share of a node; write '1/2', '1/4' or 1 for a whole node"
        ) from None
    return str(share)


def format_bytes(number: int) -> str:
    """Return bytes for people: ``"16 GB"``, ``"512 MB"`` (powers of 1024, at most one decimal)."""
    for letter in ("T", "G", "M", "K"):
        if number >= _BYTES[letter]:
            return f"{_trimmed(number / _BYTES[letter])} {letter}B"
    return f"{number} bytes"


def format_seconds(seconds: float) -> str:
    """Return seconds for people in the largest whole unit: ``"5 minutes"``, ``"90 seconds"``."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= unit and seconds % unit == 0:
            count = int(seconds // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    count = round(seconds)
    return f"{count} {'second' if count == 1 else 'seconds'}"


def format_cores(cores: float) -> str:
    """Return cores for people: ``"1 core"``, ``"2 cores"``, ``"0.5 cores"``."""
    number = _trimmed(cores, 2)
    return f"{number} {'core' if number == '1' else 'cores'}"


def _trimmed(number: float, decimals: int = 1) -> str:
    return f"{number:.{decimals}f}".rstrip("0").rstrip(".")


def _more_than_nothing(number: float) -> float:
    # Thousandths are what Kubernetes counts cores in; less memory than a byte is none.
    if number < 0.001:
        raise ValueError("is nothing; write how much of it there is, or leave it out")
    return number


Bytes = Annotated[int, BeforeValidator(parse_bytes)]
Seconds = Annotated[int, BeforeValidator(parse_seconds)]
Cores = Annotated[float, BeforeValidator(parse_cores)]
SomeBytes = Annotated[Bytes, AfterValidator(_more_than_nothing)]
SomeCores = Annotated[Cores, AfterValidator(_more_than_nothing)]
Share = Annotated[str, BeforeValidator(parse_share)]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]
