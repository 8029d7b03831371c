from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalablehub.description.units import (
    format_bytes,
    format_cores,
    parse_bytes,
    parse_cores,
    parse_seconds,
    parse_share,
)

NOT_NUMBERS: list[Any] = [
    "", " ", "G", "-1G", "+1G", "1,5G", "1e3", "1.G", ".5G", "0x10", "1 2G", "1G\n2G", "16G;", "{{ 7 * 7 }}",
    None, True, False, [], ["16G"], {}, {"memory": "16G"}, -1, -0.5, float("inf"), float("nan"), b"16G",
]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("16G", 16 * 2**30),
        ("16g", 16 * 2**30),
        ("16 G", 16 * 2**30),
        (" 16G ", 16 * 2**30),
        ("16Gi", 16 * 2**30),
        ("16GB", 16 * 2**30),
        ("16GiB", 16 * 2**30),
        ("512M", 512 * 2**20),
        ("1.5T", 3 * 2**39),
        ("4K", 4096),
        ("10B", 10),
        ("0.1G", 107374182),
        ("1024", 1024),
        (1024, 1024),
        (0, 0),
    ],
)
def test_bytes_that_an_admin_writes_are_understood(written: object, expected: int) -> None:
    assert parse_bytes(written) == expected


@pytest.mark.parametrize("written", [*NOT_NUMBERS, "5i", "5iB", "32X", "1P", "16GG", "16iG"], ids=repr)
def test_bytes_of_another_form_are_refused_with_the_remedy(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write '\d+(\.\d+)?G'"):
        parse_bytes(written)


def test_bytes_with_a_wrong_unit_keep_their_number_in_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"^'32X' is not a size; write '32G'$"):
        parse_bytes("32X")


@pytest.mark.parametrize(
    ("written", "expected"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604800), ("1.5h", 5400), ("45", 45), (45, 45), (0, 0)],
)
def test_durations_that_an_admin_writes_are_understood(written: object, expected: int) -> None:
    assert parse_seconds(written) == expected


@pytest.mark.parametrize("written", [*NOT_NUMBERS, "30M", "1w", "1h30m", "5min"], ids=repr)
def test_durations_of_another_form_are_refused_with_the_remedy(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write '\d+(\.\d+)?m'"):
        parse_seconds(written)


@pytest.mark.parametrize(
    ("written", "expected"), [(2, 2.0), ("2", 2.0), (0.5, 0.5), ("0.5", 0.5), ("500m", 0.5), ("1500 m", 1.5)]
)
def test_cores_that_an_admin_writes_are_understood(written: object, expected: float) -> None:
    assert parse_cores(written) == expected


@pytest.mark.parametrize("written", [*NOT_NUMBERS, "500M", "2 cores", "2G", "1/2"], ids=repr)
def test_cores_of_another_form_are_refused_with_the_remedy(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a number of cores; write 2 or 0\.5"):
        parse_cores(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1/4", "1/4"), ("2/8", "1/4"), (" 1/4 ", "1/4"), ("0.25", "1/4"), ("3/4", "3/4"), (1, "1"), ("1", "1")],
)
def test_shares_are_kept_in_lowest_terms(written: object, expected: str) -> None:
    assert parse_share(written) == expected


@pytest.mark.parametrize(
    "written",
    ["0", 0, "-1/4", "5/4", 2, "1/0", "0/0", "a quarter", "", "25%", 0.25, True, None, [], {}, "1/4\n1/4"],
    ids=repr,
)
def test_shares_that_are_none_are_refused_with_the_remedy(written: object) -> None:
    with pytest.raises(ValueError, match=r"is not a share of a node; write '1/2', '1/4' or 1"):
        parse_share(written)


@pytest.mark.parametrize("parse", [parse_bytes, parse_seconds, parse_cores, parse_share])
def test_long_input_is_cut_in_the_error(parse: Any) -> None:
    with pytest.raises(ValueError) as raised:
        parse("x" * 10_000)
    assert len(str(raised.value)) < 200


@given(st.integers(min_value=1, max_value=2**50))
def test_bytes_as_a_number_are_what_they_were(number: int) -> None:
    assert parse_bytes(number) == parse_bytes(str(number)) == number


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KB"), (1536 * 2**20, "1.5 GB"), (100 * 2**30, "100 GB")],
)
def test_bytes_are_shown_in_the_largest_unit_that_fits(number: int, expected: str) -> None:
    assert format_bytes(number) == expected


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        (1, "1 core"),
        (1.001, "1 core"),
        (2, "2 cores"),
        (0.5, "0.5 cores"),
        (0.25, "0.25 cores"),
        (10, "10 cores"),
    ],
)
def test_cores_are_shown_with_the_right_word(cores: float, expected: str) -> None:
    assert format_cores(cores) == expected
