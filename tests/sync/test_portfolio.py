"""Positions and balances: one state, whole, and never emptied by an answer that contradicts itself."""

import threading
from collections.abc import Callable
from decimal import Decimal

import psycopg
import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import AuditError, IncompleteAnswerError, MassRemovalError
from tasty_pipeline.simulator import Fault

from .bench import QUIET, Bench
from .breaking import broken_table

POSITIONS, BALANCES = "/positions$", "/balances$"


def symbols(bench: Bench, account: str = QUIET) -> set[str]:
    table = schema.positions
    return {row["symbol"] for row in bench.rows(table, table.c.account_number == account)}


def held(bench: Bench, account: str = QUIET) -> set[str]:
    return {position["symbol"] for position in bench.sim.brokerage.positions(account)}


@pytest.mark.usefixtures("either_backend")
def test_a_closed_position_leaves_after_two_equal_readings(bench: Bench) -> None:
    bench.portfolio()
    symbol = min(held(bench))
    bench.sim.brokerage.close_position(QUIET, symbol)
    positions, balances = bench.portfolio()
    assert (positions.removed, balances.updated) == (1, 1)
    assert symbols(bench) == held(bench)
    assert symbol not in symbols(bench)


def test_a_position_missing_from_one_of_two_readings_stays(bench: Bench) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.faults.add(Fault("short_page", path=POSITIONS, times=1, after=1))
    positions, _ = bench.portfolio()
    assert positions.written == 0
    assert bench.data() == before


def test_positions_that_change_meanwhile_are_read_again(bench: Bench) -> None:
    bench.portfolio()
    asked = bench.asked("/positions")
    bench.before("balances", 1, lambda: bench.sim.brokerage.trade(QUIET, symbol="NVDA"))
    bench.portfolio()
    assert bench.asked("/positions") == asked + 3
    assert symbols(bench) == held(bench)
    assert "NVDA" in symbols(bench)
    (row,) = bench.rows(schema.balances)
    assert row["cash_balance"] == Decimal(bench.sim.brokerage.balances(QUIET)["cash-balance"])


def test_positions_that_change_with_every_reading_are_an_error_and_nothing_is_written(bench: Bench) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.trade_every_request(1)
    with pytest.raises(IncompleteAnswerError, match="changed between every two"):
        bench.portfolio()
    bench.sim.brokerage.trade_every_request(None)
    assert bench.data() == before
    assert bench.asked("/positions") < 12


def test_positions_closed_today_are_not_stored(bench: Bench) -> None:
    symbol = min(held(bench))
    fault = Fault("bad_value", path=POSITIONS, row=0, field="quantity-direction", value="Zero")
    bench.sim.brokerage.faults.add(fault)
    bench.sim.brokerage.faults.add(Fault("bad_value", path=POSITIONS, row=0, field="quantity", value=0))
    positions, _ = bench.portfolio()
    assert (positions.left_out, positions.read) == (1, len(held(bench)) - 1)
    assert symbols(bench) == held(bench) - {symbol}
    assert not bench.rows(schema.rejected_rows)


def test_emptied_positions_that_the_balances_contradict_are_stopped(bench: Bench) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.faults.add(Fault("empty_list", path=POSITIONS))
    with pytest.raises(MassRemovalError, match="confirm_mass_removal"):
        bench.portfolio()
    assert bench.data() == before
    assert bench.log("failed")[-1]["table_name"] == "positions"
    assert bench.portfolio(confirm_removal=True)[0].removed > 1
    assert symbols(bench) == set()


def test_a_single_position_that_the_balances_contradict_is_stopped(bench: Bench) -> None:
    account = bench.sim.brokerage.open_account()
    bench.sim.brokerage.trade(account, symbol="KO")
    bench.portfolio(account)
    bench.sim.brokerage.faults.add(Fault("empty_list", path=POSITIONS))
    with pytest.raises(MassRemovalError):
        bench.portfolio(account)
    assert symbols(bench, account) == {"KO"}


def test_emptied_positions_that_the_balances_confirm_are_accepted(bench: Bench) -> None:
    bench.portfolio()
    stored = len(symbols(bench))
    for symbol in held(bench):
        bench.sim.brokerage.close_position(QUIET, symbol)
    positions, _ = bench.portfolio()
    assert positions.removed == stored
    assert symbols(bench) == set()


def test_positions_that_vanish_with_all_the_money_are_a_wiped_sandbox_and_stay(bench: Bench) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.wipe()
    with pytest.raises(MassRemovalError, match="confirm_mass_removal"):
        bench.portfolio()
    assert bench.data() == before


def long_option(number: int, day: str) -> str:
    return f"SPY   {day}C{number * 1000:08d}"


@pytest.mark.parametrize(("expiry", "accepted"), [("261120", True), ("261218", False)], ids=["expired", "not expired"])
def test_many_positions_may_leave_when_they_expired(expiry: str, accepted: bool, bench: Bench) -> None:
    account = bench.sim.brokerage.open_account()
    bench.sim.brokerage.trade(account, symbol="KO")
    many = [long_option(strike, expiry) for strike in range(400, 430)]
    for symbol in many:
        bench.sim.brokerage.trade(account, symbol=symbol)
    bench.portfolio(account)
    assert len(symbols(bench, account)) == 31
    archive = bench.sim.brokerage.archive(account)
    bench.hide(*(row.id for row in archive.rows if row.symbol in many), account=account)
    if accepted:
        assert bench.portfolio(account)[0].removed == 30
    else:
        with pytest.raises(MassRemovalError, match="30 of 31"):
            bench.portfolio(account)


def test_balances_that_come_back_empty_are_an_error(start: Callable[..., object], bench: Bench) -> None:
    listed = Bench(start(balances_shape="list"), bench.warehouse)  # type: ignore[arg-type]
    listed.portfolio()
    before = listed.data()
    listed.sim.brokerage.faults.add(Fault("empty_list", path=BALANCES))
    with pytest.raises(IncompleteAnswerError, match="came back empty"):
        listed.portfolio()
    assert listed.data() == before


def test_a_currency_leaves_the_balances_only_after_two_agreeing_readings(bench: Bench) -> None:
    bench.portfolio()
    table = schema.balances
    (usd,) = bench.rows(table)
    with bench.warehouse.write() as writer:
        writer.insert(table, [{**usd, "currency": "EUR"}])
    asked = bench.asked("/balances")
    _, balances = bench.portfolio()
    assert (balances.removed, bench.asked("/balances")) == (1, asked + 2)
    assert [row["currency"] for row in bench.rows(table)] == ["USD"]


def test_a_reader_never_sees_positions_without_their_balances(bench: Bench, _migrated_database: str) -> None:
    bench.portfolio()
    states: set[tuple[int, int]] = set()
    stop, seen = threading.Event(), threading.Event()

    def watch() -> None:
        with psycopg.connect(_migrated_database, autocommit=True) as connection:
            while True:
                last = stop.is_set()  # one look more after the publication
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM tasty.positions WHERE symbol = 'NVDA' AND account_number = %s),"
                    " (SELECT count(*) FROM tasty.balances WHERE cash_balance <> %s AND account_number = %s)",
                    (QUIET, cash, QUIET),
                ).fetchone()
                states.add((row[0], row[1]) if row else (-1, -1))
                seen.set()
                if last:
                    return

    cash = bench.rows(schema.balances)[0]["cash_balance"]
    reader = threading.Thread(target=watch)
    reader.start()
    try:
        assert seen.wait(5)
        bench.sim.brokerage.trade(QUIET, symbol="NVDA")
        bench.portfolio()
    finally:
        stop.set()
        reader.join(10)
    assert states == {(0, 0), (1, 1)}


def test_both_tables_roll_back_when_the_second_cannot_be_written(bench: Bench, _migrated_database: str) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.trade(QUIET, symbol="NVDA")
    with (
        broken_table(_migrated_database, "balances"),
        pytest.raises(AuditError),
    ):
        bench.portfolio()
    assert bench.data() == before
    bench.portfolio()
    assert "NVDA" in symbols(bench)
