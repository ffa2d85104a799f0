"""Every audit passes on what a sync leaves, and fails on each damage that it names."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.audits import Finding
from tasty_pipeline.core.sync import Sync, history_of_new
from tasty_pipeline.core.tradingdays import last_closed_session
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer
from tasty_pipeline.simulator import Fault
from tasty_pipeline.simulator.answers import Answer

from .bench import BUSY, NEW_YORK, QUIET, START, TODAY, Bench, day

TRANSACTIONS, PROVEN = schema.transactions, schema.proven_days
Audit = Callable[[Reader], Finding]
T = TRANSACTIONS.c


def every_audit() -> dict[str, Audit]:
    found: dict[str, Audit] = {
        "one_partition": audits.one_partition,
        "net_value": audits.net_value,
        "complete transactions": lambda reader: audits.complete(reader, TRANSACTIONS),
        "complete snapshots": lambda reader: audits.complete(reader, schema.balance_snapshots),
    }
    for table in schema.MIRRORED.values():
        found[f"unique_keys {table.name}"] = lambda reader, table=table: audits.unique_keys(reader, table)
        found[f"no_rejected_rows {table.name}"] = lambda reader, table=table: audits.no_rejected_rows(reader, table)
        found[f"contract {table.name}"] = lambda reader, table=table: audits.contract(reader, table)
        found[f"known_accounts {table.name}"] = lambda reader, table=table: audits.known_accounts(reader, table)
    return found


def failing(reader: Reader) -> dict[str, Finding]:
    findings = {name: audit(reader) for name, audit in every_audit().items()}
    return {name: finding for name, finding in findings.items() if not finding.passed}


@pytest.mark.usefixtures("either_backend")
def test_every_audit_passes_on_what_a_sync_leaves(bench: Bench) -> None:
    bench.everything()
    with bench.warehouse.read() as reader:
        assert failing(reader) == {}
        facts = audits.complete(reader, TRANSACTIONS).facts
        windowed = [
            audits.complete(reader, TRANSACTIONS, (day(5), TODAY)),
            audits.one_partition(reader, (day(5), TODAY)),
            audits.net_value(reader, (day(5), TODAY)),
            audits.unique_keys(reader, TRANSACTIONS, (day(5), TODAY)),
            audits.known_accounts(reader, schema.positions, (day(5), TODAY)),
        ]
    assert all(finding.passed for finding in windowed)
    assert facts["proven_days"] >= 2 * ((TODAY - START).days + 1)


def test_the_weekend_before_a_row_that_is_dated_ahead_needs_no_proof_yet(bench: Bench) -> None:
    bench.sim.brokerage.trade(QUIET, symbol="/ESZ6")  # on a Friday evening: Monday's
    bench.everything()
    assert bench.complete()
    bench.sim.brokerage.trade(QUIET, symbol="/ESZ6")
    bench.transactions(day(9), day(1))  # touches Monday, which is read in a window of its own that ends today
    assert bench.complete()
    assert max(row["window_end"] for row in bench.log() if row["window_end"]) == TODAY


def first(table: sa.Table) -> Any:
    (key, *_) = schema.key_of(table)
    return table.c[key] == sa.select(sa.func.min(table.c[key])).scalar_subquery()


def some_trade(account: str = BUSY) -> Any:
    least = sa.select(sa.func.min(T.transaction_id)).where(T.exec_id.is_not(None), T.account_number == account)
    return T.transaction_id == least.scalar_subquery()


def set_of(table: sa.Table, where: Any, **columns: Any) -> sa.Update:
    return sa.update(table).where(where).values(**columns)


def booked_twice(writer: Writer) -> None:
    (row,) = writer.rows(sa.select(TRANSACTIONS).where(some_trade()))
    twin = {**row, "transaction_id": 1, "transaction_date": row["transaction_date"] + timedelta(days=1)}
    writer.insert(TRANSACTIONS, [twin])


def stranger(writer: Writer) -> None:
    (row,) = writer.rows(sa.select(TRANSACTIONS).where(some_trade()))
    writer.insert(TRANSACTIONS, [{**row, "transaction_id": 1, "transaction_date": date(2020, 1, 1)}])


def rejection(**changes: Any) -> Callable[[Writer], None]:
    def reject(writer: Writer) -> None:
        row = dict.fromkeys(("account_number", "payload_digest", "row_key", "reason", "run_id"), "x")
        dates = {"window_start": day(3), "window_end": day(3), "synced_at": datetime.now(NEW_YORK)}
        writer.insert(schema.rejected_rows, [{**row, **dates, "table_name": "transactions", "payload": {}, **changes}])

    return reject


def executed(*statements: sa.Update | sa.Delete) -> Callable[[Writer], None]:
    def damage(writer: Writer) -> None:
        for statement in statements:
            assert writer.execute(statement)

    return damage


DAMAGE: dict[str, tuple[Callable[[Writer], None], set[str]]] = {
    "a row is deleted": (executed(sa.delete(TRANSACTIONS).where(some_trade())), {"complete transactions"}),
    "a row is added": (stranger, {"complete transactions", "one_partition"}),
    "a row is booked twice": (booked_twice, {"complete transactions", "one_partition"}),
    "a value is changed": (
        executed(set_of(TRANSACTIONS, some_trade(), price=Decimal("0.01"))),
        {"complete transactions"},
    ),
    "a row is moved": (
        executed(set_of(TRANSACTIONS, some_trade(), transaction_date=date(2026, 10, 31))),
        {"complete transactions"},
    ),
    "a row is marked removed": (
        executed(set_of(TRANSACTIONS, some_trade(), removed_at=datetime(2026, 1, 1, tzinfo=NEW_YORK))),
        {"complete transactions"},
    ),
    "a proof is lost": (
        executed(sa.delete(PROVEN).where(PROVEN.c.table_name == "transactions", PROVEN.c.row_count > 0)),
        {"complete transactions"},
    ),
    "a snapshot is changed": (
        executed(set_of(schema.balance_snapshots, schema.balance_snapshots.c.snapshot_date == TODAY, cash_balance=1)),
        {"complete snapshots"},
    ),
    "a net value is off by two cents": (
        executed(set_of(TRANSACTIONS, some_trade(), net_value=T.net_value + Decimal("0.02"))),
        {"net_value", "complete transactions"},
    ),
    "an account is unknown": (
        executed(sa.delete(schema.accounts).where(schema.accounts.c.account_number == QUIET)),
        {f"known_accounts {name}" for name in schema.MIRRORED if name != "accounts"},
    ),
    "a row is rejected": (rejection(), {"no_rejected_rows transactions"}),
    "a position is rejected": (
        rejection(table_name="positions", window_start=None, window_end=None),
        {"no_rejected_rows positions"},
    ),
    "a field is new": (
        executed(set_of(schema.positions, first(schema.positions), extra={"brand-new": 1})),
        {"contract positions"},
    ),
    "a field is gone": (
        executed(set_of(schema.balances, sa.true(), net_liquidating_value=None)),
        {"contract balances"},
    ),
    "a value is unknown": (
        executed(set_of(schema.accounts, first(schema.accounts), margin_or_cash="Barter")),
        {"contract accounts"},
    ),
}


class _Undo(Exception):  # noqa: N818 - rolls the damage back
    pass


@contextmanager
def undone(bench: Bench) -> Iterator[Writer]:
    """Give a writer whose work is rolled back in the end."""
    with suppress(_Undo), bench.warehouse.write() as writer:
        yield writer
        raise _Undo


def test_every_damage_is_found_by_the_audits_that_name_it_and_by_no_other(bench: Bench) -> None:
    bench.everything()
    for name, (damage, expected) in DAMAGE.items():
        with undone(bench) as writer:
            damage(writer)
            found = failing(writer)
        assert set(found) == expected, name
        for finding in found.values():
            assert finding.breaks >= len(finding.sample) > 0, name
            assert len(finding.sample) <= audits.SAMPLE
            assert len(finding.recovery) > 40, name
            assert "{}" not in finding.summary


def test_a_key_that_stands_twice_is_found_where_the_constraint_is_lost(bench: Bench) -> None:
    bench.accounts()
    with undone(bench) as writer:
        writer._session.script("ALTER TABLE tasty.accounts DROP CONSTRAINT accounts_pkey")  # noqa: SLF001
        writer.insert(schema.accounts, writer.rows(sa.select(schema.accounts)))
        finding = audits.unique_keys(writer, schema.accounts)
        assert (finding.passed, finding.breaks) == (False, 2)
        assert "primary key" in finding.recovery


def test_a_net_value_off_by_a_cent_of_rounding_is_the_brokers_own(bench: Bench) -> None:
    bench.transactions(account=BUSY)
    bench.change(set_of(TRANSACTIONS, some_trade(), net_value=T.net_value + Decimal("0.01")))
    with bench.warehouse.read() as reader:
        assert audits.net_value(reader).passed


def test_a_standing_rejection_is_found_whatever_its_days(bench: Bench) -> None:
    with bench.warehouse.write() as writer:
        rejection(window_start=None, window_end=None)(writer)
    assert not bench.audit("no_rejected_rows", TRANSACTIONS).passed
    with bench.warehouse.write() as writer:
        writer.execute(set_of(schema.rejected_rows, sa.true(), window_start=day(3), window_end=day(3)))
    assert not bench.audit("no_rejected_rows", TRANSACTIONS).passed


def test_a_day_that_was_proven_for_one_account_is_missed_of_the_other(bench: Bench) -> None:
    bench.accounts()
    bench.transactions(day(9), TODAY)
    missing = bench.audit("complete", TRANSACTIONS)
    assert not missing.passed
    assert {(row["account_number"], row["rows_proven"]) for row in missing.sample} == {(BUSY, None)}
    bench.transactions(day(9), TODAY, account=BUSY)
    assert bench.complete()


@pytest.mark.usefixtures("either_backend")
def test_a_proof_of_an_older_version_is_compared_by_its_number_of_rows_alone(bench: Bench) -> None:
    bench.accounts()
    for account in (BUSY, QUIET):
        bench.transactions(account=account)
    bench.change(set_of(PROVEN, sa.true(), digest="0" * 32))
    changed, gone = set_of(TRANSACTIONS, some_trade(), price=Decimal("0.01")), sa.delete(TRANSACTIONS)
    for damage, passes in ((changed, True), (gone.where(some_trade()), False)):
        with undone(bench) as writer:
            assert writer.execute(damage) == 1
            assert audits.complete(writer, TRANSACTIONS).passed is passes
    bench.change(set_of(PROVEN, sa.true(), digest="2:" + "0" * 32))
    assert not bench.audit("complete", TRANSACTIONS).passed


def test_content_is_compared_within_the_window_and_numbers_on_all_days(bench: Bench) -> None:
    bench.accounts()
    for account in (BUSY, QUIET):
        bench.transactions(account=account)
    with bench.warehouse.read() as reader:
        (trade,) = reader.rows(sa.select(TRANSACTIONS).where(some_trade()))
    day_of_it, later = trade["transaction_date"], trade["transaction_date"] + timedelta(days=1)
    with undone(bench) as writer:
        executed(set_of(TRANSACTIONS, some_trade(), price=Decimal("0.01")))(writer)
        assert not audits.complete(writer, TRANSACTIONS, (day_of_it, day_of_it)).passed
        assert audits.complete(writer, TRANSACTIONS, (later, TODAY)).passed
        executed(sa.delete(TRANSACTIONS).where(some_trade()))(writer)
        assert not audits.complete(writer, TRANSACTIONS, (later, TODAY)).passed


@pytest.mark.usefixtures("either_backend")
def test_a_row_that_is_booked_twice_is_found_from_either_of_its_days(bench: Bench) -> None:
    bench.transactions(account=BUSY)
    with undone(bench) as writer:
        (row,) = writer.rows(sa.select(TRANSACTIONS).where(some_trade()))
        booked_twice(writer)
        each = row["transaction_date"]
        following = each + timedelta(days=1)
        for window, breaks in (((each, each), 1), ((following, following), 1), ((following, TODAY), 1), (None, 1)):
            assert audits.one_partition(writer, window).breaks == breaks
        assert audits.one_partition(writer, (each - timedelta(days=9), each - timedelta(days=1))).passed


@pytest.mark.usefixtures("either_backend")
def test_what_is_unknown_is_counted_by_its_name_in_all_rows(warehouse: Warehouse) -> None:
    accounts = schema.accounts
    extras: list[Any] = [{"new": 1, "other": None}, {"new": {"in": 2}}, [1], "text", None]
    now = datetime.now(NEW_YORK)
    samples: dict[type, Any] = {sa.Text: "x", sa.Boolean: False, sa.DateTime: now}
    sent = {column.name: samples[type(column.type)] for column in accounts.c if column.info["expected"]}
    rows = [
        {**sent, "account_number": f"5WX{number}", "extra": extra, "margin_or_cash": "Barter", "synced_at": now}
        for number, extra in enumerate(extras)
    ]
    with warehouse.write() as writer:
        writer.insert(accounts, rows)
        writer.execute(set_of(accounts, accounts.c.account_number == "5WX4", extra=sa.JSON.NULL))
        drift = audits.contract(writer, accounts).sample
    assert drift == [
        {"drift": "unknown field", "field": "new", "rows": 2},
        {"drift": "unknown field", "field": "other", "rows": 1},
        {"drift": "unknown value", "field": "margin-or-cash", "value": "Barter", "rows": 5},
    ]


def at(clock: str) -> datetime:
    return datetime.fromisoformat(clock).replace(tzinfo=NEW_YORK)


def entry(table: str, read_at: datetime, window_end: date | None) -> dict[str, Any]:
    numbers = ("inserted", "updated", "removed", "rejected", "read")
    return {
        **{f"rows_{name}": 0 for name in numbers},
        **dict.fromkeys(("requests", "retries", "throttled"), 0),
        **dict.fromkeys(("sync_id", "connection", "environment", "run_id"), "x"),
        "account_number": QUIET,
        "table_name": table,
        "window_end": window_end,
        "result": "published",
        "read_started_at": read_at,
        "synced_at": read_at,
    }


@pytest.mark.parametrize(
    ("table", "now", "read_at", "fresh"),
    [
        ("positions", "2026-11-21T12:00", "2026-11-20T16:05", True),  # a Saturday after Friday's close
        ("positions", "2026-11-21T12:00", "2026-11-20T15:55", False),
        ("positions", "2026-11-22T23:00", "2026-11-20T16:05", True),
        ("positions", "2026-11-23T17:30", "2026-11-20T16:05", True),  # Monday's grace
        ("positions", "2026-11-23T18:05", "2026-11-20T16:05", False),
        ("positions", "2026-11-26T20:00", "2026-11-25T16:05", True),  # Thanksgiving
        ("positions", "2026-11-27T14:55", "2026-11-25T16:05", True),  # a half day: closed at 13:00, due at 15:00
        ("positions", "2026-11-27T15:05", "2026-11-25T16:05", False),
        ("positions", "2026-11-27T15:05", "2026-11-27T12:55", False),
        ("positions", "2026-11-27T15:05", "2026-11-27T13:05", True),
        ("transactions", "2026-11-21T05:55", "2026-11-19T16:05", True),  # due at six on the next morning
        ("transactions", "2026-11-21T06:05", "2026-11-19T16:05", False),
        ("transactions", "2026-11-21T06:05", "2026-11-20T16:05", True),
    ],
)
def test_freshness_knows_the_sessions_of_the_exchange(
    table: str, now: str, read_at: str, fresh: bool, bench: Bench
) -> None:
    bench.accounts()
    accounts = schema.accounts
    bench.change(set_of(accounts, accounts.c.account_number == BUSY, is_closed=True))
    read = at(read_at)
    with bench.warehouse.write() as writer:
        window_end = read.date() if table == "transactions" else None
        writer.insert(schema.sync_log, [entry(table, read, window_end)])
    with bench.warehouse.read() as reader:
        finding = audits.fresh(reader, [table], at(now), intraday=table == "positions")
    assert finding.passed is fresh
    assert "session_due" in finding.facts
    if not fresh:
        assert finding.sample[0]["account_number"] == QUIET
        assert "doctor" in finding.recovery


def test_a_backfill_of_old_days_does_not_make_the_history_fresh(bench: Bench) -> None:
    bench.accounts()
    bench.transactions(day(30), day(20), account=QUIET)
    bench.transactions(account=BUSY)
    now = datetime.now(NEW_YORK)
    session = last_closed_session(now, audits.SESSION_GRACE)[0]
    with bench.warehouse.write() as writer:
        log = schema.sync_log
        writer.execute(sa.update(log).where(log.c.account_number == BUSY).values(window_end=session))
    with bench.warehouse.read() as reader:
        finding = audits.fresh(reader, ["transactions"], now, intraday=False)
    assert [row["account_number"] for row in finding.sample] == [QUIET]


def test_nothing_is_fresh_before_any_account_is_known(bench: Bench) -> None:
    with bench.warehouse.read() as reader:
        for table in schema.MIRRORED:
            assert not audits.fresh(reader, [table], datetime.now(NEW_YORK), intraday=True).passed


def test_what_only_the_broker_changed_in_its_payloads_is_reported_and_loads(bench: Bench) -> None:
    faults = bench.sim.brokerage.faults
    faults.add(Fault("extra_field", path="/positions$", field="brand-new", value={"nested": [1]}))
    faults.add(Fault("unknown_enum", path="/positions$", field="instrument-type"))
    assert bench.portfolio()[0].rejected == 0
    drift = {(row["drift"], row["field"]) for row in bench.audit("contract", schema.positions).sample}
    assert drift == {("unknown field", "brand-new"), ("unknown value", "instrument-type")}


def test_a_field_of_another_type_is_reported_and_loads(bench: Bench) -> None:
    bench.sim.brokerage.faults.add(Fault("retyped_field", path="/transactions$", field="description", value=12))
    result = bench.transactions()
    assert (result.rejected, bench.live()) == (0, bench.listed())
    drift = bench.audit("contract", schema.transactions).sample
    assert drift == [{"drift": "field of another type", "field": "description", "rows": 1}]


def test_a_trade_without_what_every_trade_has_is_reported(bench: Bench) -> None:
    bench.transactions()
    assert bench.audit("contract", schema.transactions).passed
    bench.sim.brokerage.faults.add(Fault("missing_field", path="/transactions$", row="all", field="symbol"))
    bench.transactions()
    trades = [row for row in bench.rows(schema.transactions) if row["transaction_type"] == "Trade"]
    (drift,) = bench.audit("contract", schema.transactions).sample
    assert drift == {"drift": "absent field", "field": "symbol", "rows": len(trades)}


def test_a_listed_account_without_an_authority_level_is_reported(bench: Bench) -> None:
    def silent(answer: Answer, _: dict[str, Any]) -> Answer:
        content = answer.edit()
        del content["data"]["items"][0]["authority-level"]
        answer.put(content)
        return answer

    bench.accounts()
    assert bench.audit("contract", schema.accounts).passed
    bench.sim.brokerage.faults.add(Fault(silent, path="/customers/me/accounts$"))
    bench.accounts()
    drift = bench.audit("contract", schema.accounts).sample
    assert drift == [{"drift": "absent field", "field": "authority-level", "rows": 1}]


def test_what_was_removed_is_no_drift_of_today(bench: Bench) -> None:
    fault = Fault("extra_field", path="/transactions$", row=3, field="brand-new")
    bench.sim.brokerage.faults.add(fault)
    bench.transactions()
    assert not bench.audit("contract", schema.transactions).passed
    bench.sim.brokerage.faults.clear()
    (odd,) = bench.rows(schema.transactions, schema.transactions.c.extra.is_not(None))
    bench.hide(odd["transaction_id"])
    assert bench.transactions().removed == 1
    assert bench.audit("contract", schema.transactions).passed


def test_of_an_account_opened_after_the_history_s_start_was_moved_no_earlier_days_are_wanted(bench: Bench) -> None:
    later = day(15)
    bench.everything()
    new = bench.sim.brokerage.open_account()
    bench.accounts(history_start=later)
    assert bench.do(lambda s: _history_of_new(s, new), history_start=later) == later
    bench.transactions(later, TODAY, account=new, history_start=later)
    assert bench.do(lambda s: _history_of_new(s, new), history_start=later) is None
    assert not bench.complete()
    assert bench.audit("complete", TRANSACTIONS, None, later).passed


async def _history_of_new(sync: Sync, account: str) -> date | None:
    return history_of_new(sync, TRANSACTIONS, account)
