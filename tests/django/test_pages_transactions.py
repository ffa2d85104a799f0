"""The transactions: every filter, every page, and the file that holds the same exactly."""

import csv
import datetime as dt
import io
import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from books import A1, B1, DAY, NOON, O1, SHARED, Books
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from looking import Element, look, rows
from scene import People

from tasty_django.export import COLUMNS
from tasty_django.figures import MINUS
from tasty_pipeline.core import schema

PAGE, FILE = "/tasty/transactions/", "/tasty/transactions.csv"
ClientOf = Callable[[User | None], Client]
CALL = "SPY   270319C00600000"
INJECTIONS = (
    "' OR '1'='1",
    "'; DROP TABLE tasty.transactions; --",
    "x') UNION SELECT sealed_credentials FROM tasty.connections --",
    "%' OR 1=1 --",
    "\\",
    "${7*7}{{7*7}}{% debug %}",
)


@pytest.fixture
def alice(client_of: ClientOf, people: People) -> Client:
    return client_of(people.alice)


def page(client: Client, address: str = PAGE, /, **query: Any) -> Element:
    response = client.get(address, query)
    assert response.status_code == 200
    return look(response)


def values(found: Element) -> list[str]:
    """The net values that a page shows, in its order, with a minus that a keyboard has."""
    return [row[-1].replace(MINUS, "-") for row in rows(found.one("table"))[1:]]


def file(client: Client, **query: Any) -> list[dict[str, str]]:
    response = client.get(FILE, query)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["Content-Disposition"]
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]  # a streaming response
    return list(csv.DictReader(io.StringIO(text, newline="")))


def add(books: Books, *some: dict[str, Any]) -> None:
    """Write many trades of A1 at once."""
    usual = books.transaction(A1, "QQQ", executed_at=NOON - dt.timedelta(days=400))
    first = usual["transaction_id"] + 1000
    with books.warehouse.write() as writer:
        writer.insert(
            schema.transactions, [{**usual, "transaction_id": first + n, **row} for n, row in enumerate(some)]
        )


@pytest.fixture
def history(books: Books) -> Books:
    """Beside the trade at noon that every account has: rows of alice that differ in every filter."""
    day = dt.timedelta(days=1)
    books.transaction(A1, "AAPL", net_value=Decimal(1), executed_at=NOON - day, transaction_date=DAY - day)
    books.transaction(
        SHARED,
        CALL,
        net_value=Decimal(2),
        executed_at=NOON - 2 * day,
        transaction_date=DAY - 2 * day,
        instrument_type="Equity Option",
        transaction_sub_type="Sell to Close",
        action="Sell to Close",
        description="Sold 100% of the calls",
    )
    books.transaction(
        A1,
        net_value=Decimal(3),
        executed_at=NOON - 3 * day,
        transaction_date=DAY - 3 * day,
        transaction_type="Money Movement",
        transaction_sub_type="Dividend",
        action=None,
        instrument_type=None,
        quantity=None,
        quantity_unsigned=None,
        price=None,
        description="DIVIDEND received",
    )
    books.update("transactions", {"description": "DIVIDEND received"}, symbol=None, underlying_symbol=None)
    books.transaction(B1, "AAPL", net_value=Decimal(666), description="DIVIDEND of bob")
    return books


NOONS = ["-500.12", "-500.12"]
FILTERS: tuple[tuple[dict[str, str], list[str]], ...] = (
    ({}, [*NOONS, "+1.00", "+2.00", "+3.00"]),
    ({"account": A1}, ["-500.12", "+1.00", "+3.00"]),
    ({"account": SHARED}, ["-500.12", "+2.00"]),
    ({"start": "2026-03-05"}, [*NOONS, "+1.00"]),
    ({"end": "2026-03-04"}, ["+2.00", "+3.00"]),
    ({"start": "2026-03-04", "end": "2026-03-04"}, ["+2.00"]),
    ({"symbol": "SPY"}, [*NOONS, "+2.00"]),
    ({"symbol": " spy "}, [*NOONS, "+2.00"]),
    ({"symbol": CALL}, ["+2.00"]),
    ({"symbol": CALL.lower()}, ["+2.00"]),
    ({"type": "Money Movement"}, ["+3.00"]),
    ({"action": "Sell to Close"}, ["+2.00"]),
    ({"text": "dividend"}, ["+3.00"]),
    ({"text": "100%"}, ["+2.00"]),
    ({"text": "_00"}, []),
    ({"text": "%"}, ["+2.00"]),
    ({"symbol": "AAPL", "type": "Trade", "account": A1, "text": "bought"}, ["+1.00"]),
    ({"symbol": "AAPL", "account": SHARED}, []),
    ({"start": "0001-01-01", "end": "9999-12-31"}, [*NOONS, "+1.00", "+2.00", "+3.00"]),
    ({"nothing": "like this"}, [*NOONS, "+1.00", "+2.00", "+3.00"]),
)


def test_filters_narrow_what_is_shown_and_what_the_file_holds(history: Books, alice: Client) -> None:
    for query, shown in FILTERS:
        found = page(alice, **query)
        if shown:
            assert values(found) == shown, query
        else:
            assert "Nothing fits" in found.text, query
        written = [Decimal(row["net_value"]) for row in file(alice, **query)]
        assert [f"{value:+.2f}" for value in written] == shown, query
        assert "666" not in found.text


def test_the_form_keeps_what_was_asked_for(history: Books, alice: Client) -> None:
    asked = {"account": A1, "start": "2026-03-01", "symbol": "SPY", "type": "Trade", "text": 'a "b"'}
    form = page(alice, **asked).one("form", class_="filters")
    kept = {field.attributes["name"]: field.attributes.get("value", "") for field in form.all("input")}
    assert kept == {"start": "2026-03-01", "end": "", "symbol": "SPY", "text": 'a "b"'}
    chosen = [option.attributes["value"] for option in form.all("option") if "selected" in option.attributes]
    assert chosen == [A1, "Trade", ""]


def test_every_field_has_a_label(history: Books, alice: Client) -> None:
    form = page(alice).one("form", class_="filters")
    labelled = {label.attributes["for"] for label in form.all("label")}
    assert {field.attributes["id"] for tag in ("input", "select") for field in form.all(tag)} == labelled


BAD = (
    {"start": "yesterday"},
    {"start": "2026-02-30"},
    {"start": "2026-01-0x"},
    {"end": "99999-01-01"},
    {"end": "2026-03-01", "start": "2026-03-02"},
    {"symbol": "x" * 65},
    {"symbol": "SP\x00Y"},
    {"text": "\x00"},
    {"text": "x" * 101},
    {"type": "Gift"},
    {"type": "\x00"},
    {"action": "Steal"},
)
BAD_PLACES = (
    {"after": "x"},
    {"after": "1.2"},
    {"after": "1.99999999999999999999999.1"},
    {"after": "9999999.1.1"},
    {"before": "1\x00.1.1"},
    {"before": "1.1.9223372036854775808"},
)


def test_a_bad_value_is_answered_with_a_message_and_no_rows(history: Books, alice: Client) -> None:
    for query in (*BAD, *BAD_PLACES):
        response = alice.get(PAGE, query)
        assert response.status_code == 400, query
        found = look(response)
        assert found.all("table") == []
        assert found.all("p", role="alert")
        assert bool(found.all("ul", class_="errorlist")) == (query in BAD)


def test_a_file_of_bad_filters_is_the_page_that_says_why(history: Books, alice: Client) -> None:
    for query in BAD:
        response = alice.get(FILE, query)
        assert (response.status_code, response.headers["Content-Type"]) == (400, "text/html; charset=utf-8")


def test_beyond_the_last_row_the_page_leads_back(history: Books, alice: Client) -> None:
    found = page(alice, after="1.1.1", symbol="SPY")
    assert "Nothing beyond this" in found.text
    assert found.one("section", class_="empty").one("a").attributes["href"] == f"{PAGE}?symbol=SPY"


def test_the_first_and_the_last_moment_are_places_too(history: Books, alice: Client) -> None:
    assert values(page(alice, before="1.-62135596800000000.-9223372036854775807"))[0] == "-500.12"
    assert values(page(alice, after="3652059.253402300799999999.9223372036854775807"))[0] == "-500.12"


@pytest.mark.parametrize("address", [PAGE, FILE])
def test_an_account_of_somebody_else_is_not_found(history: Books, alice: Client, address: str) -> None:
    for number in (B1, O1, "nobody's", "\x00", *INJECTIONS):
        assert alice.get(address, {"account": number}).status_code == 404, number


@pytest.mark.parametrize("name", ["start", "end", "symbol", "type", "action", "text", "after", "before"])
def test_sql_in_a_filter_is_only_a_text(history: Books, alice: Client, name: str) -> None:
    for text in INJECTIONS:
        response = alice.get(PAGE, {name: text})
        assert response.status_code in {200, 400}, text
        assert look(response).all("table") == []
    assert len(history.rows("transactions")) == 8


def test_pages_hold_every_row_once_whatever_arrives_meanwhile(books: Books, alice: Client) -> None:
    # four at each moment, so that pages are cut between rows of one moment
    add(
        books,
        *(
            {
                "account_number": (A1, SHARED)[number % 2],
                "net_value": Decimal(number),
                "executed_at": NOON - dt.timedelta(minutes=number // 4 + 1),
            }
            for number in range(117)
        ),
    )
    found = page(alice)
    seen: list[str] = []
    for arrived in itertools.count():
        seen += values(found)
        older = found.all("a", rel="next")
        if not older:
            break
        books.transaction(A1, executed_at=NOON + dt.timedelta(minutes=arrived), net_value=Decimal(7777))
        found = page(alice, PAGE + older[0].attributes["href"].removeprefix(PAGE))
    assert len(seen) == 120
    assert [value for value in seen if value.startswith("+") or value == "0.00"] == [
        f"+{n}.00" if n else "0.00" for n in sorted(range(117), key=lambda n: (n // 4, -n))
    ]
    # and back: the page before the last holds the fifty rows before it
    back = page(alice, found.one("a", rel="prev").attributes["href"])
    assert values(back) == seen[50:100]
    first = page(alice, back.one("a", rel="prev").attributes["href"])
    assert values(first) == seen[:50]
    # what arrived is newer than that
    assert len(values(page(alice, first.one("a", rel="prev").attributes["href"]))) == 2


def test_links_between_pages_keep_the_filters(books: Books, alice: Client) -> None:
    add(books, *({"executed_at": NOON - dt.timedelta(minutes=number)} for number in range(59)))
    older = page(alice, symbol="QQQ", account=A1).one("a", rel="next").attributes["href"]
    found = page(alice, older)
    assert len(values(found)) == 10
    assert "symbol=QQQ" in found.one("a", rel="prev").attributes["href"]
    assert f"account={A1}" in found.one("a", download="").attributes["href"]


def test_a_removed_transaction_is_not_shown(history: Books, alice: Client) -> None:
    history.update("transactions", {"description": "DIVIDEND received"}, removed_at=NOON)
    assert "+3.00" not in values(page(alice))
    assert len(file(alice)) == 4


def test_the_file_is_exact(history: Books, alice: Client) -> None:
    history.transaction(
        A1,
        CALL,
        transaction_id=2**62,
        executed_at=NOON + dt.timedelta(hours=1),
        description='says "hi", twice\nand on',
        quantity=Decimal("-1.500000000001"),
        quantity_unsigned=Decimal("1.500000000001"),
        price=Decimal(100),
        value=Decimal("12345678901234567890123456.123456789012"),
        net_value=Decimal("-0.000000000001"),
        commission=Decimal("-1.00"),
        order_id=77,
        is_estimated_fee=True,
    )
    row = file(alice)[0]
    assert list(row) == list(COLUMNS)
    assert row == {
        **dict.fromkeys(COLUMNS, ""),
        "transaction_id": str(2**62),
        "account_number": A1,
        "executed_at": "2026-03-06T18:00:00.123456+00:00",
        "transaction_date": "2026-03-06",
        "transaction_type": "Trade",
        "transaction_sub_type": "Buy to Open",
        "action": "Buy to Open",
        "symbol": CALL,
        "underlying_symbol": "SPY",
        "instrument_type": "Equity",
        "quantity": "-1.500000000001",
        "price": "100",
        "value": "12345678901234567890123456.123456789012",
        "net_value": "-0.000000000001",
        "commission": "-1",
        "currency": "USD",
        "description": 'says "hi", twice\nand on',
        "order_id": "77",
        "is_estimated_fee": "true",
    }


def test_no_text_of_the_file_is_a_formula(books: Books, alice: Client) -> None:
    texts = ("=HYPERLINK(0)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1")
    add(books, *({"description": text, "symbol": text, "net_value": Decimal(-5)} for text in texts))
    written = [(row["description"], row["symbol"], row["net_value"]) for row in file(alice, action="Buy to Open")]
    assert {(f"'{text}", f"'{text}", "-5") for text in texts} < set(written)


def test_a_long_file_is_whole_and_takes_one_question(books: Books, alice: Client) -> None:
    add(books, *({"executed_at": NOON - dt.timedelta(minutes=number)} for number in range(4500)))
    with CaptureQueriesContext(connections["tasty"]) as captured:
        assert len(file(alice)) == 4503
    # the accounts, the rows
    assert len(captured) == 2


def test_a_page_takes_two_questions_and_counts_nothing(history: Books, alice: Client) -> None:
    with CaptureQueriesContext(connections["tasty"]) as few:
        page(alice)
    add(history, *({"executed_at": NOON + dt.timedelta(minutes=number)} for number in range(80)))
    with CaptureQueriesContext(connections["tasty"]) as many:
        page(alice, text="Bought")
    assert (len(few), len(many)) == (2, 2)
    asked = [query["sql"].upper() for query in many if "TRANSACTIONS" in query["sql"].upper()]
    assert len(asked) == 1
    assert "COUNT(" not in asked[0]
    assert "OFFSET" not in asked[0]


def test_who_has_no_account_is_told_so(books: Books, client_of: ClientOf, people: People) -> None:
    carol = client_of(people.carol)
    assert "No account yet" in page(carol).text
    assert file(carol) == []


def test_an_account_without_history_says_so(books: Books, client_of: ClientOf, people: People) -> None:
    books.connection("new", people.carol.pk)
    books.account("5WX00007")
    books.seen("new", "5WX00007")
    assert "No transactions yet" in page(client_of(people.carol)).text


def test_very_many_accounts_are_asked_together(books: Books, client_of: ClientOf, people: People) -> None:
    books.connection("many", people.carol.pk)
    numbers = [f"5WX20{n:03}" for n in range(45)]
    account, seen = books.account("5WX20999"), books.seen("many", "5WX20999")
    with books.warehouse.write() as writer:
        writer.insert(schema.accounts, [{**account, "account_number": number} for number in numbers])
        writer.insert(schema.connection_accounts, [{**seen, "account_number": number} for number in numbers])
    add(books, *({"account_number": number} for number in numbers))
    carol = client_of(people.carol)
    found = page(carol)
    assert len(values(found)) == 45
    assert len(file(carol)) == 45
