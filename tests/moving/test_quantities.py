from __future__ import annotations

from typing import Any

import pytest
from jupyterhub.traitlets import ByteSpecification
from traitlets import HasTraits

from scalablehub.description.units import parse_bytes
from scalablehub.moving.quantities import cores, kubernetes_bytes, spawner_bytes, whole, written


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("8G", 8 * 1024**3),
        ("3.5G", 3584 * 1024**2),
        ("512M", 512 * 1024**2),
        ("1T", 1024**4),
        ("160 G", 160 * 1024**3),
        (4294967296, 4294967296),
        (1e9, 10**9),
    ],
)
def test_amounts_are_read_as_kubespawner_reads_them(value: Any, number: int) -> None:
    class Spawner(HasTraits):
        memory = ByteSpecification()

    assert spawner_bytes(value) == number == Spawner(memory=value).memory


@pytest.mark.parametrize(
    ("value", "number"), [("8Gi", 8 * 1024**3), ("8GB", None), ("G", None), ("-1G", None), (True, None)]
)
def test_what_kubespawner_refuses_is_read_only_if_it_can_mean_one_thing(
    value: Any, number: int | None
) -> None:
    assert spawner_bytes(value) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("8G", 8 * 1000**3),
        ("8Gi", 8 * 1024**3),
        ("1.5Gi", 1536 * 1024**2),
        ("100k", 100_000),
        ("100K", None),
        ("8GiB", None),
        (float("nan"), None),
        (float("inf"), None),
    ],
)
def test_the_letters_of_kubernetes_are_powers_of_1000_and_with_an_i_of_1024(
    value: Any, number: int | None
) -> None:
    assert kubernetes_bytes(value) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [(2, 2), (0.5, 0.5), ("500m", 0.5), ("2", 2), (0.46875, 0.469), (0, None), ("two", None), (None, None)],
)
def test_cores_are_numbers_or_thousandths(value: Any, number: float | None) -> None:
    assert cores(value) == number


@pytest.mark.parametrize(("value", "number"), [("1", 1), (2, 2), (0.5, None), ("one", None), (False, None)])
def test_things_are_counted_in_whole_numbers(value: Any, number: int | None) -> None:
    assert whole(value) == number


@pytest.mark.parametrize(
    ("number", "text"), [(8 * 2**30, "8G"), (3584 * 2**20, "3584M"), (1024, "1K"), (3982489550, 3982489550)]
)
def test_bytes_are_written_exactly(number: int, text: str | int) -> None:
    assert written(number) == text
    assert parse_bytes(text) == number
