from __future__ import annotations

import stat
from pathlib import Path

import pytest

from scalablehub.local.plan import VARIABLE, Plan, read_plan
from tests.local.plans import planned


def written_to(folder: Path) -> Plan:
    plan = planned(folder / "data")
    plan.layout.create()
    plan.write()
    return plan


def test_plan_that_is_read_is_the_one_that_was_written(tmp_path: Path) -> None:
    plan = written_to(tmp_path)
    assert read_plan(plan.layout.plan) == plan


def test_plan_is_found_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = written_to(tmp_path)
    monkeypatch.setenv(VARIABLE, str(plan.layout.plan))
    assert read_plan() == plan


def test_plan_is_for_its_owner_only(tmp_path: Path) -> None:
    plan = written_to(tmp_path)
    assert stat.S_IMODE(plan.layout.plan.stat().st_mode) == 0o600


def test_plan_without_a_place_in_the_environment_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(KeyError):
        read_plan()


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("url", "http://127.0.0.1:8000/"),
        ("service_address", "http://127.0.0.1:8000/services/dask-gateway"),
        ("gateway_url", "http://127.0.0.1:8004"),
        ("scheduler_address", "gateway://127.0.0.1:8005"),
        ("store_url", "http://127.0.0.1:8006"),
    ],
)
def test_address_is_on_loopback_with_its_port(tmp_path: Path, name: str, address: str) -> None:
    assert getattr(planned(tmp_path), name) == address


def test_bucket_keys_are_for_the_store_of_this_machine_alone(tmp_path: Path) -> None:
    assert planned(tmp_path).bucket_keys == {
        "http://127.0.0.1:8006": {"access_key": "the-access-key", "secret_key": "the-secret-key"}
    }
