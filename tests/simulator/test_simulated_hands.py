"""What is done by hand, in Python, over the control endpoint or from the command line, reaches the books."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import MAIN, NOW, Client

from tasty_pipeline.simulator import Brokerage, Simulator
from tasty_pipeline.simulator.__main__ import main

ROOT = Path(__file__).parents[2]


def cash(brokerage: Brokerage) -> Decimal:
    return Decimal(brokerage.balances(MAIN)["cash-balance"])


def test_identical_fills_differ_by_id_only(sim: Simulator) -> None:
    ids = sim.brokerage.trade(MAIN, n=3, symbol="AAPL")
    rows = [row for row in sim.brokerage.transactions(MAIN) if row["id"] in ids]
    assert len(rows) == 3
    assert len({json.dumps({**row, "id": 0}) for row in rows}) == 1
    assert rows[0]["executed-at"] == "2026-11-21T02:00:00.000+00:00"
    assert rows[0]["transaction-date"] == "2026-11-20"


def test_a_trade_moves_cash_and_position(sim: Simulator) -> None:
    before = cash(sim.brokerage)
    [number] = sim.brokerage.trade(MAIN, symbol="XYZ")
    row = next(r for r in sim.brokerage.transactions(MAIN) if r["id"] == number)
    assert cash(sim.brokerage) == before - Decimal(row["net-value"])
    position = next(p for p in sim.brokerage.positions(MAIN) if p["symbol"] == "XYZ")
    assert Decimal(str(position["quantity"])) == 1


def test_hands_leave_the_generated_future_as_it_is(sim: Simulator) -> None:
    untouched = Brokerage(sim.config)
    sim.brokerage.trade(MAIN, symbol="XYZ")
    for brokerage in (untouched, sim.brokerage):
        brokerage.advance(timedelta(days=3))
    one, other = ({row["id"] for row in b.transactions(MAIN)} for b in (untouched, sim.brokerage))
    assert len(one) == len(other) - 1
    assert one < other


def test_a_late_row_has_an_old_date_and_is_written_now(sim: Simulator) -> None:
    number = sim.brokerage.book_late(MAIN, 6)
    row = next(r for r in sim.brokerage.transactions(MAIN) if r["id"] == number)
    assert row["transaction-date"] == "2026-11-14"
    assert row["created-at"].startswith("2026-11-21")


def test_rows_can_be_restated_removed_and_redated(sim: Simulator, client: Client) -> None:
    brokerage = sim.brokerage
    before, number = cash(brokerage), brokerage.deposit(MAIN, "100.00")
    assert cash(brokerage) == before + 100
    brokerage.restate(number, value="250.50", description="Restated", brand_new="kept")
    row = next(r for r in brokerage.transactions(MAIN) if r["id"] == number)
    assert (row["value"], row["description"], row["brand-new"]) == ("250.50", "Restated", "kept")
    assert cash(brokerage) == before + Decimal("250.50")
    brokerage.redate(number, "2026-11-03")
    assert number in {r["id"] for r in client.rows(start_date="2026-11-03", end_date="2026-11-03")}
    brokerage.remove(number)
    assert cash(brokerage) == before
    with pytest.raises(LookupError, match=str(number)):
        brokerage.remove(number)


def test_a_closed_position_stays_closed_although_trades_were_planned(sim: Simulator) -> None:
    symbols = [p["symbol"] for p in sim.brokerage.positions(MAIN) if p["instrument-type"] == "Equity Option"]
    for symbol in symbols:
        sim.brokerage.close_position(MAIN, symbol)
    sim.brokerage.advance(timedelta(days=40))
    rows = [row for row in sim.brokerage.transactions(MAIN) if row.get("symbol") in symbols]
    assert not [row for row in rows if row["transaction-sub-type"] in {"Expiration", "Exercise", "Assignment"}
                and row["transaction-date"] > "2026-11-20"
                and not [r for r in rows if r["symbol"] == row["symbol"] and r["transaction-type"] == "Trade"
                         and r["transaction-date"] > "2026-11-20"]]  # fmt: skip
    with pytest.raises(ValueError, match="holds no"):
        sim.brokerage.close_position(MAIN, "NONE")


def test_accounts_are_opened_and_closed(sim: Simulator) -> None:
    number = sim.brokerage.open_account()
    sim.brokerage.trade("5WT00703", symbol="/ESZ6")
    sim.brokerage.set_now("2026-11-23T17:45:00-05:00")
    sim.brokerage.advance(timedelta(days=4))
    assert "Deposit" in {row["transaction-sub-type"] for row in sim.brokerage.transactions(number)}
    assert sim.brokerage.accounts()[-1]["account-number"] == number
    for account in (number, MAIN, "5WT00703"):
        sim.brokerage.close_account(account)
        assert sim.brokerage.positions(account) == []
        assert Decimal(sim.brokerage.balances(account)["net-liquidating-value"]) == 0
        count = len(sim.brokerage.transactions(account))
        sim.brokerage.advance(timedelta(days=3))
        assert len(sim.brokerage.transactions(account)) == count
    assert sim.brokerage.accounts()[-1]["is-closed"] is True


def test_a_refused_restatement_leaves_the_row_as_it_was(sim: Simulator) -> None:
    before, number = sim.brokerage.digest(), sim.brokerage.transactions(MAIN)[0]["id"]
    with pytest.raises(ArithmeticError):
        sim.brokerage.restate(number, value="a lot")
    assert sim.brokerage.digest() == before


def test_a_wiped_brokerage_is_empty_until_a_deposit(sim: Simulator) -> None:
    sim.brokerage.wipe()
    sim.brokerage.advance(timedelta(days=5))
    assert sim.brokerage.transactions(MAIN) == []
    assert sim.brokerage.positions(MAIN) == []
    assert cash(sim.brokerage) == 0
    sim.brokerage.deposit(MAIN, 50_000)
    sim.brokerage.advance(timedelta(days=5))
    assert len(sim.brokerage.transactions(MAIN)) > 1


def test_moving_the_clock_writes_the_days_that_pass(sim: Simulator) -> None:
    before = sim.brokerage.digest()
    sim.brokerage.set_now(NOW + timedelta(days=3))
    assert sim.brokerage.digest() != before
    newest = max(row["transaction-date"] for row in sim.brokerage.transactions(MAIN))
    assert newest == "2026-11-23"


def test_the_control_endpoint_calls_the_same_methods(sim: Simulator, client: Client) -> None:
    def call(method: str, **arguments: Any) -> Any:
        answer = client.http.post(f"/__control__/call/{method}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()["result"]

    ids = call("trade", account=MAIN, n=2)
    assert len(ids) == 2
    call("restate", id=ids[0], description="changed")
    call("redate", id=ids[1], new_date="2026-11-02")
    call("remove", id=ids[0])
    call("advance", by=3600)
    call("set_now", moment="2026-11-24T12:00:00-05:00")
    assert call("digest") == sim.brokerage.digest()
    assert len(call("accounts")) == 4
    state = client.http.get("/__control__/state").json()
    assert state["now"] == "2026-11-24T17:00:00+00:00"
    for path, body, status in (
        ("trade", {"account": "nobody"}, 404),
        ("trade", {"wrong": 1}, 400),
        ("catch_up", {}, 400),
        ("remove", {"id": 5}, 404),
    ):
        assert client.http.post(f"/__control__/call/{path}", json=body).status_code == status


def test_the_command_line_trades_and_breaks_things(sim: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(sim.brokerage.transactions(MAIN))
    assert main(["trade", "--url", sim.url, "--account", MAIN, "-n", "2"]) == 0
    assert len(sim.brokerage.transactions(MAIN)) == before + 2
    assert main(["fault", "status", "--set", "status=503", "--times", "1", "--url", sim.url]) == 0
    assert sim.brokerage.faults.listed()[0].params == {"status": 503}
    assert main(["fault", "clear", "--url", sim.url]) == 0
    assert sim.brokerage.faults.listed() == []
    assert main(["call", "deposit", f"account={MAIN}", "amount=5", "--url", sim.url]) == 0
    capsys.readouterr()
    assert main(["trade", "--url", sim.url, "--account", "nobody"]) == 1
    assert "no account 'nobody'" in capsys.readouterr().err
    assert main(["trade", "--url", "http://127.0.0.1:1"]) == 1
    assert "Start one first" in capsys.readouterr().err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_serves_until_it_is_stopped(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "tasty_pipeline.simulator", "--port", "0", "--start", "2026-11-02"]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--now", NOW.isoformat()],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    greeting = ""
    for line in process.stdout:
        greeting += line
        if "Ctrl-C" in line:
            break
    process.send_signal(stop)
    rest, _ = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
    for word in ("simulator-client-secret", "simulator-refresh-token", "TASTY_API_URL=http://127.0.0.1:", MAIN):
        assert word in greeting
    for token, sees in (
        ("simulator-refresh-token", "all accounts"),
        ("simulator-refresh-alice", "5WT00701 (owner), 5WT00702 (owner)"),
        ("simulator-refresh-bob", "5WT00702 (read-only), 5WT00703 (owner)"),
    ):
        assert [line for line in greeting.splitlines() if token in line and line.endswith(sees)]
