from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalablehub.spawner.cgroups import Cgroups, find_cgroups, join


def own_group(root: Path) -> Path:
    """Return this process's group below a root, as the kernel says it."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    return root / own.lstrip("/")


def version_1(root: Path) -> None:
    for controller in ("memory", "cpu"):
        (root / controller).mkdir()
        (root / controller / "cgroup.procs").touch()


def version_2(root: Path, controllers: str) -> None:
    own = own_group(root)
    own.mkdir(parents=True, exist_ok=True)
    (own / "cgroup.procs").touch()
    (own / "cgroup.subtree_control").write_text(controllers)


def test_version_1_is_found_below_the_root(tmp_path: Path) -> None:
    version_1(tmp_path)
    assert find_cgroups(tmp_path) == Cgroups(tmp_path / "memory", tmp_path / "cpu", version=1)


def test_version_2_is_found_below_our_own_group(tmp_path: Path) -> None:
    version_2(tmp_path, "cpuset cpu io memory pids\n")
    own = own_group(tmp_path)
    assert find_cgroups(tmp_path) == Cgroups(own, own, version=2)


@pytest.mark.parametrize("controllers", ["", "memory", "cpu", "cpuset pids", "memory_recursiveprot cpu"])
def test_version_2_without_both_controllers_is_none(tmp_path: Path, controllers: str) -> None:
    version_2(tmp_path, controllers)
    assert find_cgroups(tmp_path) is None


def test_a_machine_without_control_groups_has_none(tmp_path: Path) -> None:
    assert find_cgroups(tmp_path) is None
    assert find_cgroups(tmp_path / "absent") is None


def test_version_1_with_one_controller_only_is_none(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "cgroup.procs").touch()
    assert find_cgroups(tmp_path) is None


@pytest.mark.parametrize(
    ("cores", "shares"), [(2, "2048"), (0.5, "512"), (0.0001, "2")], ids=["two", "half", "hardly any"]
)
def test_version_1_gets_memory_as_a_limit_and_cores_as_shares(
    tmp_path: Path, cores: float, shares: str
) -> None:
    groups = Cgroups(tmp_path / "memory", tmp_path / "cpu", version=1)
    folders = groups.create("hub-alice", cores=cores, memory=2**30)
    assert folders == [tmp_path / "memory" / "hub-alice", tmp_path / "cpu" / "hub-alice"]
    assert (folders[0] / "memory.limit_in_bytes").read_text() == str(2**30)
    assert (folders[1] / "cpu.shares").read_text() == shares


@pytest.mark.parametrize(
    ("cores", "weight"),
    [(1, "100"), (2.5, "250"), (0.0001, "1"), (500, "10000")],
    ids=["one", "some", "hardly any", "very many"],
)
def test_version_2_gets_memory_as_a_limit_and_cores_as_a_weight(
    tmp_path: Path, cores: float, weight: str
) -> None:
    (folder,) = Cgroups(tmp_path, tmp_path, version=2).create("hub-alice", cores=cores, memory=2**30)
    assert (folder / "memory.max").read_text() == str(2**30)
    assert (folder / "cpu.weight").read_text() == weight


def test_a_group_that_is_there_already_gets_the_new_limits(tmp_path: Path) -> None:
    groups = Cgroups(tmp_path, tmp_path, version=2)
    groups.create("hub-alice", cores=1, memory=2**30)
    (folder,) = groups.create("hub-alice", cores=1, memory=2**31)
    assert (folder / "memory.max").read_text() == str(2**31)


def test_a_process_joins_every_folder_of_its_group(tmp_path: Path) -> None:
    folders = [tmp_path / "memory", tmp_path / "cpu"]
    for folder in folders:
        folder.mkdir()
    join(folders)
    assert [(folder / "cgroup.procs").read_text() for folder in folders] == [str(os.getpid())] * 2


def test_an_empty_group_is_removed_and_one_in_use_stays(tmp_path: Path) -> None:
    groups = Cgroups(tmp_path / "memory", tmp_path / "cpu", version=1)
    (tmp_path / "memory" / "hub-alice" / "busy").mkdir(parents=True)
    (tmp_path / "cpu" / "hub-alice").mkdir(parents=True)
    groups.remove("hub-alice")
    assert (tmp_path / "memory" / "hub-alice").exists()
    assert not (tmp_path / "cpu" / "hub-alice").exists()


def test_a_group_that_is_not_there_is_removed_without_a_word(tmp_path: Path) -> None:
    Cgroups(tmp_path, tmp_path, version=2).remove("hub-nobody")
