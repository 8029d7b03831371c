"""What the lock files and the Dockerfiles promise, without building anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kubernetes.images.building import BASES, IMAGES

LOCKS = sorted([*IMAGES.rglob("requirements*.txt"), *BASES.rglob("requirements*.txt")])
PINS = dict(
    line.split("==")
    for line in (IMAGES / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def pinned(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package in a lock file; some depend on the Python."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9-]+)(?:\[[a-z,]*\])?==([^ ]+)", lock.read_text(), re.MULTILINE
    ):
        versions.setdefault(name, set()).add(version)
    return versions


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def test_there_is_a_lock_for_each_image_that_adds_packages() -> None:
    assert [name(lock) for lock in LOCKS] == [
        "gateway/requirements.txt",
        "hub/requirements.txt",
        "user/requirements.txt",
        "gateway/requirements.txt",
        "hub/requirements-jupyterhub-6.txt",
        "hub/requirements.txt",
        "notebook/requirements.txt",
    ]


@pytest.mark.parametrize("lock", LOCKS, ids=name)
def test_every_package_has_hashes_and_none_has_an_address(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in lock.read_text()


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if "-6" not in lock.name], ids=name)
def test_versions_in_common_are_the_same_everywhere(lock: Path) -> None:
    versions = pinned(lock)
    assert {package: versions[package] for package in PINS if package in versions} == {
        package: {pin} for package, pin in PINS.items() if package in versions
    }


def test_next_hub_differs_only_in_its_version() -> None:
    assert {
        version.split(".")[0]
        for version in pinned(BASES / "hub" / "requirements-jupyterhub-6.txt")["jupyterhub"]
    } == {"6"}


@pytest.mark.parametrize(
    ("image", "base"),
    [
        ("hub", r"quay\.io/jupyterhub/k8s-hub:4\.4\.2@sha256:[0-9a-f]{64}"),
        ("user", r"quay\.io/pangeo/pangeo-notebook:2026\.06\.04"),
        ("gateway", r"ghcr\.io/dask/dask-gateway-server:" + re.escape(PINS["dask-gateway-server"])),
    ],
)
def test_base_is_one_public_image_by_its_exact_name(image: str, base: str) -> None:
    text = (IMAGES / image / "Dockerfile").read_text()
    assert re.findall(r"^ARG BASE=(.*)$", text, re.MULTILINE) == re.findall(
        f"^ARG BASE=({base})$", text, re.MULTILINE
    )
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["${BASE}"]


@pytest.mark.parametrize("image", ["hub", "user", "gateway"])
def test_last_user_is_not_root(image: str) -> None:
    users = re.findall(r"^USER (.*)$", (IMAGES / image / "Dockerfile").read_text(), re.MULTILINE)
    assert users == ["root", "1000"]


def test_jupyterlab_is_set_alike_in_the_image_and_on_one_machine() -> None:
    local = IMAGES.parent / "scalablehub/local/labconfig/labconfig/default_setting_overrides.json"
    assert (IMAGES / "user/lab-settings.json").read_text() == local.read_text()
