"""No answer of the API, however bad, loses or invents a row: a slice of all cases."""

from . import bad_answers, cases_of_answers, kinds_of_answers

# one of each sort, so that the slice is never without
NAMED = (
    "a page short of its total/transactions/always/published",
    "another account's answer/positions/always/published",
    "an empty list/transactions/always/published",
    "NaN as text/balances/always/published",
    "a page that lost a row and says so/morning snapshots/first/published",
)


def test_bad_answers_end_in_clear_errors_or_quarantine_and_lose_or_invent_nothing() -> None:
    found = bad_answers.search(seed=5, count=2, only=NAMED)
    assert found.broken == []
    assert found.tried == len(NAMED) + 2
    assert found.notes["refused"] >= 3
    assert found.notes["read"] >= 2
    assert found.notes["with rows in quarantine"] >= 1


def test_there_are_cases_of_every_kind_and_at_every_endpoint() -> None:
    cases = cases_of_answers.cases()
    assert {case.endpoint for case in cases} == set(cases_of_answers.ENDPOINTS)
    assert len({case.kind for case in cases}) == len(kinds_of_answers.ALL) > 90
