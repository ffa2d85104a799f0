"""Connections: what a user sees of his logins, and that credentials go into the seal and nowhere else."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from books import A1, B1, NOON, SHARED, Books
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from looking import Element, look, rows
from nacl.public import PrivateKey, SealedBox
from scene import People

PAGE, CONNECT = "/tasty/connections/", "/tasty/connections/connect/"
TOKEN, SECRET = "refresh.Token-0123456789", "client-secret-0123456789"
ClientOf = Callable[[User | None], Client]


@pytest.fixture
def alice(client_of: ClientOf, people: People) -> Client:
    return client_of(people.alice)


@pytest.fixture
def private(books: Books) -> PrivateKey:
    """The pipeline's key, whose public half stands in the table."""
    made = PrivateKey.generate()
    books.insert(
        "sealing_keys", key_id="k1", public_key=base64.b64encode(bytes(made.public_key)).decode(), created_at=NOON
    )
    return made


def opened(private: PrivateKey, sealed: str) -> Any:
    version, key, text = sealed.split(".")
    assert (version, key) == ("tp1", "k1")
    return json.loads(SealedBox(private).decrypt(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


def stored(books: Books, label: str) -> dict[str, Any]:
    (row,) = [row for row in books.rows("connections") if row["label"] == label]
    return row


def cards(client: Client) -> dict[str, Element]:
    return {card.one("h3").text: card for card in look(client.get(PAGE)).all("article", class_="connection")}


def nothing_kept(client: Client, response: Any) -> None:
    """Neither the answer, nor the session, nor a message repeats what was typed."""
    kept = [response.content, str(response.headers).encode(), str(client.cookies).encode()]
    kept += [json.dumps(session.get_decoded()).encode() for session in Session.objects.all()]
    for text in kept:
        assert TOKEN.encode() not in text
        assert SECRET.encode() not in text


def test_a_user_sees_his_connections_with_state_accounts_and_authority(books: Books, alice: Client) -> None:
    books.connection("c2", books.rows("connections")[0]["owner"], label="Fresh", sandbox=True, state=None)
    books.update("connection_accounts", {"connection_id": "alice", "account_number": A1}, authority_level="trade-only")
    found = cards(alice)
    assert set(found) == {"alice", "Fresh"}
    badges = {name: [badge.text for badge in card.all("span", class_="badge")] for name, card in found.items()}
    assert badges == {"alice": ["production", "active"], "Fresh": ["sandbox", "not tried yet"]}
    told = rows(found["alice"].one("table"))[1:]
    assert [row[:2] for row in told] == [[f"Account 1 {A1}", "trade-only"], [f"Account 2 {SHARED}", "owner"]]
    assert all("6 Mar 2026, 12:00:02 EST" in row[2] for row in told)


def test_more_connections_cost_no_more_queries(books: Books, alice: Client, people: People) -> None:
    for name in ("c2", "c3", "c4"):
        books.connection(name, people.alice.pk)
        books.account(f"5WX3{name}")
        books.seen(name, f"5WX3{name}")
    with CaptureQueriesContext(connections["tasty"]) as captured:
        assert len(cards(alice)) == 4
    # three for how fresh the accounts are, the connections, what they see
    assert len(captured) == 5


def test_nothing_of_others_stands_on_the_page(books: Books, alice: Client) -> None:
    books.update("connections", {"connection_id": "bob"}, label="Bobs own")
    text = look(alice.get(PAGE)).text
    assert "Bobs own" not in text
    assert B1 not in text
    assert "default" not in text


def test_one_that_needs_reauthorisation_says_why(books: Books, alice: Client) -> None:
    books.update("connections", {"connection_id": "alice"}, state="needs reauthorisation", state_reason="Grant revoked")
    card = cards(alice)["alice"]
    assert "Grant revoked" in card.one("div", class_="warning").text
    assert card.one("a", class_="primary").attributes["href"] == "/tasty/connections/reconnect/alice/"


def test_connecting_seals_what_was_typed_for_the_pipeline_only(
    books: Books, private: PrivateKey, alice: Client, people: People
) -> None:
    typed = {"label": " Family ", "refresh_token": f" {TOKEN}\n", "client_secret": SECRET, "sandbox": "on"}
    response = alice.post(CONNECT, typed)
    assert (response.status_code, response.headers["Location"]) == (302, PAGE)
    row = stored(books, "Family")
    assert (row["owner"], row["sandbox"], row["state"]) == (str(people.alice.pk), True, None)
    assert opened(private, row["sealed_credentials"]) == {"refresh_token": TOKEN, "client_secret": SECRET}
    nothing_kept(alice, response)
    shown = alice.get(PAGE)
    assert "“Family” is connected." in look(shown).text
    nothing_kept(alice, shown)


def test_without_a_secret_of_ones_own_none_is_sealed(books: Books, private: PrivateKey, alice: Client) -> None:
    alice.post(CONNECT, {"label": "Family", "refresh_token": TOKEN})
    assert opened(private, stored(books, "Family")["sealed_credentials"]) == {"refresh_token": TOKEN}


def test_a_form_that_is_sent_twice_makes_one_connection(books: Books, private: PrivateKey, alice: Client) -> None:
    for expected in (302, 422):
        assert alice.post(CONNECT, {"label": "Family", "refresh_token": TOKEN}).status_code == expected
    stored(books, "Family")


def test_without_a_key_of_the_pipeline_the_form_says_so(books: Books, alice: Client) -> None:
    response = alice.post(CONNECT, {"label": "Family", "refresh_token": TOKEN})
    assert response.status_code == 422
    assert look(response).one("form", action=CONNECT).one("div", role="alert").text
    assert len(books.rows("connections")) == 3
    nothing_kept(alice, response)


def test_a_form_with_errors_never_repeats_credentials(books: Books, private: PrivateKey, alice: Client) -> None:
    good = {"label": "Family", "refresh_token": TOKEN, "client_secret": SECRET}
    for bad in (
        {"label": ""},
        {"label": "x" * 81},
        {"label": "\x00"},
        {"refresh_token": ""},
        {"refresh_token": f"{TOKEN} {TOKEN}"},
        {"refresh_token": f"{TOKEN}\r\n{TOKEN}"},
        {"refresh_token": f"{TOKEN}\x00"},
        {"refresh_token": TOKEN * 400},
        {"client_secret": f"{SECRET}\t{SECRET}"},
        {"label": "alice"},
    ):
        response = alice.post(CONNECT, {**good, **bad})
        assert response.status_code == 422, bad
        form = look(response).one("form", action=CONNECT)
        assert form.all("ul", class_="errorlist")
        for name in ("refresh_token", "client_secret"):
            field = form.one("input", name=name)
            assert field.attributes["type"] == "password"
            assert field.attributes["autocomplete"] == "off"
            assert "value" not in field.attributes
        nothing_kept(alice, response)
    assert len(books.rows("connections")) == 3


def test_error_reports_leave_credentials_out(books: Books, private: PrivateKey, alice: Client) -> None:
    for address in (CONNECT, "/tasty/connections/reconnect/alice/"):
        request = alice.post(address, {"label": "", "refresh_token": "", "client_secret": SECRET}).wsgi_request
        assert set(request.sensitive_post_parameters) == {"refresh_token", "client_secret"}  # type: ignore[attr-defined]


def test_reconnecting_replaces_the_seal_and_forgets_the_refusal(
    books: Books, private: PrivateKey, alice: Client
) -> None:
    books.update("connections", {"connection_id": "alice"}, state="needs reauthorisation", state_reason="Grant revoked")
    address = "/tasty/connections/reconnect/alice/"
    assert look(alice.get(address)).one("input", name="refresh_token").attributes["type"] == "password"
    response = alice.post(address, {"refresh_token": TOKEN})
    assert response.headers["Location"] == PAGE
    row = stored(books, "alice")
    assert (row["state"], row["state_reason"]) == (None, None)
    assert opened(private, row["sealed_credentials"]) == {"refresh_token": TOKEN}
    nothing_kept(alice, response)


def test_reconnecting_with_nothing_changes_nothing(books: Books, private: PrivateKey, alice: Client) -> None:
    response = alice.post("/tasty/connections/reconnect/alice/", {"refresh_token": "", "client_secret": SECRET})
    assert response.status_code == 422
    assert stored(books, "alice")["sealed_credentials"] is None
    nothing_kept(alice, response)


def test_disconnecting_is_confirmed_first(books: Books, private: PrivateKey, alice: Client) -> None:
    alice.post("/tasty/connections/reconnect/alice/", {"refresh_token": TOKEN})
    address = "/tasty/connections/disconnect/alice/"
    asked = look(alice.get(address))
    assert "Disconnect “alice”?" in asked.text
    assert stored(books, "alice")["disconnected_at"] is None
    assert alice.post(address).headers["Location"] == PAGE
    row = stored(books, "alice")
    assert row["disconnected_at"] is not None
    assert row["sealed_credentials"] is None
    found = look(alice.get(PAGE))
    assert found.all("article") == []
    assert "1 disconnected login" in found.text
    # and with it, its accounts
    assert A1 not in look(alice.get("/tasty/")).text


def test_a_disconnected_one_can_be_connected_again(books: Books, private: PrivateKey, alice: Client) -> None:
    alice.post("/tasty/connections/disconnect/alice/")
    alice.post("/tasty/connections/reconnect/alice/", {"refresh_token": TOKEN})
    assert set(cards(alice)) == {"alice"}


@pytest.mark.parametrize("action", ["reconnect", "disconnect"])
def test_a_connection_of_somebody_else_is_not_found(
    books: Books, private: PrivateKey, alice: Client, action: str
) -> None:
    before = books.rows("connections")
    for name in ("bob", "default", "none", "alice%27--", "%00", "../bob", "x" * 3000):
        address = f"/tasty/connections/{action}/{name}/"
        assert alice.get(address).status_code == 404, name
        assert alice.post(address, {"refresh_token": TOKEN}).status_code == 404, name
    assert books.rows("connections") == before


def test_a_connections_name_may_be_odd(books: Books, private: PrivateKey, alice: Client, people: People) -> None:
    books.connection("a/b ?#%'é", people.alice.pk, label="Odd")
    for link in cards(alice)["Odd"].all("a"):
        assert alice.get(link.attributes["href"]).status_code == 200


def test_the_page_tells_what_the_token_may_do_and_how_it_is_kept(books: Books, alice: Client) -> None:
    text = look(alice.get(PAGE)).text
    for words in ("Nothing here places an order", "This application cannot open the seal again", "never shown again"):
        assert words in text


def test_looking_at_the_forms_address_leads_to_the_form(books: Books, alice: Client) -> None:
    assert alice.get(CONNECT).headers["Location"] == PAGE
