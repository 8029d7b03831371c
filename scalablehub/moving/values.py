"""Values files as they are in the world: zero-to-jupyterhub's own, or below the name of another chart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scalablehub.errors import PublicError, shown
from scalablehub.moving.losses import below

_DEEPEST = 60
_MOST = 200_000
_LEVELS = 3
_GATEWAY = "dask-gateway"


@dataclass(frozen=True)
class OldHub:
    """The parts of values that a description is made from.

    Attributes:
        values: those of zero-to-jupyterhub.
        alias: the keys that they stand below, such as ``("basehub", "jupyterhub")``.
        gateway: values of dask-gateway's chart; None is a hub without it.
        gateway_place: where they stand.
    """

    values: Mapping[str, Any]
    alias: tuple[str, ...] = ()
    gateway: Mapping[str, Any] | None = None
    gateway_place: str = _GATEWAY

    @property
    def place(self) -> str:
        """How the values of zero-to-jupyterhub are called in the file; empty where they are all of it."""
        found = ""
        for key in self.alias:
            found = below(found, key)
        return found

    def at(self, *keys: str) -> Any:
        """Return what stands below keys of zero-to-jupyterhub's values, or None."""
        return at(self.values, *keys)

    def where(self, *keys: object) -> str:
        """Return the place of keys of zero-to-jupyterhub's values."""
        found = self.place
        for key in keys:
            found = below(found, key)
        return found


def at(values: Any, *keys: str) -> Any:
    """Return what stands below keys, or None."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a value if it is a mapping, with those of its keys that are text; else an empty one."""
    if not isinstance(value, Mapping):
        return {}
    return {key: inner for key, inner in value.items() if isinstance(key, str)}


def locate(values: Any, alias: str | None = None) -> OldHub:
    """Return the parts of values files that have been put over each other.

    Args:
        values: as YAML has them.
        alias: the name that the chart has in another one, such as ``basehub.jupyterhub``. Default: it is
            looked for.

    Raises:
        PublicError: there are no values of zero-to-jupyterhub, or there are two, or they are not to be read.
    """
    refuse_endless(values)
    if alias is not None:
        keys = tuple(alias.split("."))
        found = at(values, *keys)
        if not isinstance(found, Mapping):
            raise PublicError(
                "no-values", f"There is no section {shown(alias)} in the values; name another --chart-alias."
            )
        return _hub(values, keys)
    places: list[tuple[str, ...]] = [()] if _is_hub(values) else []
    level: list[tuple[tuple[str, ...], Any]] = [((), values)]
    for _ in range(_LEVELS):
        if places:
            break
        level = [
            ((*keys, key), inner)
            for keys, value in level
            for key, inner in mapping(value).items()
            if isinstance(inner, Mapping)
        ]
        places = [keys for keys, value in level if _is_hub(value)]
    if not places:
        raise PublicError(
            "no-values",
            "There is neither 'singleuser' nor 'hub' in the values, so nothing says that they are those of "
            "zero-to-jupyterhub; give its values files, or the name that its chart has with --chart-alias.",
        )
    if len(places) > 1:
        names = " and ".join(".".join(keys) for keys in places[:3])
        raise PublicError("two-hubs", f"There is more than one hub in the values; name one: {names}.")
    return _hub(values, places[0])


def refuse_endless(values: Any) -> None:
    """Refuse what is too deep or too much, such as YAML that contains itself.

    Raises:
        PublicError: it is.
    """
    level, count = [values], 0
    for _ in range(_DEEPEST):
        level = [inner for value in level for inner in _inside(value)]
        count += len(level)
        if count > _MOST:
            break
        if not level:
            return
    raise PublicError(
        "too-much", "The values are too large or nested too deeply to be read; remove what refers to itself."
    )


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value


def _is_hub(values: Any) -> bool:
    # Both are sections of the chart; a description of ours is one of neither.
    return any(isinstance(at(values, key), Mapping) for key in ("singleuser", "hub"))


def _hub(values: Any, keys: tuple[str, ...]) -> OldHub:
    gateway, place = _gateway(values, keys)
    return OldHub(mapping(at(values, *keys)), keys, gateway, place)


def _gateway(values: Any, keys: tuple[str, ...]) -> tuple[Mapping[str, Any] | None, str]:
    """Return dask-gateway's values and their place: beside the hub's, or of its own chart in these files."""
    for length in range(max(len(keys) - 1, 0), -1, -1):
        place = (*keys[:length], _GATEWAY)
        found = at(values, *place)
        if isinstance(found, Mapping):
            return (None if found.get("enabled") is False else mapping(found)), ".".join(place)
    if not keys and isinstance(at(values, "gateway"), Mapping):
        return {"gateway": at(values, "gateway")}, ""
    # The chart of that name has dask-gateway without being asked.
    return ({} if "daskhub" in keys else None), _GATEWAY
