"""A field that changes stops no other table, is reported, and nothing of it is lost: a slice of all cases."""

from . import drift_of_contract

# one of each outcome, so that the slice is never without
NAMED = (
    "transaction/description/a number/one",
    "transaction/value/removed/all",
    "position/multiplier/a text/all",
    "page of transactions/total-items/null/all",
)


def test_every_change_of_the_contract_is_reported_and_loses_nothing() -> None:
    found = drift_of_contract.search(seed=3, count=2, only=NAMED)
    assert found.broken == []
    assert found.tried == len(NAMED) + 2
    assert {"quarantined", "stored otherwise", "understood", "refused"} <= found.notes.keys()
