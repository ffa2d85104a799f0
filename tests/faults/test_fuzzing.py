"""A small share, the same every time, of what `python -m faults fuzzing` and `pager` draw."""

from tasty_pipeline.core.warehouse import open_warehouse

from . import fuzzing, pager


def test_whatever_an_answer_says_becomes_exact_rows_or_rejected_rows_in_full_or_one_error(duckdb_url: str) -> None:
    open_warehouse(duckdb_url).migrate()
    tally = fuzzing.search(seed=3, examples=20, database=duckdb_url)
    assert not tally.broken
    assert tally.tried > 300
    assert tally.notes["typed rows"] > 100
    assert tally.notes["rejected rows stored and found again"] > 20
    assert tally.notes["pages read quickly"] > 20
    assert tally.notes["answers refused"] > 20


def test_a_read_from_a_server_that_contradicts_itself_ends_in_an_error_or_in_honest_rows() -> None:
    tally = pager.search(seed=4, examples=50, lies=60)
    assert not tally.broken
    assert tally.tried >= 100
    assert tally.notes["refused"] > 5
    assert tally.notes["read in spite of lies"] > 20
    assert tally.notes["changes"] > 20
