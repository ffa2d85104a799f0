"""A window that answers as when it was published is not read again, and only as long as the table still holds its rows.

A busy account: its six weeks are some windows of days, each but those at the edges with a receipt.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.arrow import to_arrow
from tasty_pipeline.core.broker import Span
from tasty_pipeline.core.errors import StaleReadError
from tasty_pipeline.core.publish import Answer, Run, receipts
from tasty_pipeline.core.sync.window import PAD

from .bench import QUIET, START, TODAY, Bench, Row, day, elsewhere

pytestmark = pytest.mark.usefixtures("either_backend")
TABLE, KEPT = schema.transactions, schema.proven_windows
MIDDLE = day(20)


@pytest.fixture
def busy(bench: Bench) -> Bench:
    """A bench whose account has more rows than a page, all synchronised."""
    bench.sim.brokerage.trade(QUIET, n=1)
    for back in range(3, 39):
        for _ in range(60):
            bench.sim.brokerage.book_late(QUIET, back)
    bench.transactions()
    assert len(bench.rows(KEPT)) > 1
    return bench


def requests(bench: Bench) -> int:
    return bench.asked("/transactions")


def as_listed(bench: Bench) -> bool:
    return bench.live() == set(bench.dated(START, TODAY)) and bench.complete()


def some_row(bench: Bench) -> Row:
    (row,) = bench.rows(TABLE, TABLE.c.transaction_id == bench.dated(MIDDLE, MIDDLE)[0])
    return row


def test_an_unchanged_history_is_one_count_and_one_look_at_each_window_and_writes_nothing(busy: Bench) -> None:
    windows = len(busy.rows(KEPT))
    data, before = busy.data(), requests(busy)
    result = busy.transactions()
    assert requests(busy) - before == 1 + windows
    assert (result.written, result.read, result.unchanged) == (0, len(busy.dated(START, TODAY)), result.read)
    assert result.rows_by_day[MIDDLE] == len(busy.dated(MIDDLE, MIDDLE))
    assert busy.data() == data


def test_a_changed_row_is_found_and_its_window_has_a_new_receipt(busy: Bench) -> None:
    kept = {row["window_start"]: row["body_digest"] for row in busy.rows(KEPT)}
    (identifier, *_) = busy.dated(MIDDLE, MIDDLE)
    busy.sim.brokerage.restate(identifier, value="-2.22")
    assert busy.transactions().updated == 1
    assert busy.row(identifier)["value"] == Decimal("-2.22")  # type: ignore[index]
    again = {row["window_start"]: row["body_digest"] for row in busy.rows(KEPT)}
    assert again.keys() == kept.keys()
    assert sum(again[start] != kept[start] for start in kept) == 1
    assert as_listed(busy)


@pytest.mark.parametrize(
    "damage",
    [
        sa.update(TABLE).values(description="by hand"),
        sa.update(TABLE).values(net_value=TABLE.c.net_value + 1),
        sa.delete(TABLE),
    ],
    ids=["text", "amount", "deleted"],
)
def test_a_row_that_somebody_changed_in_the_table_is_mended_though_the_broker_answers_as_before(
    busy: Bench, damage: sa.Update | sa.Delete
) -> None:
    row = some_row(busy)
    assert busy.change(damage.where(TABLE.c.transaction_id == row["transaction_id"])) == 1
    result = busy.transactions()
    assert result.inserted + result.updated == 1
    stored = some_row(busy)
    assert {**stored, "synced_at": None, "run_id": None} == {**row, "synced_at": None, "run_id": None}
    assert as_listed(busy)


def test_a_row_that_somebody_put_into_the_table_is_found_though_the_broker_answers_as_before(busy: Bench) -> None:
    with busy.warehouse.write() as writer:
        writer.insert(TABLE, [some_row(busy) | {"transaction_id": 1}])
    assert busy.transactions().removed == 1
    assert as_listed(busy)


def test_an_older_reading_that_is_published_meanwhile_makes_the_windows_be_read_again(busy: Bench) -> None:
    row = some_row(busy)

    def overwritten() -> None:
        changed = sa.update(TABLE).values(description="older").where(TABLE.c.transaction_id == row["transaction_id"])
        busy.change(changed)

    busy.after("transactions", 1, elsewhere(overwritten))
    assert busy.transactions().updated == 1
    assert some_row(busy)["description"] == row["description"]
    assert as_listed(busy)


def test_a_row_that_comes_out_of_a_window_after_it_answered_as_before_is_not_lost_there(busy: Bench) -> None:
    (moved, *_) = busy.dated(MIDDLE, MIDDLE)
    busy.sim.brokerage.book_late(QUIET, 5)  # two passes
    busy.after("transactions", 1, lambda: busy.sim.brokerage.redate(moved, day(5)))
    busy.transactions()
    busy.transactions()
    assert as_listed(busy)


def test_an_answer_with_a_row_that_is_held_in_a_window_that_was_not_read_is_refused(busy: Bench) -> None:
    moved = some_row(busy) | {"transaction_date": day(5)}
    now = datetime.now(UTC)
    answer = Answer(
        rows=to_arrow(TABLE, [{name: moved[name] for name in schema.content(TABLE)}], schema.content(TABLE)),
        rejected=(),
        start=START,
        end=TODAY,
        unchanged=[Span(MIDDLE, MIDDLE)],
        started_at=now,
        ended_at=now,
    )
    run = Run(run_id="run", environment="simulator", history_start=START)
    with busy.warehouse.write() as writer, pytest.raises(StaleReadError):
        publish.merge_days(writer, TABLE, run, QUIET, answer)


def test_a_receipt_of_some_days_of_a_window_does_not_stand_for_all_of_them(busy: Bench) -> None:
    """Rows of the others were never published."""
    busy.change(sa.delete(KEPT))
    busy.change(sa.delete(schema.proven_days))
    busy.change(sa.delete(TABLE))
    first = day(37)
    busy.transactions(first, TODAY)
    busy.sim.brokerage.book_late(QUIET, 5)
    earlier = first - timedelta(days=1)
    busy.transactions(earlier, TODAY)
    assert busy.live() == set(busy.dated(earlier, TODAY))


def test_a_window_with_a_bad_row_has_no_receipt_and_gets_one_when_the_row_is_good(busy: Bench) -> None:
    windows = len(busy.rows(KEPT))
    (identifier, *_) = busy.dated(MIDDLE, MIDDLE)
    busy.sim.brokerage.restate(identifier, leg_count="many")
    assert busy.transactions().rejected == 1
    assert len(busy.rows(KEPT)) == windows - 1
    busy.sim.brokerage.restate(identifier, leg_count=1)
    assert busy.transactions().rejected == 0
    assert len(busy.rows(KEPT)) == windows
    assert as_listed(busy)


def test_receipts_of_other_days_than_are_asked_for_stay(busy: Bench) -> None:
    kept = busy.rows(KEPT, KEPT.c.window_end < day(30))
    busy.transactions(day(5), TODAY)
    assert busy.rows(KEPT, KEPT.c.window_end < day(30)) == kept


def test_a_window_that_was_read_by_another_version_of_the_contract_is_read_again(
    busy: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upgraded package may make other rows of the same answer."""
    busy.change(sa.update(TABLE).values(description="as the old version read it"))
    last = TODAY + PAD
    with busy.warehouse.read() as reader:
        as_they_are = reader.fingerprints(TABLE, QUIET, START, last)
    stored = receipts._Stored(as_they_are, START, last)  # noqa: SLF001 - a receipt as the old version wrote it
    for row in busy.rows(KEPT):
        receipt = stored.fingerprint(Span(row["window_start"], row["window_end"]))
        this = sa.update(KEPT).where(KEPT.c.window_start == row["window_start"])
        busy.change(this.values(fingerprint=receipt))
    assert busy.transactions().updated == 0
    monkeypatch.setattr(receipts, "_contract", lambda: "another")
    assert busy.transactions().updated == len(busy.rows(TABLE))
    assert "as the old version read it" not in {row["description"] for row in busy.rows(TABLE)}


def test_a_day_that_lay_ahead_when_its_window_was_published_is_proven_when_it_has_come(bench: Bench) -> None:
    """Nothing was booked on it, so that the window answers as before."""
    for _ in range(400):
        bench.sim.brokerage.deposit(QUIET, 1)
        for back in range(1, 14):
            bench.sim.brokerage.book_late(QUIET, back)
    bench.transactions(day(20))
    for ahead in (1, 2, 3):
        bench.sim.brokerage.advance(timedelta(days=1))
        bench.sim.brokerage.book_late(QUIET, 10)
        bench.transactions(day(20), day(-ahead))
    proven = {row["day"] for row in bench.rows(schema.proven_days)}
    assert {day(back) for back in range(-3, 21)} <= proven
