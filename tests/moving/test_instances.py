from __future__ import annotations

import pytest

from scalablehub.moving.instances import machine_of


@pytest.mark.parametrize(
    ("name", "cores", "gib"),
    [
        ("r5.xlarge", 4, 32),
        ("m6i.large", 2, 8),
        ("c5.9xlarge", 36, 72),
        ("n2-highmem-16", 16, 128),
        ("e2-standard-8", 8, 32),
        ("Standard_E16s_v5", 16, 128),
        ("Standard_D4_v3", 4, 16),
    ],
)
def test_a_name_says_what_a_machine_has(name: str, cores: int, gib: int) -> None:
    assert machine_of({"node.kubernetes.io/instance-type": name}) == (cores, gib * 2**30)


@pytest.mark.parametrize(
    "name",
    ["g4dn.xlarge", "r4.large", "m5.2large", "m5.metal", "n1-standard-4", "Standard_E64s_v4", "pool-1", ""],
)
def test_a_name_that_does_not_say_it_is_not_guessed(name: str) -> None:
    assert machine_of({"node.kubernetes.io/instance-type": name}) is None
