"""A slice of the crashes: a killed sync leaves the old or the new state, and the next one repairs everything."""

import pytest

from .crashes import Database, search
from .runs import Victim
from .tally import Tally

SEED = 6


def assert_held(tallies: list[Tally]) -> None:
    for tally in tallies:
        assert not tally.broken, tally
        assert tally.tried, tally


@pytest.mark.parametrize(
    ("database", "victims", "points"),
    [
        ("duckdb", ("process",), 1),
        ("duckdb with a log", ("process",), 1),
        ("postgres", ("process", "backend", "server"), 1),
    ],
)
def test_a_sync_that_is_killed_anywhere_leaves_the_old_or_the_new_state(
    database: Database, victims: tuple[Victim, ...], points: int
) -> None:
    assert_held(search(seed=SEED, database=database, victims=victims, points=points))


def test_a_first_sync_that_is_killed_in_the_middle_of_a_statement_leaves_all_or_nothing() -> None:
    assert_held(search(seed=SEED, database="duckdb", scene="first", points=1, cuts=1))
