"""The portfolio page: whose rows it shows, what they come to, and that more rows cost no more queries."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from books import A1, B1, NOON, O1, SHARED, Books
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from looking import Element, look, rows
from scene import People

from tasty_django.figures import MINUS
from tasty_django.status import TRADE_DATES
from tasty_pipeline.core import schema

PAGE = "/tasty/"
NONE = "\N{EN DASH} none"
ClientOf = Callable[[User | None], Client]


def today() -> dt.date:
    return dt.datetime.now(TRADE_DATES).date()


def page(client: Client, **query: Any) -> Element:
    response = client.get(PAGE, query)
    assert response.status_code == 200
    return look(response)


@pytest.fixture
def alice(client_of: ClientOf, people: People) -> Client:
    return client_of(people.alice)


def test_a_user_sees_his_accounts_and_nothing_of_others(books: Books, alice: Client) -> None:
    text = page(alice).text
    assert A1 in text
    assert SHARED in text
    assert B1 not in text
    assert O1 not in text


def test_a_superuser_sees_only_accounts_of_his_own_connections(
    books: Books, client_of: ClientOf, people: People
) -> None:
    assert A1 not in page(client_of(people.root)).text


def test_an_account_shows_its_name_type_and_balance(books: Books, alice: Client) -> None:
    books.update(
        "balances",
        {"account_number": A1},
        net_liquidating_value=Decimal("1234567.895"),
        cash_balance=Decimal("-1000.25"),
        equity_buying_power=Decimal(4000),
        derivative_buying_power=None,
    )
    cards = {card.one("h3").text: card for card in page(alice).all("li", class_="account")}
    assert list(cards) == ["All accounts", "Account 1", "Account 2"]
    told = {entry.one("dt").text: entry.one("dd") for entry in cards["Account 1"].one("dl").all("div")}
    assert told["Net liquidating value"].text == "1,234,567.90 USD"
    assert told["Net liquidating value"].one("data").attributes["title"] == "1234567.895"
    assert told["Cash"].text == f"{MINUS}1,000.25"
    assert told["Share buying power"].text == "4,000.00"
    assert told["Option buying power"].text == NONE
    assert f"{A1} · Individual" in cards["Account 1"].text
    everything = {entry.one("dt").text: entry.one("dd").text for entry in cards["All accounts"].one("dl").all("div")}
    assert everything["Net liquidating value"] == "1,286,618.15 USD"


def test_amounts_of_two_currencies_are_not_added(books: Books, alice: Client) -> None:
    books.balance(A1, currency="EUR", net_liquidating_value=Decimal(7))
    books.snapshot(A1, today(), currency="EUR", net_liquidating_value=Decimal(7))
    found = page(alice, range="all")
    totals = found.all("li", class_="account")[0].all("dl")
    assert [total.all("dd")[0].text for total in totals] == ["7.00 EUR", "104,100.50 USD"]
    assert [figure.one("span", class_="big").text for figure in found.all("figure")] == ["7.00 EUR", "104,000.00 USD"]


def test_positions_stand_by_underlying_with_subtotals_and_a_total(books: Books, alice: Client) -> None:
    books.position(
        A1,
        "SPY   270319P00400000",
        instrument_type="Equity Option",
        quantity_direction="Short",
        quantity=Decimal(-2),
        average_open_price=Decimal("4.15"),
        close_price=Decimal("3.32"),
        multiplier=Decimal(100),
        realized_today=Decimal("12.5"),
        realized_today_date=today(),
    )
    table = page(alice).one("table", class_="positions")
    assert rows(table) == [
        ["Position", "Account", "Quantity", "Average price", "Price", "Market value", "Profit", "Realised today"],
        ["SPY 3 positions", "101,436.00", "+2,241.31", "+12.50"],
        ["SPY Equity", f"Account 1 {A1}", "100", "500.1235", "510.50 close", "51,050.00", "+1,037.65", NONE],
        ["SPY Equity", f"Account 2 {SHARED}", "100", "500.1235", "510.50 close", "51,050.00", "+1,037.65", NONE],
        [
            "SPY 400 Put 19 Mar 2027",
            f"Account 1 {A1}",
            f"{MINUS}2",
            "4.15",
            "3.32 close",
            f"{MINUS}664.00",
            "+166.00",
            "+12.50",
        ],
        ["Total", "101,436.00", "+2,241.31", "+12.50"],
    ]
    # what is shown is rounded, what is meant stands beside it
    exact = [cell.attributes["title"] for cell in table.all("data", class_="gain")]
    assert "1037.6543210988" in exact


def test_a_mark_is_told_from_a_close(books: Books, alice: Client) -> None:
    books.update("positions", {"account_number": A1}, mark_price=Decimal(511))
    found = rows(page(alice, account=A1).one("table", class_="positions"))
    assert found[1][3] == "511.00 mark"


def test_one_account_can_be_chosen(books: Books, alice: Client) -> None:
    found = page(alice, account=SHARED, range="all")
    assert [row[0] for row in rows(found.one("table", class_="positions"))] == ["Position", "SPY Equity", "Total"]
    assert found.one("figure").one("span", class_="big").text == "52,000.00 USD"
    chosen = [card.one("h3").text for card in found.all("li", class_="chosen")]
    assert chosen == ["Account 2"]
    # what is chosen stays chosen in the links of the page
    assert all(f"account={SHARED}" in a.attributes["href"] for a in found.one("nav", class_="ranges").all("a"))
    assert f"/tasty/transactions/?account={SHARED}" in [a.attributes["href"] for a in found.all("a")]


@pytest.mark.parametrize("number", [B1, O1, "none", "5WX00001'--", "\x00", "x" * 5000])
def test_an_account_of_somebody_else_is_not_found(books: Books, alice: Client, number: str) -> None:
    assert alice.get(PAGE, {"account": number}).status_code == 404


def test_a_range_that_is_none_is_the_usual_one(books: Books, alice: Client) -> None:
    shown = page(alice, range="<script>").one("nav", class_="ranges")
    assert [a.text for a in shown.all("a") if "aria-current" in a.attributes] == ["1Y"]


def test_the_equity_curve_adds_the_accounts_and_has_a_table(books: Books, alice: Client) -> None:
    first, second = today() - dt.timedelta(days=9), today() - dt.timedelta(days=2)
    for number, one, two in ((A1, "100.50", "200"), (SHARED, "1", "2.25"), (B1, "5000", "6000")):
        books.snapshot(number, first, net_liquidating_value=Decimal(one))
        books.snapshot(number, second, net_liquidating_value=Decimal(two))
    # the beginning of the day is no end of it
    books.snapshot(A1, second, time_of_day="BOD", net_liquidating_value=Decimal(9))
    figure = page(alice, range="1m").one("figure")
    assert rows(figure.one("table"))[1:] == [
        [f"{second:%-d %b %Y}", "202.25"],
        [f"{first:%-d %b %Y}", "101.50"],
    ]
    drawing = figure.all("svg")[0]
    assert drawing.attributes["role"] == "img"
    told = drawing.attributes["aria-labelledby"].split()
    assert told == [drawing.all("title")[0].attributes["id"], drawing.one("desc").attributes["id"]]
    assert "101.50" in drawing.one("desc").text
    assert "202.25" in drawing.one("desc").text


def test_a_snapshot_without_a_value_and_one_that_is_removed_are_no_points(books: Books, alice: Client) -> None:
    day = today() - dt.timedelta(days=2)
    books.snapshot(A1, day, net_liquidating_value=None)
    books.snapshot(A1, day - dt.timedelta(days=1), net_liquidating_value=Decimal(7), removed_at=NOON)
    assert page(alice, range="1m").all("figure") == []


def test_the_newest_transactions_lead_to_all(books: Books, alice: Client) -> None:
    for hour in range(9):
        books.transaction(SHARED, "QQQ", executed_at=NOON + dt.timedelta(hours=hour), net_value=Decimal(hour))
    found = page(alice)
    values = [row[-1] for row in rows(found.one("table", class_="transactions"))[1:]]
    assert values == ["+8.00", "+7.00", "+6.00", "+5.00", "+4.00", "+3.00", "+2.00", "+1.00"]
    assert "All transactions" in [a.text for a in found.all("a", href="/tasty/transactions/")]


def test_the_page_says_when_it_was_synchronised_and_until_when_it_is_proven(books: Books, alice: Client) -> None:
    line = page(alice).one("p", class_="sync-line")
    assert line.one("time").attributes["datetime"] == (NOON + dt.timedelta(seconds=2)).isoformat()
    # in the time zone of the application, which is New York here
    assert "6 Mar 2026, 12:00:02 EST" in line.text
    assert line.text.endswith("Transactions proven until 6 Mar 2026")


def test_what_was_never_wholly_synchronised_is_not_called_fresh(books: Books, alice: Client) -> None:
    books.account("5WX00004")
    books.seen("alice", "5WX00004")
    line = page(alice).one("p", class_="sync-line").text
    assert line == "Not everything was synchronised yet"


def test_a_connection_that_needs_reauthorisation_is_shown_with_the_way_out(
    books: Books, alice: Client, client_of: ClientOf, people: People
) -> None:
    books.update(
        "connections", {"connection_id": "alice"}, state="needs reauthorisation", state_reason="Grant revoked <b>"
    )
    banner = page(alice).one("div", class_="banner")
    assert "Grant revoked <b>" in banner.text
    assert banner.one("a").attributes["href"] == "/tasty/connections/reconnect/alice/"
    assert page(client_of(people.bob)).all("div", class_="banner") == []


def test_who_has_no_connection_is_led_to_connecting(books: Books, client_of: ClientOf, people: People) -> None:
    found = page(client_of(people.carol))
    assert "/tasty/connections/" in [a.attributes["href"] for a in found.one("section", class_="empty").all("a")]
    assert found.all("form", action="/tasty/sync/") == []
    assert "Never synchronised" in found.text


def test_who_has_a_new_connection_is_led_to_synchronising(books: Books, client_of: ClientOf, people: People) -> None:
    books.connection("new", people.carol.pk, state=None)
    found = page(client_of(people.carol))
    assert "Sync now" in found.one("section", class_="empty").text
    assert found.one("form", action="/tasty/sync/").one("button").text == "Sync now"


def test_an_account_without_anything_is_shown_empty(books: Books, client_of: ClientOf, people: People) -> None:
    books.connection("new", people.carol.pk)
    books.account("5WX00007", nickname=None, is_closed=True)
    books.seen("new", "5WX00007")
    text = page(client_of(people.carol)).text
    for words in ("5WX00007", "closed", "No balance yet.", "No end-of-day snapshot", "No open positions.", "No transa"):
        assert words in text


def _queries(client: Client, **query: Any) -> int:
    with CaptureQueriesContext(connections["tasty"]) as captured:
        page(client, **query)
    return len(captured)


def test_more_accounts_and_rows_cost_no_more_queries(books: Books, alice: Client) -> None:
    before = _queries(alice)
    for number in (f"5WX10{n:03}" for n in range(12)):
        books.account(number)
        books.seen("alice", number)
        books.balance(number)
        for symbol in ("SPY", "QQQ", "AAPL"):
            books.position(number, symbol)
            books.transaction(number, symbol)
        for days in range(5):
            books.snapshot(number, today() - dt.timedelta(days=days))
    # accounts with their freshness, request, connections to mend; balances, positions, snapshots, transactions; the
    # beginning and the end of their transaction
    assert (before, _queries(alice)) == (9, 9)


def test_the_balances_and_positions_of_a_page_are_of_one_publication(books: Books, alice: Client) -> None:
    books.update("balances", {}, cash_balance=Decimal(7001))
    books.update("positions", {}, symbol="OLD", underlying_symbol="OLD")
    published = []

    def publish(execute: Any, sql: str, *more: Any) -> Any:
        """Publish between the page's question for balances and the one for positions."""
        if '"positions"' in sql and not published:
            published.append(sql)
            with books.warehouse.write() as writer:
                writer.execute(sa.update(schema.balances).values(cash_balance=Decimal(7002)))
                writer.execute(sa.update(schema.positions).values(symbol="NEW", underlying_symbol="NEW"))
        return execute(sql, *more)

    with connections["tasty"].execute_wrapper(publish):
        before = page(alice).text
    assert published
    assert ("7,001.00" in before, "OLD" in before, "NEW" in before) == (True, True, False)
    after = page(alice).text
    assert ("7,002.00" in after, "OLD" in after, "NEW" in after) == (True, False, True)
