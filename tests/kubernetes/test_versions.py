"""The record of the Debian packages that were tested, and what is said of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubernetes.cluster import packages, versions
from tests.kubernetes.images.building import BASE_OF, DEBIAN_PACKAGES, section

TESTED = {"containerd": "1.6.20~ds1-1+deb12u3", "buildah": "1:1.28", "runc": "1.1.5"}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "debian.lock"
    versions.write("bookworm machine", TESTED, path)
    return path


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (TESTED, []),
        ({}, []),
        (TESTED | {"runc": "1.1.6"}, ["runc 1.1.6 (tested: 1.1.5)"]),
        (TESTED | {"etcd": "3.4"}, ["etcd 3.4 (tested: never)"]),
    ],
    ids=["the same", "none", "another version", "another package"],
)
def test_differences(found: dict[str, str], told: list[str], record: Path) -> None:
    assert versions.differences("bookworm machine", found, record) == told


def test_a_release_that_was_never_tested_is_told_once(record: Path) -> None:
    assert versions.differences("trixie machine", TESTED, record) == [
        "Debian's packages were never tested as trixie machine"
    ]


def test_a_section_is_written_anew_and_the_others_stay(record: Path) -> None:
    versions.write("trixie user image", {"tini": "0.19"}, record)
    versions.write("bookworm machine", {"runc": "1.1.6"}, record)
    assert versions.recorded("bookworm machine", record) == {"runc": "1.1.6"}
    assert versions.recorded("trixie user image", record) == {"tini": "0.19"}


def test_what_is_installed_is_asked_of_dpkg(tmp_path: Path) -> None:
    folder = tmp_path / "var/lib/dpkg"
    (folder / "info").mkdir(parents=True)
    (folder / "status").write_text(
        "Package: tini\nStatus: install ok installed\nVersion: 0.19.0-1\nArchitecture: amd64\n"
        "Maintainer: nobody\nDescription: init\n\n"
        "Package: nodejs\nStatus: deinstall ok config-files\nVersion: 20\nArchitecture: amd64\n"
        "Maintainer: nobody\nDescription: js\n"
    )
    assert versions.installed(["tini", "nodejs", "python3"], tmp_path) == {"tini": "0.19.0-1"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", ""),
        (None, ""),
    ],
    ids=["Debian", "another", "none"],
)
def test_release(text: str | None, name: str, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    if text is not None:
        (tmp_path / "etc/os-release").write_text(text)
    assert versions.release(tmp_path) == name


def test_the_record_has_what_the_cluster_and_the_images_are_made_with() -> None:
    assert set(versions.recorded("bookworm machine")) == set(packages.CLUSTER | packages.IMAGES)
    for name in BASE_OF:
        found = set(versions.recorded(section(name, "trixie")))
        assert {"ca-certificates", "python3", "tini"} <= found <= set(DEBIAN_PACKAGES), name
