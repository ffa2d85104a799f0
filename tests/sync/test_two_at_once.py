"""Two syncs of one account: the newer reading stands, whoever publishes last, and nothing is doubled."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import ConfigurationError, PermanentError, TastyError
from tasty_pipeline.core.warehouse import open_warehouse

from .bench import BUSY, PATIENCE, QUIET, TODAY, Bench, day, elsewhere

LOOKBACK = day(10)


@pytest.mark.usefixtures("either_backend")
def test_an_older_reading_of_transactions_is_read_again(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 3)
    bench.transactions(LOOKBACK)
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.restate(identifier, value="-2.22")
        bench.sim.brokerage.book_late(QUIET, 3)
        other.transactions(LOOKBACK)

    bench.after("transactions", 1, elsewhere(newer))
    asked = bench.asked("/transactions")
    assert bench.transactions(LOOKBACK).written == 0
    assert bench.asked("/transactions") == asked + 3  # ours, theirs, ours again
    row = bench.row(identifier)
    assert row is not None
    assert row["value"] == Decimal("-2.22")
    assert bench.live() == set(bench.dated(LOOKBACK, TODAY))
    assert bench.complete()


@pytest.mark.usefixtures("either_backend")
def test_an_older_reading_of_a_portfolio_is_read_again(bench: Bench) -> None:
    bench.portfolio()
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.trade(QUIET, symbol="NVDA")
        other.portfolio()

    bench.after("positions", 2, elsewhere(newer))
    bench.portfolio()
    table = schema.positions
    assert [row["run_id"] for row in bench.rows(table, table.c.symbol == "NVDA")] == [f"run-{other.runs}"]
    (row,) = bench.rows(schema.balances)
    assert row["cash_balance"] == Decimal(bench.sim.brokerage.balances(QUIET)["cash-balance"])


def test_an_older_list_of_accounts_is_read_again(bench: Bench) -> None:
    bench.accounts()
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.close_account(QUIET)
        other.accounts()

    bench.after("accounts", 1, elsewhere(newer))
    assert bench.accounts().written == 0
    assert [row["is_closed"] for row in bench.rows(schema.accounts)] == [False, True]


def test_an_older_reading_does_not_overwrite_a_row_beyond_its_window(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 8)
    bench.transactions()
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.restate(identifier, value="-2.22")
        other.transactions(day(9), day(7))

    bench.after("transactions", 1, elsewhere(newer))
    assert bench.transactions(day(3)).written == 0
    row = bench.row(identifier)
    assert row is not None
    assert (row["value"], row["run_id"]) == (Decimal("-2.22"), f"run-{other.runs}")
    assert bench.complete()


def test_a_row_that_a_newer_reading_moved_out_of_the_window_is_not_proven_inside_it(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 2)
    bench.transactions()
    other = bench.beside()

    def stopped() -> None:
        raise PermanentError("The other run was stopped.", "nothing.")

    def newer() -> None:
        bench.sim.brokerage.redate(identifier, day(14))
        other.before("transactions", 2, stopped)  # it has published where the row is now, and not where it was
        with pytest.raises(TastyError):
            other.transactions(day(15), day(13))

    bench.after("transactions", 1, elsewhere(newer))
    bench.transactions(day(3))
    row = bench.row(identifier)
    assert row is not None
    assert (row["transaction_date"], row["removed_at"]) == (day(14), None)
    assert bench.complete()


def test_a_row_that_a_newer_reading_missed_is_not_brought_back_from_beyond_a_window(bench: Bench) -> None:
    bench.transactions()
    identifier = bench.sim.brokerage.book_late(QUIET, 4)
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.remove(identifier)
        other.transactions(LOOKBACK, day(4))

    bench.after("transactions", 1, elsewhere(newer))
    assert bench.transactions(day(3)).written == 0
    assert bench.row(identifier) is None
    assert bench.complete()


def test_a_row_of_a_day_ahead_that_a_newer_reading_of_today_missed_is_not_brought_back(bench: Bench) -> None:
    ahead = TODAY + timedelta(days=3)
    for _ in range(2):  # one that stays, so that the day has a proof; and one that comes and goes
        identifier = bench.sim.brokerage.book_late(QUIET, 1)
        bench.sim.brokerage.redate(identifier, ahead)
        if bench.runs == 0:
            bench.transactions()
    other = bench.beside()

    def newer() -> None:
        bench.sim.brokerage.remove(identifier)
        other.transactions(TODAY)

    bench.after("transactions", 1, elsewhere(newer))
    assert bench.transactions(day(3), day(1)).written == 0
    assert bench.row(identifier) is None


def test_a_row_that_a_newer_reading_found_as_it_was_is_not_moved_back_by_an_older_one(bench: Bench) -> None:
    """The one that stored it began first and read last, so that its row looks older than it is."""
    bench.transactions()
    began = datetime.now(UTC)
    identifier = bench.sim.brokerage.book_late(QUIET, 14)
    other = bench.beside()
    table, log = schema.transactions, schema.sync_log

    def newer() -> None:
        bench.sim.brokerage.redate(identifier, day(2))
        other.transactions(day(3))
        bench.change(sa.update(table).values(synced_at=began).where(table.c.transaction_id == identifier))
        bench.change(sa.update(log).values(read_started_at=began).where(log.c.window_start == day(3)))
        assert other.transactions(day(3)).written == 0

    bench.after("transactions", 1, elsewhere(newer))
    assert bench.transactions(day(15), day(13)).written == 0
    row = bench.row(identifier)
    assert row is not None
    assert (row["transaction_date"], row["synced_at"]) == (day(2), began)
    assert bench.complete()


def test_a_row_that_another_sync_stores_after_the_absences_were_agreed_on_is_looked_for_again(bench: Bench) -> None:
    missing = bench.sim.brokerage.book_late(QUIET, 4)
    bench.transactions()
    unknown = bench.sim.brokerage.book_late(QUIET, 4)
    other = bench.beside()
    read, publish = threading.Event(), threading.Event()
    other.after("transactions", 1, lambda: (read.set(), publish.wait(PATIENCE)))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(other.transactions, LOOKBACK)
        assert read.wait(PATIENCE)
        bench.sim.brokerage.remove(missing)
        bench.sim.brokerage.remove(unknown)
        bench.before("count_transactions", 1, lambda: (publish.set(), running.result(PATIENCE)))
        assert bench.transactions(LOOKBACK).removed == 2
    assert bench.live() == bench.listed()
    assert bench.complete()


def test_concurrent_syncs_of_one_account_neither_double_nor_deadlock(bench: Bench) -> None:
    others = [bench.beside() for _ in range(2)]
    barrier = threading.Barrier(2)

    def work(each: Bench) -> int:
        barrier.wait(PATIENCE)
        written = each.transactions(account=BUSY).inserted
        return written + each.portfolio(BUSY)[0].inserted

    with ThreadPoolExecutor(2) as pool:
        written = sum(pool.map(work, others))
    assert written == len(bench.listed(BUSY)) + len(bench.sim.brokerage.positions(BUSY))
    assert bench.live(BUSY) == bench.listed(BUSY)
    assert bench.complete()


def test_a_reading_of_the_future_is_told_of_the_clock_and_not_to_run_again(bench: Bench) -> None:
    """Another machine's clock was ahead when it published."""
    bench.transactions()
    log = schema.sync_log
    bench.change(sa.update(log).values(read_started_at=datetime.now(UTC) + timedelta(days=365)))
    bench.sim.brokerage.book_late(QUIET, 3)
    before = bench.data()
    with pytest.raises(ConfigurationError, match="clock"):
        bench.transactions()
    assert bench.data() == before


def test_on_postgres_an_overtaken_reading_is_noticed_whatever_the_role_s_isolation_is(postgres_database: str) -> None:
    """A snapshot from before the lock was free would not see who held it."""
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        name = urlsplit(postgres_database).path.removeprefix("/")
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
    warehouse = open_warehouse(postgres_database)
    warehouse.migrate()
    with warehouse.write("a lock") as writer:
        assert writer.scalar(sa.select(sa.func.current_setting("transaction_isolation"))) == "read committed"
