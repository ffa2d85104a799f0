"""What holds for every page: who may see it, what may change something, and that texts stay texts."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from books import A1, NOON, Books
from django.contrib.auth.models import User
from django.test import Client, override_settings
from looking import Element, look
from scene import PASSWORD, People

import tasty_django

PAGES = ("", "transactions/", "connections/", "connections/reconnect/alice/", "connections/disconnect/alice/")
OTHERS = ("transactions.csv", "sync/status/", "sync/", "connections/connect/")
WRITING = ("sync/", "connections/connect/", "connections/reconnect/alice/", "connections/disconnect/alice/")
SCRIPT = "<script>alert(1)</script>'\"><img src=x onerror=alert(2)>{{ 7|add:7 }}{% now 'Y' %}"
ClientOf = Callable[[User | None], Client]
TABLES = ("connections", "connection_accounts", "sync_requests", "accounts", "positions", "transactions")


@pytest.fixture
def alice(client_of: ClientOf, people: People) -> Client:
    return client_of(people.alice)


def everything(books: Books) -> list[Any]:
    return [books.rows(table) for table in TABLES]


@pytest.mark.parametrize("address", [*PAGES, *OTHERS])
def test_whoever_is_not_logged_in_is_sent_to_the_login(books: Books, client_of: ClientOf, address: str) -> None:
    before = everything(books)
    for method in ("get", "post"):
        response = getattr(client_of(None), method)(f"/tasty/{address}")
        assert response.status_code == 302
        assert response.headers["Location"] == f"/login/?next=/tasty/{address}"
    assert everything(books) == before


@pytest.mark.parametrize("address", [*PAGES, *OTHERS])
def test_nothing_keeps_a_copy_of_a_page(books: Books, alice: Client, client_of: ClientOf, address: str) -> None:
    for client in (alice, client_of(None)):
        kept = client.get(f"/tasty/{address}").headers["Cache-Control"]
        assert {"no-store", "private"} <= set(kept.split(", "))


def test_looking_at_a_page_changes_nothing(books: Books, alice: Client) -> None:
    before = everything(books)
    for address in (*PAGES, *OTHERS):
        for query in ("", "?account=&label=x&refresh_token=y&confirm=1"):
            assert alice.get(f"/tasty/{address}{query}").status_code in {200, 302}
            assert alice.head(f"/tasty/{address}{query}").status_code in {200, 302}
    assert everything(books) == before


def test_what_changes_something_wants_the_token_of_the_form(books: Books, people: People) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice)
    before = everything(books)
    for address in WRITING:
        assert client.post(f"/tasty/{address}", {"label": "x", "refresh_token": "y"}).status_code == 403
    assert everything(books) == before
    token = look(client.get("/tasty/")).one("form", action="/tasty/sync/").one("input").attributes["value"]
    assert client.post("/tasty/sync/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert len(books.rows("sync_requests")) == 1


def test_pages_for_reading_take_no_post(books: Books, alice: Client) -> None:
    for address in ("", "transactions/", "transactions.csv", "connections/", "sync/status/"):
        assert alice.post(f"/tasty/{address}").status_code == 405
    for address in (*PAGES, *OTHERS):
        assert alice.delete(f"/tasty/{address}").status_code == 405


def test_every_form_that_posts_holds_a_token(books: Books, alice: Client) -> None:
    for address in PAGES:
        for form in look(alice.get(f"/tasty/{address}")).all("form", method="post"):
            assert form.all("input", name="csrfmiddlewaretoken")


def _elements(element: Element) -> Iterator[Element]:
    for child in element.children:
        if isinstance(child, Element):
            yield child
            yield from _elements(child)


def test_scripts_in_the_rows_are_shown_as_text(books: Books, alice: Client) -> None:
    books.update("accounts", {"account_number": A1}, nickname=SCRIPT, account_type=SCRIPT, margin_or_cash=SCRIPT)
    books.update("connections", {"connection_id": "alice"}, label=SCRIPT, state_reason=SCRIPT)
    books.update("connections", {"connection_id": "alice"}, state="needs reauthorisation")
    books.update("connection_accounts", {"connection_id": "alice"}, authority_level=SCRIPT)
    books.position(A1, f"A{SCRIPT}", underlying_symbol=SCRIPT, instrument_type=SCRIPT)
    books.position(A1, f"B{SCRIPT}", underlying_symbol=SCRIPT, instrument_type=SCRIPT)
    books.balance(A1, currency=SCRIPT)
    books.snapshot(A1, currency=SCRIPT)
    words = ("description", "underlying_symbol", "transaction_sub_type", "action", "currency")
    books.transaction(A1, SCRIPT, **dict.fromkeys(words, SCRIPT))
    owner = books.rows("connections")[0]["owner"]
    requested = {"owner": owner, "requested_at": NOON, "ended_at": NOON, "state": "failed", "error": SCRIPT}
    books.insert("sync_requests", request_id="r", progress={SCRIPT: {"state": SCRIPT}}, **requested)
    for address in (*PAGES, "sync/status/", "?range=all", "transactions/?symbol=" + "%3Cscript%3E"):
        found = look(alice.get(f"/tasty/{address}"))
        assert all(element.attributes.get("src", "").startswith("/static/") for element in found.all("script"))
        assert found.all("img") == []
        for element in _elements(found):
            assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
    assert SCRIPT in look(alice.get("/tasty/")).text
    assert SCRIPT in look(alice.get("/tasty/transactions/")).text
    assert SCRIPT in look(alice.get("/tasty/connections/")).text


def test_a_script_that_is_typed_is_shown_as_text(books: Books, alice: Client) -> None:
    response = alice.post("/tasty/connections/connect/", {"label": SCRIPT, "refresh_token": ""})
    assert look(response).one("input", name="label").attributes["value"] == SCRIPT


def test_pages_hold_under_a_strict_content_security_policy(books: Books, alice: Client) -> None:
    for address in PAGES:
        for element in _elements(look(alice.get(f"/tasty/{address}"))):
            assert element.tag != "style"
            assert not {"style", "onclick", "onsubmit", "onload"} & set(element.attributes)
            for name in ("src", "href", "action"):
                assert element.attributes.get(name, "/")[0] in "/#?", element
    static = Path(tasty_django.__file__).parent / "static"
    for path in static.rglob("*.*"):
        assert not re.search(r"https?://|@import|eval\(|innerHTML|new Function", path.read_text()), path


def test_every_page_has_landmarks_one_heading_and_a_language(books: Books, alice: Client) -> None:
    for address in PAGES:
        found = look(alice.get(f"/tasty/{address}"))
        assert found.one("html").attributes["lang"]
        assert len(found.all("main")) == len(found.all("h1")) == len(found.all("header")) == 1
        assert found.all("a", class_="skip")[0].attributes["href"] == "#content"
        numbers = [element.attributes["id"] for element in _elements(found) if "id" in element.attributes]
        assert len(numbers) == len(set(numbers))
        for table in found.all("table"):
            assert table.all("caption")
            assert all("scope" in heading.attributes for heading in table.all("th"))
        for element in _elements(found):
            for name in ("aria-labelledby", "aria-describedby"):
                assert set(element.attributes.get(name, "").split()) <= set(numbers)


def test_a_user_who_logs_in_anew_comes_back_to_where_he_was(books: Books, people: People) -> None:
    client = Client()
    where = client.get("/tasty/transactions/?symbol=SPY").headers["Location"]
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        assert client.login(username="alice", password=PASSWORD)
    assert where == "/login/?next=/tasty/transactions/%3Fsymbol%3DSPY"


def test_an_application_gives_the_frame_its_own_face(books: Books, alice: Client, tmp_path: Path) -> None:
    (tmp_path / "tasty_django").mkdir()
    own = '{% extends "tasty_django/base.html" %}{% block brand %}Our house{% endblock %}{% block user %}{% endblock %}'
    (tmp_path / "tasty_django" / "base.html").write_text(own)
    engine = {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [tmp_path],
        "APP_DIRS": True,
        # no context processors at all: the pages need none
        "OPTIONS": {},
    }
    with override_settings(TEMPLATES=[engine]):
        for address in PAGES:
            found = look(alice.get(f"/tasty/{address}"))
            assert found.one("a", class_="brand").text == "Our house"
            assert found.all("div", class_="user") == []
