"""Rows that do not fit the contract: kept with their reason, never in the way of the others."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.simulator import Fault
from tasty_pipeline.simulator.answers import Answer

from .bench import NOW, QUIET, TODAY, Bench, day

LOOKBACK = day(10)
LIST = "/transactions$"


def spoil(bench: Bench, *identifiers: int, field: str = "value", value: Any = "12.3.4") -> None:
    bench.sim.brokerage.faults.add(
        Fault("bad_value", path="/transactions", ids=list(identifiers), field=field, value=value)
    )


def heal(bench: Bench) -> None:
    bench.sim.brokerage.faults.clear()


def rejected(bench: Bench, *, standing: bool = True) -> list[dict[str, Any]]:
    table = schema.rejected_rows
    return bench.rows(table, table.c.resolved_at.is_(None) if standing else table.c.resolved_at.is_not(None))


@pytest.mark.usefixtures("either_backend")
def test_a_bad_row_is_kept_with_its_reason_and_the_rest_loads(bench: Bench) -> None:
    identifier = bench.dated(LOOKBACK, TODAY)[0]
    spoil(bench, identifier)
    result = bench.transactions(LOOKBACK)
    assert result.rejected == 1
    assert bench.live() == set(bench.dated(LOOKBACK, date.max)) - {identifier}
    (row,) = rejected(bench)
    assert row["row_key"] == str(identifier)
    assert row["payload"]["value"] == "12.3.4"
    assert "value" in row["reason"]
    assert row["window_start"] == row["window_end"] in {LOOKBACK, day(9), day(8), day(7), day(6), day(5), day(4)}
    for name in ("no_rejected_rows", "complete"):
        finding = bench.audit(name, schema.transactions)
        assert not finding.passed
        assert "materialize" in finding.recovery
    heal(bench)
    result = bench.transactions(LOOKBACK)
    assert (result.inserted, result.rejected) == (1, 0)
    assert rejected(bench) == []
    assert len(rejected(bench, standing=False)) == 1
    assert bench.complete()
    assert bench.audit("no_rejected_rows", schema.transactions).passed


def test_the_older_version_of_a_bad_row_stays_and_is_not_removed(bench: Bench) -> None:
    bench.transactions()
    identifier = bench.dated(LOOKBACK, TODAY)[0]
    before = bench.row(identifier)
    spoil(bench, identifier)
    result = bench.transactions(LOOKBACK)
    assert (result.rejected, result.written) == (1, 0)
    assert bench.row(identifier) == before
    assert not bench.complete()
    assert bench.verify() is None  # stored and rejected: still one row
    heal(bench)
    assert bench.transactions(LOOKBACK).written == 0
    assert bench.complete()


def test_a_row_lost_beside_a_bad_one_is_noticed(bench: Bench) -> None:
    """A bad row excuses itself from the audit, not its whole day."""
    bench.transactions()
    first, second = bench.dated(LOOKBACK, TODAY)[:2]
    spoil(bench, first)
    bench.sim.brokerage.remove(second)
    assert bench.transactions(LOOKBACK).removed == 1
    assert first in bench.live()


def test_a_bad_row_without_a_readable_id_blocks_every_removal(bench: Bench) -> None:
    bench.transactions()
    first, second = bench.dated(LOOKBACK, TODAY)[:2]
    spoil(bench, first, field="id", value="none")
    bench.hide(second)
    result = bench.transactions(LOOKBACK)
    assert (result.rejected, result.removed) == (1, 0)
    assert {first, second} <= bench.live()
    assert [row["row_key"] for row in rejected(bench)] == [None]
    heal(bench)
    assert bench.transactions(LOOKBACK).removed == 1
    assert rejected(bench) == []
    assert bench.complete()


def test_a_row_rejected_twice_is_one_row_and_written_once(bench: Bench) -> None:
    first, second = bench.dated(LOOKBACK, TODAY)[:2]
    spoil(bench, first)
    spoil(bench, second, field="transaction-date", value="tomorrow")
    bench.transactions(LOOKBACK)
    before = bench.data()
    assert len(rejected(bench)) == 2
    for start in (LOOKBACK, day(11)):
        assert bench.transactions(start).rejected == 2
        assert bench.data()["rejected_rows"] == before["rejected_rows"]


def test_a_bad_row_that_is_mended_on_another_day_is_settled(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 20)
    spoil(bench, identifier)
    bench.transactions(day(21), day(19))
    assert len(rejected(bench)) == 1
    heal(bench)
    bench.sim.brokerage.redate(identifier, day(2))
    bench.transactions(day(3))
    assert rejected(bench) == []
    row = bench.row(identifier)
    assert row is not None
    assert row["transaction_date"] == day(2)


def test_a_row_that_turns_bad_while_it_moves_out_of_the_window_is_kept_and_told(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 4)
    bench.transactions()
    bench.sim.brokerage.redate(identifier, day(14))
    spoil(bench, identifier)
    result = bench.transactions(LOOKBACK)
    assert (result.removed, result.rejected) == (0, 1)
    assert identifier in bench.live()
    assert [row["row_key"] for row in rejected(bench)] == [str(identifier)]


def test_a_bad_row_that_the_broker_takes_back_is_settled(bench: Bench) -> None:
    identifier = bench.dated(LOOKBACK, TODAY)[0]
    spoil(bench, identifier)
    bench.transactions(LOOKBACK)
    bench.sim.brokerage.remove(identifier)
    assert bench.transactions(LOOKBACK).rejected == 0
    assert rejected(bench) == []


def test_a_row_of_another_day_without_a_readable_id_is_told_as_it_blocks_removals_too(bench: Bench) -> None:
    bench.transactions()
    other = bench.dated(day(16), day(11))[0]
    gone = bench.dated(LOOKBACK, TODAY)[0]
    spoil(bench, other, field="id", value="none")
    bench.hide(gone)
    result = bench.transactions(LOOKBACK)
    assert (result.rejected, result.removed) == (1, 0)
    (bad,) = rejected(bench)
    assert bad["window_start"] < LOOKBACK
    heal(bench)
    bench.transactions()
    assert rejected(bench) == []


def test_one_snapshot_of_an_impossible_day_removes_none(bench: Bench) -> None:
    bench.snapshots()
    before = bench.rows(schema.balance_snapshots)
    fault = Fault("bad_value", path="/balance-snapshots$", row=8, field="snapshot-date", value="9999-12-31")
    bench.sim.brokerage.faults.add(fault)
    result = bench.snapshots()
    assert (result.removed, result.rejected > 0) == (0, True)
    assert bench.rows(schema.balance_snapshots) == before


def test_bad_rows_do_not_confuse_the_totals(bench: Bench) -> None:
    bench.settings["history_start"] = day(20)
    before = bench.sim.brokerage.book_late(QUIET, 22)
    spoil(bench, before, *bench.dated(LOOKBACK, TODAY)[:1])
    bench.transactions(day(20))
    assert bench.verify() is None


@pytest.mark.parametrize(
    "value",
    ["a\x00b", "\ud800", {"deep": [[[[[[1]]]]]]}, 10**2000, Decimal("1E+5"), "x" * 100_000],
    ids=["NUL", "surrogate", "nested", "2001 digits", "number", "long"],
)
def test_no_bad_value_keeps_the_other_rows_from_loading(value: Any, bench: Bench) -> None:
    identifier = bench.dated(LOOKBACK, TODAY)[0]
    spoil(bench, identifier, value=float(value) if isinstance(value, Decimal) else value)
    bench.transactions(LOOKBACK)
    assert bench.live() >= set(bench.dated(LOOKBACK, date.max)) - {identifier}
    assert len(rejected(bench)) <= 1
    before = bench.data()
    bench.transactions(LOOKBACK)
    assert bench.data() == before


def test_a_bad_position_keeps_its_older_version(bench: Bench) -> None:
    bench.portfolio()
    before = bench.data()
    bench.sim.brokerage.faults.add(Fault("bad_value", path="/positions$", field="multiplier", value="many"))
    positions, _ = bench.portfolio()
    assert (positions.rejected, positions.written) == (1, 0)
    assert bench.data()["positions"] == before["positions"]
    assert not bench.audit("no_rejected_rows", schema.positions).passed
    heal(bench)
    bench.portfolio()
    assert rejected(bench) == []


def test_a_bad_account_is_not_taken_for_a_removed_one(bench: Bench) -> None:
    bench.accounts()
    bench.sim.brokerage.faults.add(
        Fault("bad_value", path="/customers/me/accounts", field="opened-at", value="long ago")
    )
    result = bench.accounts()
    assert (result.rejected, result.removed, result.written) == (1, 0, 0)
    heal(bench)
    assert bench.accounts().rejected == 0
    assert rejected(bench) == []


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize("changes", [{"account": {"opened-at": "long ago"}}, {"authority-level": ["owner"]}], ids=str)
def test_no_other_login_settles_a_bad_row_of_a_list_of_accounts(changes: dict[str, Any], bench: Bench) -> None:
    def spoiled(answer: Answer, _: dict[str, Any]) -> Answer:
        content = answer.edit()
        item = content["data"]["items"][0]
        item |= {**changes, "account": item["account"] | changes.get("account", {})}
        answer.put(content)
        return answer

    bench.sim.brokerage.faults.add(Fault(spoiled, path="/customers/me/accounts"))
    assert bench.accounts(connection="alice").rejected == 1
    heal(bench)
    before = rejected(bench)
    assert bench.accounts(connection="bob").rejected == 0
    assert rejected(bench) == before
    assert not bench.audit("no_rejected_rows", schema.accounts).passed
    assert bench.accounts(connection="alice").rejected == 0
    assert rejected(bench) == []


def test_a_bad_row_in_the_list_of_a_disconnected_login_is_settled_by_another_that_lacks_it(bench: Bench) -> None:
    bench.sim.brokerage.faults.add(
        Fault("bad_value", path="/customers/me/accounts", field="opened-at", value="long ago")
    )
    bench.accounts(connection="alice")
    heal(bench)
    alice = {"connection_id": "alice", "label": "alice", "sandbox": False, "connected_at": NOW, "disconnected_at": NOW}
    bench.change(sa.insert(schema.connections).values(alice))
    bench.accounts(connection="bob")
    assert rejected(bench) == []


def test_a_bad_row_in_the_list_of_accounts_whose_reading_is_not_in_the_log_is_settled_by_any_login(
    bench: Bench,
) -> None:
    bench.sim.brokerage.faults.add(
        Fault("bad_value", path="/customers/me/accounts", field="opened-at", value="long ago")
    )
    bench.accounts(connection="alice")
    heal(bench)
    bench.change(sa.delete(schema.sync_log))
    bench.accounts(connection="bob")
    assert rejected(bench) == []


def test_a_bad_row_of_an_account_is_settled_by_every_login_that_sees_the_account(bench: Bench) -> None:
    spoil(bench, bench.dated(LOOKBACK, TODAY)[0])
    bench.transactions(LOOKBACK, connection="alice")
    assert len(rejected(bench)) == 1
    heal(bench)
    bench.transactions(LOOKBACK, connection="bob")
    assert rejected(bench) == []


def test_a_snapshot_that_lost_its_time_of_day_never_passes_for_the_current_balance(
    bench: Bench,
) -> None:
    bench.snapshots()
    before = bench.rows(schema.balance_snapshots)
    fault = Fault("missing_field", path="/balance-snapshots$", row=0, field="time-of-day")
    bench.sim.brokerage.faults.add(fault)
    result = bench.snapshots()
    assert (result.removed, result.rejected > 0) == (0, True)
    assert bench.rows(schema.balance_snapshots) == before
    assert not bench.audit("no_rejected_rows", schema.balance_snapshots).passed
    bench.sim.brokerage.faults.clear()
    bench.snapshots()
    assert bench.audit("no_rejected_rows", schema.balance_snapshots).passed
