"""The figures that were set as goals, each as a question to what was measured.

Here belongs what is to be reached and how it is read from the measurements; nothing is measured here.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cases import Case, Figure, ratio
from contestants import DATABASES, DLT, DLT_ARROW, DUCKDB, FLOOR, ORM_EACH, OURS, POSTGRES, SDK, WAYS

Found = Mapping[tuple[Case, str, str], Figure]
IN_FLIGHT = 8


@dataclass(frozen=True)
class Goal:
    """What is to be reached, what was, and whether that is enough; None where it was not measured."""

    what: str
    wanted: str
    measured: str
    reached: bool | None

    @property
    def verdict(self) -> str:
        """In a word."""
        return {True: "reached", False: "**missed**", None: "-"}[self.reached]


def goals(found: Found, dagster: Any) -> Iterator[Goal]:
    """All of them, in the order of the page."""
    for rows, scenario, database, other, times in _RATIOS:
        yield _times(found, Case(rows, database), scenario, other, times)
    for database in DATABASES:
        yield _near_floor(found, database)
    for database in DATABASES:
        yield _as_small(found, database)
    yield _network(found)
    for database, megabytes in ((DUCKDB, 800), (POSTGRES, 350)):
        yield _memory(found, database, megabytes)
    yield from _dagster(dagster)


_RATIOS = (
    (100_000, "fresh", DUCKDB, DLT, 8),
    (100_000, "fresh", DUCKDB, SDK, 4),
    (100_000, "fresh", POSTGRES, DLT, 11),
    (100_000, "fresh", POSTGRES, SDK, 5),
    (10_000, "fresh", POSTGRES, ORM_EACH, 60),
    (100_000, "unchanged", DUCKDB, DLT, 25),
    (100_000, "unchanged", POSTGRES, DLT, 25),
    (1_000_000, "fresh", DUCKDB, DLT, 12),
    (1_000_000, "fresh", POSTGRES, DLT, 12),
    (1_000_000, "fresh", DUCKDB, DLT_ARROW, 2.5),
    (1_000_000, "fresh", POSTGRES, DLT_ARROW, 6),
)
_WORDS = {"fresh": "fresh load of", "unchanged": "second sync of the same"}


def _pair(found: Found, case: Case, scenario: str, other: str) -> tuple[Figure, Figure] | None:
    ours, theirs = found.get((case, scenario, OURS)), found.get((case, scenario, other))
    return (ours, theirs) if ours and theirs and not ours.failed and not theirs.failed else None


def _times(found: Found, case: Case, scenario: str, other: str, wanted: float) -> Goal:
    what = f"{_WORDS[scenario]} {case.rows:,}, {DATABASES[case.database]}: times {WAYS[other].title}"
    pair = _pair(found, case, scenario, other)
    if pair is None:
        return Goal(what, f"at least {wanted:g}x", "not measured", None)
    times = ratio(pair[1], pair[0])
    spread = f" ({times.least:.1f}-{times.most:.1f})" if times.least != times.most else ""
    return Goal(what, f"at least {wanted:g}x", f"{times.middle:.1f}x{spread}", times.middle >= wanted)


def _near_floor(found: Found, database: str) -> Goal:
    what = f"fresh load of 100,000, {DATABASES[database]}: times parse and load alone"
    pair = _pair(found, Case(100_000, database), "fresh", FLOOR)
    if pair is None:
        return Goal(what, "at most 2x", "not measured", None)
    times = pair[0].seconds / pair[1].phases["parse and load"]
    return Goal(what, "at most 2x", f"{times:.2f}x", times <= 2)  # noqa: PLR2004


def _as_small(found: Found, database: str) -> Goal:
    what = f"last ten days on 1,000,000 rows, {DATABASES[database]}: times the same on 1,000"
    large, small = (found.get((Case(rows, database), "late", OURS)) for rows in (1_000_000, 1_000))
    if large is None or small is None or large.failed or small.failed:
        return Goal(what, "under 1.5x", "not measured", None)
    times = large.seconds / small.seconds
    return Goal(what, "under 1.5x", f"{times:.2f}x", times < 1.5)  # noqa: PLR2004


def network_floor(figure: Figure) -> float:
    """The seconds that a figure's requests take at its latency with all allowed in flight."""
    case = figure.measurements[0].case
    return math.ceil(figure.of("requests") / IN_FLIGHT) * case.latency / 1000


def _network(found: Found) -> Goal:
    what = "fresh load of 100,000 at 150 ms latency: times the network's own floor"
    figure = found.get((Case(100_000, DUCKDB, latency=150), "fresh", OURS))
    if figure is None or figure.failed:
        return Goal(what, "within 1.3x", "not measured", None)
    times = figure.seconds / network_floor(figure)
    return Goal(what, "within 1.3x", f"{times:.2f}x", times <= 1.3)  # noqa: PLR2004


def _memory(found: Found, database: str, megabytes: int) -> Goal:
    what = f"peak memory of a fresh load of 1,000,000, {DATABASES[database]}"
    figure = found.get((Case(1_000_000, database), "fresh", OURS))
    if figure is None or figure.failed:
        return Goal(what, f"under {megabytes} MB", "not measured", None)
    peak = figure.of("peak_mb")
    return Goal(what, f"under {megabytes} MB", f"{peak:,.0f} MB", peak < megabytes)


def _dagster(found: Any) -> Iterator[Goal]:
    share, half = (
        "five years from the command line: our part of the run",
        "the same: Dagster's part against its defaults",
    )
    both = _history(found)
    if both is None:
        yield Goal(share, "under 5 %", "not measured", None)
        yield Goal(half, "at most half", "not measured", None)
        return
    default, ours = both
    part = ours["our part"] / ours["total"]
    yield Goal(share, "under 5 %", f"{100 * part:.1f} %", part < 0.05)  # noqa: PLR2004
    times = ours["Dagster's part"] / default["Dagster's part"]
    yield Goal(half, "at most half", f"{times:.2f} of it", times <= 0.5)  # noqa: PLR2004


def _history(found: Any) -> tuple[Mapping[str, float], Mapping[str, float]] | None:
    name = "whole history, command line"
    seconds = (found or {}).get("seconds", {})
    default, ours = (seconds.get(setting, {}).get(name) for setting in ("default", "ours"))
    return (default, ours) if default and ours else None
