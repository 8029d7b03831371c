from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalablehub.local import sample_data
from scalablehub.local.sample_data import globe_land_mask, prepare_sample_data

ROWS, COLUMNS, CHUNK = 18, 36, 4


@pytest.fixture
def ocean() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random((ROWS, COLUMNS)) < 0.7


@pytest.fixture
def source(tmp_path: Path, ocean: np.ndarray[Any, Any]) -> Path:
    path = tmp_path / "mask.npz"
    np.savez_compressed(path, mask=ocean)
    return path


def prepare(folder: Path, source: Path) -> list[str]:
    said: list[str] = []
    prepare_sample_data(folder, said.append, source=source, chunk=CHUNK)
    return said


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    prepare(tmp_path / "shared", source)
    return tmp_path / "shared"


def test_store_holds_the_land(folder: Path, ocean: np.ndarray[Any, Any]) -> None:
    import xarray as xr

    with xr.open_zarr(folder / "globe-land-mask.zarr") as dataset:
        assert np.array_equal(dataset.land, ~ocean)


def test_coordinates_are_the_centres_of_the_cells(folder: Path) -> None:
    import xarray as xr

    with xr.open_zarr(folder / "globe-land-mask.zarr") as dataset:
        ends = [float(dataset[name][index]) for name in ("lat", "lon") for index in (0, -1)]
    assert ends == [85, -85, -175, 175]


def test_the_store_opens_lazily_in_its_chunks(folder: Path) -> None:
    import xarray as xr

    with xr.open_zarr(folder / "globe-land-mask.zarr") as dataset:
        assert dataset.land.data.chunksize == (CHUNK, CHUNK)


def test_store_is_zarr_version_3(folder: Path) -> None:
    import zarr

    assert zarr.open_group(folder / "globe-land-mask.zarr", mode="r").metadata.zarr_format == 3


def test_folder_holds_nothing_but_the_data(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["globe-land-mask.zarr"]


def test_complete_data_is_left_alone(folder: Path, source: Path) -> None:
    source.unlink()
    assert prepare(folder, source) == []


def test_crash_leaves_no_store(tmp_path: Path, source: Path) -> None:
    def crash(said: str) -> None:
        if said.endswith("44%"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_sample_data(tmp_path / "shared", crash, source=source, chunk=CHUNK)
    assert not (tmp_path / "shared" / "globe-land-mask.zarr").exists()


def test_crash_is_repaired_by_the_next_run(tmp_path: Path, source: Path, ocean: np.ndarray[Any, Any]) -> None:
    partial = tmp_path / "shared" / ".globe-land-mask.zarr.partial"
    partial.mkdir(parents=True)
    (partial / "zarr.json").write_text("half of it")
    prepare(tmp_path / "shared", source)
    test_store_holds_the_land(tmp_path / "shared", ocean)
    test_folder_holds_nothing_but_the_data(tmp_path / "shared")


def test_mask_that_ends_early_is_refused(tmp_path: Path, source: Path) -> None:
    import io
    import zipfile

    content = io.BytesIO()
    np.save(content, np.ones((ROWS, COLUMNS), dtype=bool))
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("mask.npy", content.getvalue()[:-1])
    with pytest.raises(ValueError, match="ends early"):
        prepare(tmp_path / "shared", source)


def test_mask_of_another_kind_is_refused(tmp_path: Path, source: Path) -> None:
    np.savez_compressed(source, mask=np.ones((ROWS, COLUMNS)))
    with pytest.raises(ValueError, match="not a boolean array"):
        prepare(tmp_path / "shared", source)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(sample_data.PublicError) as error:
        globe_land_mask()
    assert error.value.code == "sample-data-missing"


def test_real_data_covers_the_earth(tmp_path: Path) -> None:
    # 6 s on a free machine: it is what a new hub does.
    import xarray as xr

    prepare_sample_data(tmp_path, lambda said: None)
    with xr.open_zarr(tmp_path / "globe-land-mask.zarr") as dataset:
        fraction = dataset.land.mean("lon").weighted(np.cos(np.deg2rad(dataset.lat))).mean()
        assert dataset.land.shape == (21_600, 43_200)
        assert float(fraction.compute(scheduler="single-threaded")) == pytest.approx(0.289, abs=5e-4)
