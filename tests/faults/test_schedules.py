"""Whatever happens to the brokerage, the network and the runs, the next run that succeeds leaves the books' tables.

Thousands more: `make faults SCHEDULES=10000 SEED=7`.
"""

import pytest

from . import naive, schedules
from .oracle import Difference, compared
from .steps import Schedule, drawn, shortest

SEED = 5


@pytest.mark.parametrize(
    ("database", "number", "dagster"), [("duckdb", 2, False), ("postgres", 4, False), ("postgres", 1, True)]
)
def test_after_any_schedule_the_tables_are_as_the_books(
    database: str, number: int, dagster: bool, postgres_url: str
) -> None:
    tally = schedules.search(seed=SEED, schedules=number, database=database, server=postgres_url, dagster=dagster)
    assert tally.broken == []
    assert tally.tried == number
    assert tally.notes["runs successful"] > number


def test_a_naive_way_is_wrong_after_the_same_schedules() -> None:
    with naive.way("per_row") as per_row:
        counted = naive.beside(seed=SEED, schedules=2, ways=[("per row", per_row)])["per row"]
    assert counted["lost"] + counted["doubled"] + counted["phantom"] + counted["stale"] > 0
    assert counted["runs successful"] > 0


def test_a_row_that_is_lost_doubled_strange_or_different_is_each_counted() -> None:
    books = [{"id": 1, "value": 1}, {"id": 2, "value": 2}, {"id": 3, "value": 3}]
    held = [{"id": 1, "value": 1}, {"id": 1, "value": 1}, {"id": 3, "value": 4}, {"id": 5, "value": 5}]
    found = Difference()
    compared(found, "rows", ("id",), books, held)
    assert vars(found) == {
        "lost": ["rows 2"],
        "doubled": ["rows 1"],
        "phantom": ["rows 5"],
        "stale": ["rows 3 (value)"],
    }


def test_of_a_schedule_only_the_steps_are_shown_without_which_it_would_not_fail() -> None:
    needed = {"late", "killed"}

    def fails(schedule: Schedule) -> bool:
        return needed <= {step.name for step in schedule}

    schedule = next(found for found in (drawn(f"{SEED}/{number}") for number in range(1000)) if fails(found))
    assert len(schedule) > 2
    assert {step.name for step in shortest(schedule, fails)} == needed
    assert len(shortest(schedule, fails)) == 2
