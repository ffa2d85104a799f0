"""Sync now: one request however often it is pressed, and a panel that tells how far it has come."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from books import NOON, Books
from django.contrib.auth.models import User
from django.test import Client
from looking import Element, look
from scene import People

PAGE, ASK, STATUS = "/tasty/", "/tasty/sync/", "/tasty/sync/status/"
ClientOf = Callable[[User | None], Client]


@pytest.fixture
def alice(client_of: ClientOf, people: People) -> Client:
    return client_of(people.alice)


def request(books: Books, owner: Any, **columns: Any) -> None:
    """A request of ten seconds ago."""
    asked = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=10)
    usual = {"request_id": f"request of {owner}", "requested_at": asked, "state": "queued"}
    books.insert("sync_requests", owner=str(owner), **{**usual, **columns})


def part(state: str, read: int = 0, written: int = 0) -> dict[str, Any]:
    return {"state": state, "rows_read": read, "rows_written": written}


def status(client: Client) -> Element:
    response = client.get(STATUS)
    assert response.status_code == 200
    return look(response)


def headline(client: Client) -> tuple[str, str]:
    """What a screen reader is told, and whether the page goes on asking."""
    body = status(client).one("div", class_="sync-body")
    return body.attributes["data-headline"], body.attributes["data-open"]


def test_pressing_it_makes_one_request_of_the_user(books: Books, alice: Client, people: People) -> None:
    response = alice.post(ASK)
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)
    (row,) = books.rows("sync_requests")
    assert (row["owner"], row["state"], row["run_id"]) == (str(people.alice.pk), "queued", None)


def test_pressing_it_twice_makes_one_request(books: Books, alice: Client) -> None:
    alice.post(ASK)
    alice.post(ASK, headers={"X-Tasty-Fragment": "1"})
    assert len(books.rows("sync_requests")) == 1


def test_two_users_have_a_request_each(books: Books, alice: Client, client_of: ClientOf, people: People) -> None:
    alice.post(ASK)
    client_of(people.bob).post(ASK)
    assert {row["owner"] for row in books.rows("sync_requests")} == {str(people.alice.pk), str(people.bob.pk)}


def test_after_one_that_is_done_another_can_be_asked_for(books: Books, alice: Client, people: People) -> None:
    request(books, people.alice.pk, state="done", ended_at=NOON)
    alice.post(ASK)
    assert sorted(row["state"] for row in books.rows("sync_requests")) == ["done", "queued"]


def test_a_script_gets_the_panel_instead_of_the_page(books: Books, alice: Client) -> None:
    response = alice.post(ASK, headers={"X-Tasty-Fragment": "1"})
    assert response.status_code == 200
    assert look(response).one("div", class_="sync-body").attributes["data-headline"] == "Queued"
    assert b"<html" not in response.content


def test_looking_asks_for_nothing(books: Books, alice: Client) -> None:
    assert alice.get(ASK).headers["Location"] == PAGE
    alice.get(STATUS)
    assert books.rows("sync_requests") == []


def test_a_request_that_was_just_made_is_queued(books: Books, alice: Client, people: People) -> None:
    request(books, people.alice.pk)
    assert headline(alice) == ("Queued", "true")


def test_a_request_that_nobody_takes_up_is_waiting_and_no_error(books: Books, alice: Client, people: People) -> None:
    request(books, people.alice.pk, requested_at=NOON)
    assert headline(alice) == ("Waiting for the pipeline", "true")
    found = look(alice.get(PAGE))
    assert "may be stopped or busy" in found.one("section", class_="sync").text
    assert found.one("form", action=ASK).one("button").attributes["aria-disabled"] == "true"


def test_a_running_request_tells_of_each_table_in_the_order_of_the_run(
    books: Books, alice: Client, people: People
) -> None:
    progress = {
        "balance_snapshots": part("queued"),
        "transactions": part("running", 1204),
        "accounts": part("done", 3, 1),
        "positions": part("failed"),
        "novelties": part("done", 1),
    }
    request(books, people.alice.pk, state="running", started_at=NOON, run_id="run", progress=progress)
    assert headline(alice) == ("Synchronising", "true")
    body = status(alice).one("div", class_="sync-body")
    assert body.attributes["data-said"] == "Synchronising, Transactions"
    steps = body.one("ul", class_="steps").all("li")
    assert [(step.text, step.attributes["class"]) for step in steps] == [
        ("Accounts 3 read, 1 changed", "done"),
        ("Positions failed", "failed"),
        ("Transactions running, 1,204 read", "running"),
        ("Balance history queued", "queued"),
        ("novelties 1 read, 0 changed", "done"),
    ]


def test_a_request_that_is_done_is_news_for_a_while(books: Books, alice: Client, people: People) -> None:
    now = dt.datetime.now(dt.UTC)
    request(books, people.alice.pk, state="done", ended_at=now, progress={"accounts": part("done", 3)})
    assert headline(alice) == ("Synchronised", "false")
    books.update("sync_requests", {"state": "done"}, ended_at=now - dt.timedelta(hours=1))
    assert headline(alice) == ("", "false")


def test_a_request_that_failed_says_why_until_a_later_sync_went_well(
    books: Books, alice: Client, people: People
) -> None:
    request(
        books, people.alice.pk, state="failed", ended_at=NOON + dt.timedelta(hours=1), error="[A1] <i>no</i> answer"
    )
    assert headline(alice) == ("The synchronisation failed", "false")
    assert "[A1] <i>no</i> answer" in status(alice).one("p", class_="error").text
    said = status(alice).one("div", class_="sync-body").attributes["data-said"]
    assert said == "The synchronisation failed. [A1] <i>no</i> answer"
    assert look(alice.get(PAGE)).one("form", action=ASK).one("button").attributes["aria-disabled"] == "false"
    books.update("sync_log", {}, read_ended_at=NOON + dt.timedelta(hours=2))
    assert headline(alice) == ("", "false")


def test_progress_of_an_unknown_shape_breaks_nothing(books: Books, alice: Client, people: People) -> None:
    odd: list[Any] = [[], "none", {"accounts": {}}, {"accounts": None}, {"accounts": {"rows_read": None}}, None]
    for progress in odd:
        request(books, people.alice.pk, request_id=str(progress), state="done", ended_at=NOON, progress=progress)
        books.update("sync_requests", {"request_id": str(progress)}, ended_at=dt.datetime.now(dt.UTC))
        assert headline(alice) == ("Synchronised", "false")


def test_another_users_request_is_not_told_of(books: Books, alice: Client, client_of: ClientOf, people: People) -> None:
    request(books, people.bob.pk, state="failed", ended_at=dt.datetime.now(dt.UTC), error="of bob")
    assert headline(alice) == ("", "false")
    assert "of bob" not in look(alice.get(PAGE)).text
    assert headline(client_of(people.bob))[0] == "The synchronisation failed"


def test_the_panel_is_announced_and_asked_for_by_the_script(books: Books, alice: Client) -> None:
    panel = look(alice.get(PAGE)).one("section", id="tasty-sync")
    assert panel.attributes["data-status"] == STATUS
    voice = panel.one("p", id="tasty-sync-voice")
    assert (voice.attributes["role"], voice.attributes["aria-live"], voice.text) == ("status", "polite", "")
