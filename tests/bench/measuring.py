"""Numbers of interleaved rounds, what they say about each other, and the table of it."""

# ruff: noqa: RUF001 - the signs are meant

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

DIRECT, SERVICE, PROXY, RELAY = "direct", "service", "CHP", "bare relay"


@dataclass(frozen=True)
class Aim:
    """What a comparison should come to."""

    words: str
    holds: Callable[[float], bool]


def at_least(value: float) -> Aim:
    return Aim(f"≥ {value:g}", lambda found: found >= value)


def at_most(value: float, unit: str = "") -> Aim:
    return Aim(f"≤ {value:g}{unit}", lambda found: found <= value)


@dataclass(frozen=True)
class Row:
    """One line of the table: what was compared, round by round, and the aim if there is one.

    `values` has one number per round and thing measured; the first thing is ours.
    """

    measure: str
    unit: str
    values: dict[str, list[float]]
    compared: list[float]
    compared_unit: str
    versus: str
    aim: Aim | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.compared)

    def as_json(self) -> dict[str, Any]:
        """Return everything that was measured, and what it comes to."""
        return {
            "measure": self.measure,
            "unit": self.unit,
            "versus": self.versus,
            "compared": {
                "unit": self.compared_unit,
                "median": _short(self.median),
                "min": _short(min(self.compared)),
                "max": _short(max(self.compared)),
                "aim": self.aim.words if self.aim else None,
                "reached": self.aim.holds(self.median) if self.aim else None,
            },
            "values": {name: [_short(value) for value in values] for name, values in self.values.items()},
        }


def ratio(
    measure: str,
    unit: str,
    values: dict[str, list[float]],
    against: tuple[str, str],
    aim: Aim | None = None,
) -> Row:
    """Compare two things by division, round by round; with nothing (a failure, counted elsewhere) it is 0."""
    return _by_round(
        measure, unit, values, against, sign="×", compare=lambda a, b: a / b if b else 0.0, aim=aim
    )


def added(
    measure: str,
    unit: str,
    values: dict[str, list[float]],
    against: tuple[str, str],
    aim: Aim | None = None,
) -> Row:
    """Compare two things by subtraction, round by round."""
    return _by_round(measure, unit, values, against, sign=f"+{unit}", compare=operator.sub, aim=aim)


def _by_round(
    measure: str,
    unit: str,
    values: dict[str, list[float]],
    against: tuple[str, str],
    *,
    sign: str,
    compare: Callable[[float, float], float],
    aim: Aim | None,
) -> Row:
    ours, versus = against
    compared = [compare(a, b) for a, b in zip(values[ours], values[versus], strict=True)]
    return Row(measure, unit, values, compared, sign, versus, aim)


def absolute(measure: str, unit: str, values: dict[str, list[float]], ours: str, aim: Aim) -> Row:
    """Compare with the aim alone."""
    return Row(measure, unit, values, values[ours], unit, "nothing", aim)


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _compared(row: Row) -> tuple[str, str]:
    low, high = min(row.compared), max(row.compared)
    if row.compared_unit == "×":
        return f"{row.median:.2f} × {row.versus}", f"{low:.2f} – {high:.2f}"
    if row.compared_unit.startswith("+"):
        unit = row.compared_unit[1:]
        return f"{row.median:+.2f} {unit} over {row.versus}", f"{low:+.2f} – {high:+.2f}"
    return f"{row.median:.2f} {row.unit}", f"{low:.2f} – {high:.2f}"


def table(rows: Iterable[Row]) -> list[str]:
    """Return the lines of the table: ratios first, what was measured last."""
    lines: list[Sequence[str]] = [("measure", "median", "spread", "aim", "", "medians of what was measured")]
    for row in rows:
        medians = ", ".join(
            f"{name} {_shown(statistics.median(values))}" for name, values in row.values.items()
        )
        verdict = "" if row.aim is None else "ok" if row.aim.holds(row.median) else "below"
        aim = row.aim.words if row.aim else ""
        lines.append((row.measure, *_compared(row), aim, verdict, f"{medians} {row.unit}"))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[5]]).rstrip()
        for line in lines
    ]
