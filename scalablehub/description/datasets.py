"""Data sets as an admin declares them: what is in a bucket, and with which driver of Intake it opens."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from scalablehub.description.section import Section, finite
from scalablehub.description.units import SomeBytes
from scalablehub.errors import shown

DatasetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]
# As in the URLs of buckets, with the patterns that drivers of many files take.
_PART = re.compile(r"[A-Za-z0-9_=@+.*?{}-]+")


def _path(value: str) -> str:
    parts = value.strip("/").split("/")
    if not all(_PART.fullmatch(part) and part not in {".", ".."} for part in parts):
        raise ValueError(
            f"{shown(value)} is not a path below the bucket's url; write one such as 'era5.zarr' or "
            "'obs/*.nc'"
        )
    return "/".join(parts)


class Dataset(Section):
    """A data set that people open by its name in the hub's catalogue."""

    path: Annotated[str, AfterValidator(_path)] = Field(
        description="Where it is below the bucket's url, such as 'era5.zarr'."
    )
    driver: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")] = Field(
        "zarr", description="Intake's name for how it opens, such as 'zarr', 'netcdf', 'parquet' or 'csv'."
    )
    description: str = Field("", description="One sentence about it.")
    size: SomeBytes | None = Field(None, description="How much it is, such as '2T'.")
    options: Annotated[dict[str, JsonValue], AfterValidator(finite)] = Field(
        default_factory=dict, description="More arguments of the driver, such as {consolidated: true}."
    )
