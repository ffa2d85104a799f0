"""The questions that querysets answer, and the status line's."""

import datetime as dt
from decimal import Decimal
from typing import Any

from books import A1, B1, DAY, NOON, O1, SHARED, Books
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from scene import People

from tasty_django.models import (
    Account,
    AccountBalance,
    BalanceSnapshot,
    Change,
    Connection,
    ConnectionAccount,
    Position,
    ProvenDay,
    RejectedRow,
    SyncLog,
    SyncRequest,
    Transaction,
)
from tasty_django.status import newest_request, sync_status

BY_ACCOUNT = (Account, Position, AccountBalance, BalanceSnapshot, Transaction, ProvenDay)


def _numbers(rows: Any) -> list[str]:
    return sorted(row.account_number for row in rows)


def test_a_user_gets_the_rows_of_the_accounts_that_his_connections_see(books: Books, people: People) -> None:
    for model in BY_ACCOUNT:
        assert _numbers(model._default_manager.for_user(people.alice)) == [A1, SHARED], model
        assert _numbers(model._default_manager.for_user(people.bob)) == [SHARED, B1], model
        assert _numbers(model._default_manager.for_user(people.carol)) == [], model
        assert _numbers(model._default_manager.for_user(AnonymousUser())) == [], model


def test_an_account_that_two_of_a_users_connections_see_comes_once(books: Books, people: People) -> None:
    books.connection("alice-2", people.alice.pk)
    books.seen("alice-2", SHARED)
    for model in BY_ACCOUNT:
        assert _numbers(model._default_manager.for_user(people.alice)) == [A1, SHARED], model


def test_each_user_has_his_own_authority_over_a_shared_account(books: Books, people: People) -> None:
    def authority(user: Any) -> str | None:
        return ConnectionAccount.objects.for_user(user).get(account=SHARED).authority_level

    assert (authority(people.alice), authority(people.bob)) == ("owner", "read-only")


def test_a_disconnected_login_and_an_account_that_it_lost_show_nothing_more(books: Books, people: People) -> None:
    books.update("connection_accounts", {"connection_id": "alice", "account_number": A1}, removed_at=NOON)
    assert _numbers(Transaction.objects.for_user(people.alice)) == [SHARED]
    books.update("connections", {"connection_id": "alice"}, disconnected_at=NOON)
    assert _numbers(Transaction.objects.for_user(people.alice)) == []
    assert _numbers(Transaction.objects.for_user(people.bob)) == [SHARED, B1]
    assert [each.state for each in Connection.objects.for_user(people.alice)] == ["disconnected"]
    assert not Connection.objects.for_user(people.alice).live().exists()


def test_a_user_sees_his_own_syncs_and_what_others_published_of_his_accounts(books: Books, people: People) -> None:
    books.log(SHARED, "positions", "alice", result="failed", sync_id="alice-failed")
    books.log("", "accounts", "bob", sync_id="bob-accounts")
    seen = SyncLog.objects.for_user(people.bob)
    assert {(row.connection, row.account_number) for row in seen} == {("bob", B1), ("alice", SHARED), ("bob", "")}
    assert not seen.filter(result="failed").exists()
    assert SyncLog.objects.for_user(people.alice).get(result="failed").sync_id == "alice-failed"
    assert SyncLog.objects.for_user(people.alice).published().count() == 8


def test_closed_accounts_are_not_open(books: Books) -> None:
    books.update("accounts", {"account_number": A1}, is_closed=True)
    books.update("accounts", {"account_number": B1}, is_closed=None)
    assert _numbers(Account.objects.open()) == [SHARED, B1, O1]


def test_between_includes_both_days_and_takes_none_for_no_limit(books: Books) -> None:
    for day in range(1, 6):
        books.transaction(A1, transaction_id=100 + day, transaction_date=dt.date(2026, 1, day))
    rows = Transaction.objects.filter(pk__gt=100)
    first, second = dt.date(2026, 1, 2), dt.date(2026, 1, 4)
    assert sorted(row.pk for row in rows.between(first, second)) == [102, 103, 104]
    assert sorted(row.pk for row in rows.between(second, None)) == [104, 105]
    assert sorted(row.pk for row in rows.between(None, first)) == [101, 102]
    assert rows.between(None, None).count() == 5
    assert sorted(row.pk for row in rows.as_of(first)) == [101, 102]
    assert BalanceSnapshot.objects.between(DAY, DAY).count() == 4
    assert ProvenDay.objects.between(DAY, DAY).count() == 4


def test_snapshots_as_of_a_day_are_the_newest_until_then_of_each_account_and_currency(
    books: Books, people: People
) -> None:
    books.snapshot(A1, DAY, time_of_day="BOD", net_liquidating_value=Decimal(1))
    books.snapshot(A1, DAY - dt.timedelta(days=3), net_liquidating_value=Decimal(2))
    books.snapshot(A1, DAY - dt.timedelta(days=3), currency="EUR", net_liquidating_value=Decimal(3))

    def values(day: dt.date) -> dict[tuple[str, str], Decimal | None]:
        rows = BalanceSnapshot.objects.for_user(people.alice).as_of(day)
        return {(row.account_number, row.currency): row.net_liquidating_value for row in rows}

    assert values(DAY) == {(A1, "USD"): 52000, (A1, "EUR"): 3, (SHARED, "USD"): 52000}
    assert values(DAY - dt.timedelta(days=1)) == {(A1, "USD"): 2, (A1, "EUR"): 3}
    assert values(DAY - dt.timedelta(days=4)) == {}
    assert BalanceSnapshot.objects.as_of(DAY).filter(net_liquidating_value=1).count() == 0


def test_positions_are_grouped_by_underlying(books: Books) -> None:
    for symbol in ("QQQ   260320C00400000", "SPY   260320C00500000", "AAPL"):
        books.position(A1, symbol)
    rows = Position.objects.filter(account=A1).open()
    assert [row.underlying_symbol for row in rows.by_underlying()] == ["AAPL", "QQQ", "SPY", "SPY"]
    assert [row.symbol for row in rows.by_underlying("SPY", "AAPL")] == ["AAPL", "SPY", "SPY   260320C00500000"]
    assert [row.symbol for row in Transaction.objects.filter(account=A1).by_underlying("SPY")] == ["SPY"]


def test_newest_first_orders_by_the_rows_own_time(books: Books) -> None:
    later = books.transaction(A1, executed_at=NOON + dt.timedelta(seconds=1))["transaction_id"]
    same = books.transaction(A1)["transaction_id"]
    first = Transaction.objects.get(account=A1, pk__lt=later)
    assert [row.pk for row in Transaction.objects.filter(account=A1).newest_first()] == [later, same, first.pk]
    assert Transaction.objects.filter(account=A1).latest().pk == later
    books.change(1)
    books.change(2)
    assert [row.sequence for row in Change.objects.newest_first()] == [2, 1]
    assert list(RejectedRow.objects.newest_first()) == []


def test_the_status_names_the_oldest_of_all_tables_and_accounts(books: Books, people: People) -> None:
    later = NOON + dt.timedelta(hours=1)
    for number in (A1, SHARED):
        books.log(number, "transactions", read_started_at=later, read_ended_at=later)
        books.log(number, "transactions", read_started_at=later, result="failed", read_ended_at=None)
    books.proven(A1, DAY + dt.timedelta(days=1))
    books.proven(A1, dt.date(2999, 1, 1))
    status = sync_status(people.alice)
    first, second = status.accounts
    assert first.tables["transactions"] == later
    assert first.synced_at == second.synced_at == status.synced_at == NOON + dt.timedelta(seconds=2)
    assert (first.proven_until, second.proven_until) == (DAY + dt.timedelta(days=1), DAY)
    assert status.proven_until == DAY
    assert (status.request, status.needing_reauthorisation) == (None, ())


def test_an_account_that_never_was_synchronised_makes_the_status_unknown_unless_it_is_closed(
    books: Books, people: People
) -> None:
    books.account("5WX00007")
    books.seen("alice", "5WX00007")
    status = sync_status(people.alice)
    assert (status.synced_at, status.proven_until) == (None, None)
    assert status.accounts[-1].tables == dict.fromkeys(status.accounts[-1].tables)
    books.update("accounts", {"account_number": "5WX00007"}, is_closed=True)
    assert sync_status(people.alice).proven_until == DAY


def test_the_status_costs_the_same_queries_for_any_number_of_accounts(books: Books, people: People) -> None:
    with books.together():
        for number in range(20):
            books.account(f"5WY{number:05}")
            books.seen("alice", f"5WY{number:05}")
    with CaptureQueriesContext(connections["tasty"]) as asked:
        assert len(sync_status(people.alice).accounts) == 22
    assert len(asked) == 3


def test_the_status_shows_the_open_request_and_whether_it_waits(books: Books, people: People) -> None:
    def ask(name: str, state: str, ago: float, **more: Any) -> None:
        when = timezone.now() - dt.timedelta(seconds=ago)
        columns = {"owner": str(people.alice.pk), "requested_at": when, "state": state, **more}
        books.insert("sync_requests", request_id=name, **columns)

    def newest() -> tuple[str, bool, bool]:
        request = newest_request(people.alice)
        assert request is not None
        return request.pk, request.is_open, request.waiting

    assert newest_request(people.alice) is None
    ask("old", "done", 60, ended_at=timezone.now())
    ask("older", "failed", 90, ended_at=NOON)
    assert newest() == ("old", False, False)
    ask("open", "queued", 5)
    assert newest() == ("open", True, False)
    books.update("sync_requests", {"request_id": "open"}, requested_at=timezone.now() - dt.timedelta(seconds=16))
    assert newest() == ("open", True, True)
    books.update("sync_requests", {"request_id": "open"}, state="running")
    assert newest() == ("open", True, False)
    assert newest_request(people.bob) is None
    assert sync_status(people.bob).request is None
    assert SyncRequest.objects.for_user(people.alice).open().get().pk == "open"


def test_the_status_names_live_connections_that_need_reauthorisation(books: Books, people: People) -> None:
    books.update("connections", {"connection_id": "alice"}, state="needs reauthorisation", state_reason="revoked")
    (needing,) = sync_status(people.alice).needing_reauthorisation
    assert (needing.pk, needing.state_reason, needing.needs_reauthorisation) == ("alice", "revoked", True)
    assert sync_status(people.bob).needing_reauthorisation == ()
    books.update("connections", {"connection_id": "alice"}, disconnected_at=NOON)
    assert sync_status(people.alice).needing_reauthorisation == ()


def test_nobody_has_no_status(books: Books) -> None:
    status = sync_status(AnonymousUser())
    assert (status.accounts, status.request, status.synced_at) == ((), None, None)
