"""Dry runs, mixed environments and failures: what succeeded stays, what failed leaves nothing but its sentence."""

from decimal import Decimal

import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import (
    AuditError,
    AuthenticationError,
    ConfigurationError,
    PermanentError,
    WarehouseUnavailableError,
)
from tasty_pipeline.core.publish.rejects import storable
from tasty_pipeline.core.values import document
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.simulator import Fault

from .bench import BUSY, QUIET, Bench, day
from .breaking import broken_table

LOOKBACK = day(10)
COUNTS = ("table", "account", "read", "inserted", "updated", "unchanged", "removed", "rejected", "left_out")


def counts(bench: Bench, *, dry_run: bool) -> list[list[object]]:
    return [[getattr(result, name) for name in COUNTS] for result in bench.everything([QUIET], dry_run=dry_run)]


@pytest.mark.usefixtures("either_backend")
def test_a_dry_run_writes_nothing_and_counts_what_the_real_run_then_does(bench: Bench) -> None:
    before = bench.state()
    dry = counts(bench, dry_run=True)
    assert bench.state() == before
    assert counts(bench, dry_run=False) == dry
    bench.sim.brokerage.remove(bench.dated(LOOKBACK, day(0))[0])
    bench.sim.brokerage.restate(bench.dated(LOOKBACK, day(0))[-1], description="restated")
    late = bench.sim.brokerage.book_late(QUIET, 5)
    bench.sim.brokerage.faults.add(Fault("bad_value", path="/transactions", ids=[late]))
    before = bench.state()
    dry = counts(bench, dry_run=True)
    assert bench.state() == before
    assert counts(bench, dry_run=False) == dry
    assert dry[3][3:] == [0, 1, dry[3][5], 1, 1, 0]


def test_a_dry_run_that_fails_writes_nothing_either(bench: Bench) -> None:
    bench.transactions()
    before = bench.state()
    bench.sim.brokerage.wipe()
    with pytest.raises(Exception, match="lacks"):
        bench.transactions(dry_run=True)
    assert bench.state() == before


def test_a_dry_run_makes_no_tables(bench: Bench, duckdb_url: str) -> None:
    empty = bench.beside()
    empty.warehouse = open_warehouse(duckdb_url)
    with pytest.raises(ConfigurationError, match="no tables yet"):
        empty.transactions(dry_run=True)
    assert empty.warehouse.version() is None


def test_data_of_two_environments_is_never_mixed(bench: Bench) -> None:
    bench.everything([QUIET])
    before, asked = bench.data(), bench.asked("/accounts/")
    for sync in (bench.transactions, bench.snapshots, bench.portfolio, bench.accounts, bench.verify):
        with pytest.raises(ConfigurationError, match="holds data read from simulator"):
            sync(environment="production", confirm_removal=True)  # type: ignore[operator]
    assert bench.data() == before
    assert bench.asked("/accounts/") == asked  # it is said before anything is read
    assert len(bench.log("failed")) == 5


def test_an_account_that_fails_leaves_the_other_committed(bench: Bench) -> None:
    bench.sim.brokerage.faults.add(Fault("not_permitted", path=f"/accounts/{QUIET}/"))
    with pytest.raises(PermanentError):
        bench.everything([BUSY, QUIET])
    assert bench.live(BUSY) == bench.listed(BUSY)
    assert bench.live(QUIET) == set()
    (failed,) = bench.log("failed")
    assert (failed["account_number"], failed["table_name"]) == (QUIET, "positions")


REFUSED, SWALLOWED, KILLED = "RAISE check_violation", "NULL", "PERFORM pg_terminate_backend(pg_backend_pid())"


@pytest.mark.parametrize(
    ("table", "how", "error"),
    [
        ("transactions", REFUSED, AuditError),
        ("transactions", SWALLOWED, AuditError),
        ("transactions", KILLED, WarehouseUnavailableError),
        ("proven_days", REFUSED, AuditError),
        ("proven_days", SWALLOWED, AuditError),
        ("sync_log", REFUSED, AuditError),
        ("sync_log", KILLED, WarehouseUnavailableError),
    ],
)
def test_a_failure_while_publishing_rolls_everything_back(
    table: str, how: str, error: type[Exception], bench: Bench, _migrated_database: str
) -> None:
    bench.transactions(LOOKBACK)
    bench.sim.brokerage.book_late(QUIET, 3)
    before = bench.data()
    with broken_table(_migrated_database, table, how=how), pytest.raises(error):
        bench.transactions(LOOKBACK)
    assert bench.data() == before
    assert bench.transactions(LOOKBACK).inserted == 1
    assert bench.complete()


def test_the_audit_stops_a_table_that_is_not_the_answer(bench: Bench, _migrated_database: str) -> None:
    bench.transactions(LOOKBACK)
    bench.sim.brokerage.book_late(QUIET, 3)
    before = bench.data()
    # every row that is new arrives a year too early
    how = "NEW.transaction_date := NEW.transaction_date - 365; RETURN NEW"
    with (
        broken_table(_migrated_database, "transactions", how=how),
        pytest.raises(AuditError, match="were proven"),
    ):
        bench.transactions(LOOKBACK)
    assert bench.data() == before
    assert "were proven" in bench.log("failed")[0]["error"]


def test_the_audit_stops_positions_that_are_not_the_answer(bench: Bench, _migrated_database: str) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.trade(QUIET, symbol="NVDA")
    how = "NEW.account_number := 'somebody else'; RETURN NEW"
    with (
        broken_table(_migrated_database, "positions", how=how),
        pytest.raises(AuditError, match="after the merge"),
    ):
        bench.portfolio()
    assert bench.data() == before


def test_the_log_of_a_failure_holds_its_sentence_and_no_credential(bench: Bench) -> None:
    bench.transactions(LOOKBACK)
    bench.sim.brokerage.revoke_grant()
    with pytest.raises(AuthenticationError):
        bench.transactions(LOOKBACK)
    (failed,) = bench.log("failed")
    assert "What to do: make a new refresh token" in failed["error"]
    assert (failed["window_start"], failed["window_end"]) == (LOOKBACK, day(0))
    assert failed["requests"] > 0
    told = str(bench.rows(schema.sync_log))
    assert bench.sim.refresh_token not in told
    assert bench.sim.client_secret not in told


def test_numbers_that_no_database_holds_are_kept_as_text() -> None:
    bad = {"value": Decimal("1E+200000"), "lots": [{"price": Decimal("1E-200000")}, 7, True, None, "text"]}
    kept = storable(bad)
    assert kept == {"value": "1E+200000", "lots": [{"price": "1E-200000"}, 7, True, None, "text"]}
    assert document(kept) == kept
