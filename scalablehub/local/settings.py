"""What `scalablehub up` reads: a YAML file with the hub's description and who may sign in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field

from scalablehub.description import Description, DescriptionError, Problem, check_complete, load_description
from scalablehub.description.entry import THIS_MACHINE
from scalablehub.description.loading import validate
from scalablehub.description.section import Section
from scalablehub.description.units import Seconds
from scalablehub.errors import PublicError
from scalablehub.yaml_files import read_yaml

DEFAULT_FILE = Path(__file__).with_name("hub.yaml")


def _user_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@+-]{0,62}", value):
        raise ValueError("is not a user name; use small letters, digits and '._@+-', at most 63")
    return value


UserName = Annotated[str, AfterValidator(_user_name)]


class LocalUser(Section):
    """Somebody who can sign in."""

    groups: tuple[str, ...] = Field((), description="Names of the hub's groups that they are in.")
    admin: bool = Field(False, description="Whether they may administer the hub.")


class LocalHub(Section):
    """What only a hub on one machine needs."""

    users: dict[UserName, LocalUser] = Field(min_length=1, description="Who can sign in, by name.")
    sample_data: str | None = Field(None, description="Name of the bucket for the sample data.")
    cull_after: Seconds = Field(3600, description="Servers idle for this long are stopped; 0 is never.")


class Settings(NamedTuple):
    """A hub on one machine, as its admin wrote it."""

    description: Description
    local: LocalHub


def load_settings(path: Path) -> Settings:
    """Return the settings in a YAML file.

    Raises:
        PublicError: the file cannot be read, or is not YAML.
        DescriptionError: something in it cannot be used; every place is named.
    """
    raw = _read(path)
    unknown = [key for key in raw if key not in ("ScalableHub", "LocalHub")]
    if unknown:
        raise DescriptionError(
            Problem(str(key), "unknown section; known: ScalableHub, LocalHub") for key in unknown
        )
    description = load_description(raw.get("ScalableHub") or {})
    local = validate(LocalHub, raw.get("LocalHub") or {}, "LocalHub")
    missing = [Problem(f"ScalableHub.{where}", sentence) for where, sentence in check_complete(description)]
    if problems := [*missing, *_unfit(description, local)]:
        raise DescriptionError(problems)
    return Settings(description, local)


def _unfit(description: Description, local: LocalHub) -> list[Problem]:
    problems = [
        Problem(
            f"ScalableHub.images.{name}.prefix",
            "is missing; on one machine an image is a Python environment: write its folder, "
            "or 'this-environment'",
        )
        for name, image in description.images.items()
        if image.prefix is None
    ]
    if local.sample_data is not None:
        bucket = description.buckets.get(local.sample_data)
        if bucket is None:
            known = ", ".join(description.buckets) or "none"
            problems.append(
                Problem(
                    "LocalHub.sample_data",
                    f"'{local.sample_data}' is not in ScalableHub.buckets; known: {known}",
                )
            )
        elif bucket.endpoint != THIS_MACHINE:
            problems.append(
                Problem(
                    "LocalHub.sample_data",
                    f"bucket '{local.sample_data}' is not on this machine; "
                    f"give it the endpoint '{THIS_MACHINE}'",
                )
            )
    return problems


def _read(path: Path) -> dict[str, Any]:
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise PublicError("config-empty", f"{path}: needs the sections ScalableHub and LocalHub.")
    return raw
