"""What a user may ask for reaches the tables once, is his own, and tells nobody his credentials."""

import base64
import json
import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from books import NOON, Books
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.models import Session
from django.db import connections, transaction
from django.test import Client, RequestFactory, override_settings
from django.views.debug import ExceptionReporter
from nacl.public import PrivateKey, SealedBox
from scene import People, Site

from tasty_django import actions
from tasty_django.current_user import acting_as
from tasty_django.errors import ActionError, LabelTakenError, NoKeyError, NoRightError
from tasty_django.models import Connection, SyncRequest
from tasty_pipeline.core import sealing as pipelines_sealing

TOKEN, SECRET = "refresh-token-of-alice-0123456789", "client-secret-of-alice-0123456789"

_UPSERT = (
    "INSERT INTO tasty.connections (connection_id, owner, label, sandbox, connected_at) "
    "VALUES ('a', '1', '', true, now()) ON CONFLICT (connection_id)"
)


@pytest.fixture
def key(books: Books) -> PrivateKey:
    """The pipeline's key pair: its public half is stored, after an older one and before a retired one."""
    newest = PrivateKey.generate()
    for name, pair, retired in (("old", PrivateKey.generate(), None), ("k2", newest, None), ("k3", newest, NOON)):
        public = base64.b64encode(bytes(pair.public_key)).decode()
        made = NOON.replace(hour={"old": 1, "k2": 2, "k3": 3}[name])
        books.insert("sealing_keys", key_id=name, public_key=public, created_at=made, retired_at=retired)
    return newest


def _opened(sealed: str, key: PrivateKey) -> Any:
    kind, name, box = sealed.split(".")
    assert (kind, name) == ("tp1", "k2")
    return json.loads(SealedBox(key).decrypt(base64.urlsafe_b64decode(box + "=" * (-len(box) % 4))))


def _stored(books: Books, name: str) -> dict[str, Any]:
    (row,) = (row for row in books.rows("connections") if row["connection_id"] == name)
    return row


def test_asking_twice_makes_one_request(books: Books, people: People) -> None:
    first = actions.request_sync(people.alice)
    assert (first.state, first.owner, first.is_open, first.waiting) == ("queued", str(people.alice.pk), True, False)
    assert actions.request_sync(people.alice).pk == first.pk
    books.update("sync_requests", {"request_id": first.pk}, state="running")
    assert actions.request_sync(people.alice).pk == first.pk
    assert actions.request_sync(people.bob).pk != first.pk
    books.update("sync_requests", {"request_id": first.pk}, state="done")
    again = actions.request_sync(people.alice)
    assert again.pk != first.pk
    assert len(books.rows("sync_requests")) == 3


def test_many_clicks_at_once_make_one_request(books: Books, people: People) -> None:
    together, found = threading.Barrier(6), []

    def click() -> None:
        together.wait(timeout=10)
        found.append(actions.request_sync(people.alice).pk)
        connections.close_all()

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert {*found} == {row["request_id"] for row in books.rows("sync_requests")}
    assert len({*found}) == 1


def test_a_new_connection_is_sealed_for_the_pipeline(books: Books, people: People, key: PrivateKey) -> None:
    made = actions.connect(people.alice, "Family", TOKEN, SECRET, sandbox=True)
    assert (made.label, made.owner, made.sandbox, made.state) == ("Family", str(people.alice.pk), True, "new")
    row = _stored(books, made.pk)
    assert _opened(row["sealed_credentials"], key) == {"refresh_token": TOKEN, "client_secret": SECRET}
    pair = pipelines_sealing.KeyPair("k2", bytes(key))
    assert pipelines_sealing.unseal(row["sealed_credentials"], [pair]) == pipelines_sealing.Secrets(TOKEN, SECRET)
    plain = actions.connect(people.bob, "Family", TOKEN)
    assert _opened(_stored(books, plain.pk)["sealed_credentials"], key) == {"refresh_token": TOKEN}
    assert (plain.sandbox, plain.pk != made.pk) == (False, True)


def test_a_label_is_taken_once_by_a_users_live_connections(books: Books, people: People, key: PrivateKey) -> None:
    first = actions.connect(people.alice, "Family", TOKEN)
    with pytest.raises(LabelTakenError, match="already have a connection named “Family”"):
        actions.connect(people.alice, "Family", TOKEN)
    actions.disconnect(people.alice, first.pk)
    assert actions.connect(people.alice, "Family", TOKEN).pk != first.pk


def test_a_form_sent_twice_at_once_makes_one_connection(books: Books, people: People, key: PrivateKey) -> None:
    together, told = threading.Barrier(4), []

    def send() -> None:
        together.wait(timeout=10)
        try:
            actions.connect(people.alice, "Family", TOKEN)
        except LabelTakenError as error:
            told.append(str(error))
        connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 3
    assert [row["label"] for row in books.rows("connections")].count("Family") == 1


def test_without_a_key_nothing_is_stored_and_it_says_what_to_do(books: Books, people: People) -> None:
    with pytest.raises(NoKeyError, match="tasty-pipeline keygen"):
        actions.connect(people.alice, "Family", TOKEN)
    with pytest.raises(NoKeyError):
        actions.reconnect(people.alice, "alice", TOKEN)
    assert len(books.rows("connections")) == 3


def test_a_damaged_key_stores_nothing_either(books: Books, people: People) -> None:
    for name, public in (("short", "AAAA"), ("no base64", "!")):
        books.insert("sealing_keys", key_id=name, public_key=public, created_at=NOON.replace(day=len(name)))
        with pytest.raises(NoKeyError, match=f"public key {name} is damaged.*keygen --rotate"):
            actions.connect(people.alice, "Family", TOKEN)


def test_new_credentials_make_a_connection_new_again(books: Books, people: People, key: PrivateKey) -> None:
    books.update("connections", {"connection_id": "alice"}, state="needs reauthorisation", state_reason="revoked")
    again = actions.reconnect(people.alice, "alice", TOKEN)
    assert (again.state, again.state_reason, again.needs_reauthorisation) == ("new", None, False)
    assert again.connected_at > NOON
    assert _opened(_stored(books, "alice")["sealed_credentials"], key) == {"refresh_token": TOKEN}


def test_disconnecting_forgets_the_credentials_and_can_be_undone(books: Books, people: People, key: PrivateKey) -> None:
    actions.reconnect(people.alice, "alice", TOKEN)
    gone = actions.disconnect(people.alice, "alice")
    assert (gone.state, gone.is_live) == ("disconnected", False)
    assert _stored(books, "alice")["sealed_credentials"] is None
    assert actions.disconnect(people.alice, "alice").disconnected_at == gone.disconnected_at
    assert actions.reconnect(people.alice, "alice", TOKEN).is_live


def test_what_is_anothers_can_neither_be_changed_nor_ended(books: Books, people: People, key: PrivateKey) -> None:
    before = books.rows("connections")
    for name in ("bob", "default", "none", "' OR '1'='1"):
        with pytest.raises(Connection.DoesNotExist):
            actions.reconnect(people.alice, name, TOKEN)
        with pytest.raises(Connection.DoesNotExist):
            actions.disconnect(people.alice, name)
    assert books.rows("connections") == before
    for action in (actions.request_sync, lambda user: actions.connect(user, "X", TOKEN)):
        with pytest.raises(ActionError, match="Log in first"):
            action(AnonymousUser())


def test_the_database_refuses_what_is_anothers_too(books: Books, people: People, key: PrivateKey) -> None:
    with acting_as(people.bob.pk):
        with pytest.raises(NoRightError, match="may only act as the user whom it is about"):
            actions.request_sync(people.alice)
        with pytest.raises(NoRightError, match="row-level security"):
            actions.connect(people.alice, "Family", TOKEN)
    with acting_as(people.alice.pk):
        assert actions.request_sync(people.alice).is_open
        made = actions.connect(people.alice, "Family", TOKEN)
        assert actions.reconnect(people.alice, made.pk, TOKEN).is_live
        assert not actions.disconnect(people.alice, made.pk).is_live


def test_a_role_that_only_reads_is_told_which_right_it_lacks(
    books: Books, people: People, key: PrivateKey, site: Site
) -> None:
    with psycopg.connect(site.owner_url, autocommit=True) as admin:
        admin.execute(f"REVOKE tasty_app FROM {site.role}; GRANT tasty_reader TO {site.role}".encode())
        try:
            for action in (
                lambda: actions.request_sync(people.alice),
                lambda: actions.connect(people.alice, "X", TOKEN),
                lambda: actions.disconnect(people.alice, "alice"),
            ):
                with pytest.raises(NoRightError, match="'tasty' has to log in as a member of the role tasty_app"):
                    action()
        finally:
            admin.execute(f"REVOKE tasty_reader FROM {site.role}; GRANT tasty_app TO {site.role}".encode())


def test_an_action_joins_the_callers_transaction(books: Books, people: People, key: PrivateKey) -> None:
    with transaction.atomic(using="tasty"):
        actions.connect(people.alice, "Family", TOKEN)
        actions.request_sync(people.alice)
        transaction.set_rollback(True, using="tasty")
    assert not SyncRequest.objects.exists()
    assert len(books.rows("connections")) == 3


def test_the_application_cannot_read_a_seal_back(people: People, key: PrivateKey) -> None:
    made = actions.connect(people.alice, "Family", TOKEN)
    assert "sealed_credentials" not in {field.column for field in Connection._meta.concrete_fields}
    assert "tp1." not in f"{made.__dict__} {made!r}"
    for sql in (
        "SELECT sealed_credentials FROM tasty.connections",
        "UPDATE tasty.connections SET label = sealed_credentials",
        "UPDATE tasty.connections SET label = label RETURNING sealed_credentials",
        "SELECT length(sealed_credentials) FROM tasty.connections",
        f"{_UPSERT} DO UPDATE SET label = connections.sealed_credentials",
        "SELECT sealed_token FROM tasty.access_tokens",
    ):
        with psycopg.connect(_app_url()) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(sql.encode())


def _app_url() -> str:
    known = connections["tasty"].settings_dict
    return f"postgresql://{known['USER']}:{known['PASSWORD']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"


def test_a_token_is_in_no_log_no_statement_no_session_and_no_error_page(
    books: Books,
    people: People,
    key: PrivateKey,
    caplog: pytest.LogCaptureFixture,
    client_of: Callable[[User | None], Client],
) -> None:
    caplog.set_level(logging.DEBUG)
    client_of(people.alice)
    with override_settings(DEBUG=True):
        connections["tasty"].queries_log.clear()
        made = actions.connect(people.alice, "Family", TOKEN, SECRET)
        actions.reconnect(people.alice, made.pk, TOKEN, SECRET)
        logged = caplog.text + str(connections["tasty"].queries)
        assert "INSERT INTO" in logged
        assert "tp1.k2." in logged
        pages = []
        for broken in ("connections", "sync_requests"):
            with pytest.raises(ActionError) as raised, acting_as(people.bob.pk):
                actions.connect(people.alice, broken, TOKEN, SECRET)
            reporter = ExceptionReporter(RequestFactory().get("/"), raised.type, raised.value, raised.tb)
            with override_settings(DEBUG=False):
                pages += [
                    reporter.get_traceback_text(),
                    reporter.get_traceback_html(),
                    "".join(traceback.format_exception(raised.value)),
                ]
    everything = (
        logged
        + "".join(pages)
        + str(list(Session.objects.values_list("session_data")))
        + str(books.rows("connections"))
    )
    assert "********************" in everything
    for secret in (TOKEN, SECRET, base64.b64encode(TOKEN.encode()).decode()):
        assert secret not in everything
