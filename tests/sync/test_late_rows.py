"""Rows that come, move and change after their day was read."""

from datetime import date, timedelta

import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import ConfigurationError, IncompleteAnswerError, PermanentError, TastyError
from tasty_pipeline.core.warehouse import Warehouse

from .bench import QUIET, START, TODAY, Bench, day

LOOKBACK = day(10)


def proven(bench: Bench, which: date) -> list[int]:
    """How many rows are proven for a day, in a list that is empty where it was never asked for."""
    table = schema.proven_days
    return [row["row_count"] for row in bench.rows(table, table.c.day == which, table.c.table_name == "transactions")]


def _stopped() -> None:
    raise PermanentError("It was stopped.", "nothing.")


def test_a_late_row_inside_the_lookback_is_stored(bench: Bench) -> None:
    bench.transactions()
    late = bench.sim.brokerage.book_late(QUIET, 8)
    result = bench.transactions(LOOKBACK)
    assert (result.inserted, result.written) == (1, 1)
    assert bench.live() == bench.listed()
    assert late in bench.live()
    assert bench.complete()


def test_a_late_row_on_a_proven_day_outside_the_window_is_stored_and_its_day_proven_anew(bench: Bench) -> None:
    bench.transactions()
    back = 14  # the answer reaches seven days over the lookback's edge
    before = proven(bench, day(back))
    late = bench.sim.brokerage.book_late(QUIET, back)
    result = bench.transactions(LOOKBACK)
    assert result.inserted == 1
    assert late in bench.live()
    assert proven(bench, day(back)) == [before[0] + 1]
    assert bench.complete()


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize(
    ("old", "new", "reads"),  # a row that is gone from all that is read is looked for in a second answer
    [(14, 2, 1), (2, 14, 1), (2, 30, 2), (14, 14, 1)],
    ids=["into", "out", "far out", "restated before it"],
)
def test_a_run_that_is_stopped_before_it_proves_what_it_touched_is_finished_by_the_next(
    old: int, new: int, reads: int, bench: Bench
) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, old)
    bench.transactions()
    if old == new:
        bench.sim.brokerage.restate(identifier, value="-2.22")
    else:
        bench.sim.brokerage.redate(identifier, day(new))
    bench.before("transactions", reads + 1, _stopped)
    with pytest.raises(TastyError):
        bench.transactions(LOOKBACK)
    row = bench.row(identifier)
    assert row is not None
    assert row["transaction_date"] == day(new)
    (outside,) = {old, new} - {2}
    assert [each["day"] for each in bench.audit("complete", schema.transactions).sample] == [day(outside)]
    bench.transactions(day(1))
    assert bench.complete()
    asked = bench.asked("/transactions")
    bench.transactions(day(1))
    assert bench.asked("/transactions") == asked + 1


def test_a_row_that_came_and_went_with_two_stopped_runs_leaves_no_day_that_cannot_be_proven(bench: Bench) -> None:
    """Its window answers as before, and the table holds of it what it held then."""
    for back in range(3, 39):
        for _ in range(100):
            bench.sim.brokerage.book_late(QUIET, back)
    moved = bench.sim.brokerage.book_late(QUIET, 1)
    bench.transactions()
    for to, reads in ((25, 2), (1, 1)):
        bench.sim.brokerage.redate(moved, day(to))
        bench.before("transactions", reads + 1, _stopped)
        with pytest.raises(TastyError):
            bench.transactions(day(2))
    assert not bench.complete()
    assert bench.transactions().written == 0
    assert bench.complete()


def test_days_that_change_with_every_reading_are_an_error_and_proven_by_the_next_run(bench: Bench) -> None:
    moved = bench.sim.brokerage.book_late(QUIET, 2)
    bench.transactions()
    ahead = iter(range(12, 30))

    def move() -> None:
        bench.sim.brokerage.redate(moved, day(next(ahead)))

    for call in range(1, 12):
        bench.before("transactions", call, move)
    with pytest.raises(IncompleteAnswerError):
        bench.transactions(day(3))
    bench.transactions(day(3))
    assert bench.live() == bench.listed()
    assert bench.complete()


def test_a_row_that_was_dated_far_ahead_for_a_while_leaves_nothing_unproven(bench: Bench) -> None:
    moved = bench.sim.brokerage.book_late(QUIET, 4)
    bench.transactions()
    for to in (TODAY + timedelta(days=300), day(4)):
        bench.sim.brokerage.redate(moved, to)
        bench.transactions(LOOKBACK)
        assert bench.live() == bench.listed()
    assert bench.complete()


def test_a_row_on_a_day_that_was_never_asked_for_is_not_stored(bench: Bench) -> None:
    late = bench.sim.brokerage.book_late(QUIET, 12)
    bench.transactions(LOOKBACK)
    assert late not in bench.live()
    assert bench.live() == set(bench.dated(LOOKBACK, TODAY + timedelta(days=7)))
    assert proven(bench, day(12)) == []
    assert bench.complete()


@pytest.mark.parametrize(
    ("old", "new"),
    [(3, 6), (14, 4), (4, 14), (4, 30), (30, 4), (9, 38)],
    ids=["within", "into", "out", "out of it by more than the padding", "into from afar", "to the first days"],
)
def test_a_row_that_is_moved_to_another_day_is_never_lost(old: int, new: int, bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, old)
    bench.transactions()
    bench.sim.brokerage.redate(identifier, day(new))
    result = bench.transactions(LOOKBACK)
    row = bench.row(identifier)
    assert row is not None
    assert (row["transaction_date"], row["removed_at"]) == (day(new), None)
    assert (result.inserted, result.updated, result.removed) == (0, 1, 0)
    assert bench.live() == bench.listed()
    assert bench.complete()
    assert bench.verify() is None


def test_a_row_that_moves_to_a_day_never_asked_for_takes_the_proof_of_that_day_along(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 4)
    bench.transactions(LOOKBACK)
    bench.sim.brokerage.redate(identifier, day(25))
    bench.transactions(LOOKBACK)
    assert identifier in bench.live()
    assert proven(bench, day(25)) == [len(bench.dated(day(25), day(25)))]
    assert bench.complete()


def test_a_row_that_moves_out_of_the_lookback_between_two_days_outside_is_found_by_its_window(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 30)
    bench.transactions()
    bench.sim.brokerage.redate(identifier, day(25))
    assert bench.transactions(LOOKBACK).written == 0
    # neither the lookback nor a total can see it; the next reading of those days does
    assert bench.transactions(day(26), day(24)).updated == 1
    assert bench.complete()


def test_a_restated_row_replaces_the_old_one(bench: Bench) -> None:
    bench.transactions()
    identifier = bench.dated(LOOKBACK, TODAY)[-1]
    bench.sim.brokerage.restate(identifier, value="-11.11", description="restated")
    result = bench.transactions(LOOKBACK)
    row = bench.row(identifier)
    assert row is not None
    assert (str(row["value"].normalize()), row["description"]) == ("-11.11", "restated")
    assert (result.updated, result.written) == (1, 1)
    assert row["run_id"] == "run-2"
    assert bench.complete()


def test_a_row_restated_beyond_the_window_is_taken_with_the_padding(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 13)
    bench.transactions()
    bench.sim.brokerage.restate(identifier, value="0.009")
    assert bench.transactions(LOOKBACK).updated == 1
    assert bench.complete()


def test_totals_that_agree_cost_no_second_reading(bench: Bench) -> None:
    bench.transactions()
    asked = bench.asked("/transactions")
    assert bench.verify() is None
    assert bench.asked("/transactions") == asked + 2


def test_a_row_dated_after_today_counts_on_both_sides_of_the_totals(bench: Bench) -> None:
    bench.sim.brokerage.trade(QUIET, symbol="/ESZ6")  # on a Friday evening: Monday's
    bench.transactions()
    assert bench.verify() is None


def test_totals_find_a_row_later_than_any_lookback(bench: Bench) -> None:
    bench.transactions()
    late = bench.sim.brokerage.book_late(QUIET, 35)
    assert bench.transactions(LOOKBACK).written == 0
    result = bench.verify()
    assert result is not None
    assert result.inserted == 1
    assert late in bench.live()
    assert bench.complete()
    assert bench.verify() is None


def test_totals_find_a_row_that_was_removed_long_ago(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 35)
    bench.transactions()
    bench.sim.brokerage.remove(identifier)
    result = bench.verify()
    assert result is not None
    assert result.removed == 1
    assert bench.verify() is None


def test_rows_before_the_historys_start_are_not_stored_and_do_not_confuse_the_totals(bench: Bench) -> None:
    first = day(20)
    for back in (20, 21, 24, 27, 29):
        bench.sim.brokerage.book_late(QUIET, back)
    bench.settings["history_start"] = first
    result = bench.transactions(START, TODAY)
    assert result.start == first
    assert bench.live() == set(bench.dated(first, TODAY + timedelta(days=7)))
    assert bench.verify() is None
    assert bench.complete()


def test_a_row_that_moves_before_the_historys_start_leaves_it(bench: Bench) -> None:
    bench.settings["history_start"] = day(20)
    for to in (22, 35):
        identifier = bench.sim.brokerage.book_late(QUIET, 15)
        bench.transactions(day(20))
        bench.sim.brokerage.redate(identifier, day(to))
        assert bench.transactions(day(20)).removed == 1
        assert identifier not in bench.live()
        assert bench.complete()
        assert bench.verify() is None


def test_a_history_that_starts_later_than_before_keeps_its_older_rows_and_its_totals(bench: Bench) -> None:
    bench.transactions()
    before = bench.live()
    bench.settings["history_start"] = day(15)
    assert bench.transactions().removed == 0
    assert bench.verify() is None
    assert bench.live() == before


def test_days_outside_of_the_history_are_an_error_that_names_both_ends(bench: Bench) -> None:
    for first, last in ((day(60), day(50)), (TODAY + timedelta(days=1), TODAY + timedelta(days=3))):
        with pytest.raises(ConfigurationError, match=f"{START} and today"):
            bench.transactions(first, last)


def test_an_api_that_counts_more_than_it_lists_is_an_error(bench: Bench, warehouse: Warehouse) -> None:
    bench.transactions()
    (hidden,) = bench.dated(LOOKBACK, TODAY)[-1:]
    show: list[object] = []
    bench.before("transactions", 1, lambda: show.append(bench.hide(hidden)))  # after the first count, before any list
    bench.before("count_transactions", 2, lambda: [each() for each in show if callable(each)])
    bench.change(schema.transactions.delete().where(schema.transactions.c.transaction_id == hidden))
    bench.change(schema.proven_days.delete().where(schema.proven_days.c.account_number == QUIET))
    with pytest.raises(IncompleteAnswerError, match=r"counts .* and lists"):
        bench.verify()
    assert [row["result"] for row in bench.log()][-1] == "failed"


def test_a_reading_wider_than_a_page_is_stored_whole(bench: Bench) -> None:
    for _ in range(3):
        bench.sim.brokerage.trade(QUIET, n=800)
    result = bench.transactions()
    assert result.read == len(bench.listed()) > 2400
    assert bench.live() == bench.listed()
    assert bench.complete()


def test_totals_agree_where_a_row_stands_rejected_from_before_the_history_s_start(bench: Bench) -> None:
    bad = bench.dated(day(38), day(30))[0]
    bench.sim.brokerage.restate(bad, leg_count="many")
    assert bench.transactions().rejected == 1
    assert bench.verify() is None
    assert bench.verify(history_start=day(15)) is None


def test_totals_agree_where_a_row_is_dated_far_ahead(bench: Bench) -> None:
    bench.transactions()
    ahead = bench.dated(day(9), TODAY)[0]
    bench.sim.brokerage.redate(ahead, TODAY + timedelta(days=30))
    bench.transactions()
    assert bench.verify() is None
    assert bench.live() == bench.listed()
