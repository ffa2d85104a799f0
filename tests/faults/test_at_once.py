"""A slice of the runs at once: the harness's command plays more rounds."""

from . import at_once


def test_eight_runs_and_a_backfill_at_once_neither_double_lose_nor_stand_still(warehouse_url: str) -> None:
    tally = at_once.search(seed=1, rounds=1, database=warehouse_url)
    assert tally.broken == []
    assert tally.tried == 1
    assert tally.notes["runs that succeeded"] > 7
    assert tally.notes["changes of the books"] > 0
    assert tally.notes["looks meanwhile"] > 0
