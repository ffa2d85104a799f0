"""Rows that the broker no longer lists: marked after two readings, and only a few without a person's word."""

from collections.abc import Callable

import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import IncompleteAnswerError, MassRemovalError
from tasty_pipeline.core.sync.window import ASKED_FOR
from tasty_pipeline.simulator import Fault

from .bench import QUIET, TODAY, Bench, day

LOOKBACK = day(10)


@pytest.mark.usefixtures("either_backend")
def test_a_removed_row_is_marked_after_two_readings_and_cleared_when_it_comes_back(bench: Bench) -> None:
    identifier = bench.sim.brokerage.book_late(QUIET, 5)
    bench.transactions()
    show = bench.hide(identifier)
    asked = bench.asked("/transactions")
    result = bench.transactions(LOOKBACK)
    assert (result.removed, result.written) == (1, 1)
    assert bench.asked("/transactions") == asked + 4  # two lists, the id, and the account's total
    row = bench.row(identifier)
    assert row is not None
    assert row["removed_at"] is not None
    assert row["run_id"] == "run-2"
    assert bench.complete()
    before = bench.data()
    assert bench.transactions(LOOKBACK).written == 0
    assert bench.data() == before
    show()
    assert bench.transactions(LOOKBACK).updated == 1
    assert bench.live() == bench.listed()
    assert bench.complete()


def test_a_row_missing_from_the_first_reading_only_is_not_removed(bench: Bench) -> None:
    bench.transactions()
    show = bench.hide(bench.dated(LOOKBACK, TODAY)[0])
    bench.before("transactions", 2, show)
    before = bench.data()
    assert bench.transactions(LOOKBACK).written == 0
    assert bench.data() == before


def test_a_row_missing_from_both_lists_and_shown_by_its_id_is_not_removed(bench: Bench) -> None:
    bench.transactions()
    before = bench.data()
    bench.before("transaction", 1, bench.hide(bench.dated(LOOKBACK, TODAY)[0]))
    with pytest.raises(IncompleteAnswerError, match="shows by id"):
        bench.transactions(LOOKBACK)
    assert bench.data() == before


def test_a_row_removed_between_the_readings_needs_one_more(bench: Bench) -> None:
    first, second = (bench.sim.brokerage.book_late(QUIET, 5) for _ in range(2))
    bench.transactions()
    bench.sim.brokerage.remove(first)
    bench.before("transactions", 2, lambda: bench.sim.brokerage.remove(second))
    asked = bench.asked("/transactions")
    assert bench.transactions(LOOKBACK).removed == 2
    assert bench.asked("/transactions") == asked + 3 + 2 + 1
    assert bench.complete()


def test_readings_that_never_agree_remove_nothing(bench: Bench) -> None:
    late = [bench.sim.brokerage.book_late(QUIET, 5) for _ in range(6)]
    bench.transactions()
    before = bench.data()
    for call, identifier in enumerate(late[:5], start=1):
        bench.before("transactions", call, lambda identifier=identifier: bench.hide(identifier))  # type: ignore[misc]
    with pytest.raises(IncompleteAnswerError, match="no two answers"):
        bench.transactions(LOOKBACK)
    assert bench.data() == before


def test_what_comes_back_in_the_last_reading_is_not_missing(bench: Bench) -> None:
    late = [bench.sim.brokerage.book_late(QUIET, 5) for _ in range(4)]
    bench.transactions()
    back: list[Callable[[], object]] = []
    for call, identifier in enumerate(late, start=1):
        bench.before("transactions", call, lambda i=identifier: back.append(bench.hide(i)))  # type: ignore[misc]
    bench.before("transactions", 5, lambda: [show() for show in back])
    assert bench.transactions(LOOKBACK).removed == 0
    assert bench.live() == bench.listed()


def wipe(bench: Bench) -> None:
    bench.sim.brokerage.wipe()


def empty_list(bench: Bench) -> None:
    bench.sim.brokerage.faults.add(Fault("empty_list", path="/transactions$"))


def lose_a_page(bench: Bench) -> None:
    bench.hide(*bench.dated(day(40), TODAY)[:12])


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize("disaster", [wipe, empty_list, lose_a_page])
def test_an_answer_that_lacks_many_rows_stops_until_it_is_confirmed(
    disaster: Callable[[Bench], None], bench: Bench
) -> None:
    bench.transactions()
    before, held = bench.data(), bench.live()
    disaster(bench)
    with pytest.raises(MassRemovalError, match="confirm_mass_removal: true"):
        bench.transactions()
    assert bench.data() == before
    failed = bench.log("failed")
    assert [(row["account_number"], row["table_name"]) for row in failed] == [(QUIET, "transactions")]
    assert "lacks" in failed[0]["error"]
    result = bench.transactions(confirm_removal=True)
    listed = set() if disaster is empty_list else bench.listed()
    assert result.removed == len(held - listed)
    assert bench.live() == listed
    assert len(bench.rows(schema.transactions)) == len(held)  # marked, not deleted
    bench.sim.brokerage.faults.clear()


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_few_rows_of_a_short_window_do_not_hide_that_the_whole_account_was_wiped(rows: int, bench: Bench) -> None:
    for _ in range(rows):
        bench.sim.brokerage.book_late(QUIET, 2)
    bench.transactions()
    window = (day(2), day(2))
    assert rows <= len(bench.dated(*window)) <= 3
    before = bench.data()
    bench.sim.brokerage.wipe()
    with pytest.raises(MassRemovalError):
        bench.transactions(*window)
    assert bench.data() == before


@pytest.mark.parametrize("rows", [1, 2])
def test_a_small_account_is_not_emptied_without_a_persons_word(rows: int, bench: Bench) -> None:
    account = bench.sim.brokerage.open_account()
    identifiers = [bench.sim.brokerage.deposit(account, amount) for amount in range(1, rows + 1)]
    bench.transactions(TODAY, TODAY, account=account)
    assert bench.live(account) == set(identifiers)
    for identifier in identifiers:
        bench.sim.brokerage.remove(identifier)
    with pytest.raises(MassRemovalError):
        bench.transactions(TODAY, TODAY, account=account)
    assert bench.live(account) == set(identifiers)
    assert bench.transactions(TODAY, TODAY, account=account, confirm_removal=True).removed == rows


def test_one_of_two_rows_of_a_small_account_may_be_taken_back(bench: Bench) -> None:
    account = bench.sim.brokerage.open_account()
    first, second = (bench.sim.brokerage.deposit(account, amount) for amount in (1, 2))
    bench.transactions(TODAY, TODAY, account=account)
    bench.sim.brokerage.remove(first)
    assert bench.transactions(TODAY, TODAY, account=account).removed == 1
    assert bench.live(account) == {second}


def test_the_snapshots_of_a_day_are_not_emptied_without_a_persons_word(bench: Bench) -> None:
    bench.snapshots(day(3), day(2))
    before = bench.data()
    bench.sim.brokerage.faults.add(Fault("empty_list", path="/balance-snapshots$"))
    with pytest.raises(MassRemovalError):
        bench.snapshots(day(2), day(2))
    assert bench.data() == before


def test_an_account_that_the_login_no_longer_sees_is_marked_only_when_a_person_says_so(bench: Bench) -> None:
    brokerage = bench.sim.brokerage
    for _ in range(2):
        brokerage.open_account()
    bench.accounts()
    holders = dict(brokerage._holders)  # noqa: SLF001 - no hand of the simulator makes an account vanish
    brokerage._holders.pop(QUIET)  # noqa: SLF001
    with pytest.raises(MassRemovalError, match="1 of 4"):
        bench.accounts()
    assert bench.accounts(confirm_removal=True).removed == 1
    assert bench.accounts().written == 0
    brokerage._holders = holders  # noqa: SLF001
    assert bench.accounts().updated == 1
    assert [row["removed_at"] for row in bench.rows(schema.accounts)] == [None] * 4


def test_an_empty_list_of_accounts_is_refused(bench: Bench) -> None:
    bench.accounts()
    before = bench.data()
    bench.sim.brokerage.faults.add(Fault("empty_list", path="/customers/me/accounts$"))
    with pytest.raises(MassRemovalError):
        bench.accounts()
    assert bench.data() == before


def test_rows_that_move_to_a_far_day_are_not_removed_however_many_they_are(bench: Bench) -> None:
    moved = [bench.sim.brokerage.book_late(QUIET, 2) for _ in range(ASKED_FOR + 5)]
    for _ in range(20 * len(moved)):  # so that so many are no more than a correction takes back
        bench.sim.brokerage.book_late(QUIET, 12)
    bench.transactions()
    for identifier in moved:
        bench.sim.brokerage.redate(identifier, day(35))
    assert bench.transactions(LOOKBACK).removed == 0
    assert bench.live() == bench.listed()
    assert bench.complete()
