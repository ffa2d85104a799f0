"""A slice of the torn reads: `make torn-reads READS=1000000` takes more."""

from pathlib import Path

from . import torn


def _held(database: str, folder: Path, reads: int, ways: set[str]) -> None:
    tally = torn.search(seed=1, reads=reads, database=database, folder=folder, generations=4)
    assert tally.broken == []
    assert tally.tried >= reads
    assert {name.removeprefix("reads ") for name in tally.notes if name.startswith("reads ")} == ways
    # everybody saw several states, so that there was something to be torn
    assert all(tally.notes[f"generations {way}"] >= 4 for way in ways)


def test_no_reader_of_postgres_sees_half_of_a_publication(postgres_database: str, tmp_path: Path) -> None:
    _held(postgres_database, tmp_path, 2000, {"one_statement", "repeatable_read", "application", "own_reader"})


def test_no_reader_of_duckdb_or_of_its_copy_sees_half_of_a_publication(duckdb_url: str, tmp_path: Path) -> None:
    _held(duckdb_url, tmp_path, 200, {"beside_statement", "beside_transaction", "own_reader", "copied"})
