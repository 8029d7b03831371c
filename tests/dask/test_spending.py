from __future__ import annotations

import pytest

from scalablehub.dask.spending import Spent


def test_time_of_granted_workers_adds_up() -> None:
    spent = Spent(0, 1000).at(1100, 0).at(1160, 2).at(1220, 1)
    assert spent == Spent(180, 1220)


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    assert Spent(50, 1000).at(900, 4) == Spent(50, 1000)


def test_it_is_kept_as_text() -> None:
    assert Spent.read(str(Spent(180, 1220)), began=7) == Spent(180, 1220)


@pytest.mark.parametrize("text", [None, "", "x", "1", "1 until", "1 until x", "until 5"])
def test_what_is_no_such_text_is_nothing_spent_since_it_began(text: str | None) -> None:
    assert Spent.read(text, began=7) == Spent(0, 7)
