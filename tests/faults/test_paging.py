"""A seeded share of what `python -m faults paging` and `drift` try one and all."""

from . import drift, paging


def test_a_change_at_any_position_before_any_request_of_a_read_is_seen_or_harmless() -> None:
    tally = paging.search(seed=11, reads=80, drawn=40)
    assert not tally.broken
    assert tally.tried == 120
    assert tally.notes["asked again"] > 20, "or nothing came at a wrong moment"
    assert tally.notes["held as before"] > 10
    assert tally.notes["held as after, or in between"] > 40


def test_a_change_at_any_position_before_any_request_of_a_sync_is_seen_or_harmless() -> None:
    tally = drift.search(seed=12, syncs=6)
    assert not tally.broken
    assert tally.tried == 6
    assert tally.notes["held as after, or in between"] > 1
