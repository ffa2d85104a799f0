"""What came of a login is remembered, refused or active: only what differs, and only of the same credentials."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.broker import AccessToken
from tasty_pipeline.core.connections import (
    ACTIVE,
    DEFAULT,
    NEEDS_REAUTHORISATION,
    live_connections,
    login_of,
    mark_active,
    mark_refused,
    refused_before,
)
from tasty_pipeline.core.errors import AuthenticationError
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .stored import ALICE, BOB, REFUSAL, login, row, rows, versions


def test_a_digest_tells_logins_apart_and_is_no_credential(settings: Settings, warehouse: Warehouse) -> None:
    own = live_connections(warehouse, settings)[0]
    variants = [
        settings,
        replace(settings, client_secret="other"),
        replace(settings, refresh_token="other"),
        replace(settings, api_url="http://localhost:1"),
    ]
    digests = {login_of(own, each).digest for each in variants} | {
        login_of(replace(own, sandbox=True), settings).digest
    }
    assert len(digests) == 5
    assert login_of(own, settings).digest == login_of(own, settings).digest


@pytest.mark.parametrize("name", [DEFAULT, "alice"])
def test_a_refused_login_is_not_tried_again_until_it_changes(keyed: Warehouse, settings: Settings, name: str) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    assert refused_before(login(keyed, settings, name)) is None
    mark_refused(keyed, login(keyed, settings, name), REFUSAL)
    stands = refused_before(login(keyed, settings, name))
    assert stands is not None
    assert "The refresh token was revoked." in stands.what
    assert f"connections check {name}" in stands.remedy
    stored = row(keyed, name)
    assert (stored["state"], stored["state_reason"]) == (NEEDS_REAUTHORISATION, REFUSAL.what)
    assert datetime.now(UTC) - stored["state_changed_at"] < timedelta(minutes=5)
    # the other one is not concerned
    assert refused_before(login(keyed, settings, "alice" if name == DEFAULT else DEFAULT)) is None
    mark_active(keyed, login(keyed, settings, name))
    assert refused_before(login(keyed, settings, name)) is None
    stored = row(keyed, name)
    assert (stored["state"], stored["state_reason"], stored["refused_login"]) == (ACTIVE, None, None)


def test_new_credentials_are_tried_whatever_came_of_the_old_ones(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    for name in (DEFAULT, "alice"):
        mark_refused(keyed, login(keyed, settings, name), REFUSAL)
    mended = replace(settings, refresh_token="another")
    assert refused_before(login(keyed, mended)) is None
    assert refused_before(login(keyed, settings)) is not None
    connections.add(keyed, "alice", Secrets("another"), owner="1")
    assert refused_before(login(keyed, settings, "alice")) is None
    assert row(keyed, "alice")["state"] is None
    # a person who stores the same once more wants it to be tried, once
    connections.add(keyed, "alice", ALICE, owner="1")
    again = login(keyed, settings, "alice")
    assert refused_before(again) is None
    mark_refused(keyed, again, REFUSAL)
    assert refused_before(login(keyed, settings, "alice")) is not None


@pytest.mark.parametrize("outcome", ["refused", "active"])
def test_what_came_of_credentials_that_changed_meanwhile_is_forgotten(
    keyed: Warehouse, settings: Settings, outcome: str
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    old = login(keyed, settings, "alice")
    connections.add(keyed, "alice", BOB, owner="1")
    before = row(keyed, "alice")
    mark_refused(keyed, old, REFUSAL) if outcome == "refused" else mark_active(keyed, old)
    connections.keep_token(keyed, old, AccessToken("canary-old", datetime.now(UTC) + timedelta(minutes=9)))
    assert row(keyed, "alice") == before
    assert rows(keyed, schema.access_tokens) == []
    connections.disconnect(keyed, "alice")
    before = row(keyed, "alice")
    mark_refused(keyed, old, REFUSAL) if outcome == "refused" else mark_active(keyed, old)
    assert row(keyed, "alice") == before


def test_the_success_of_an_older_login_does_not_excuse_a_newer_one_that_was_refused(
    warehouse: Warehouse, settings: Settings
) -> None:
    mark_active(warehouse, login(warehouse, settings))
    old = login(warehouse, settings)
    newer = replace(settings, refresh_token="newer")
    mark_refused(warehouse, login(warehouse, newer), REFUSAL)
    mark_active(warehouse, old)
    assert refused_before(login(warehouse, newer)) is not None
    # whoever has read the refusal, and is accepted afterwards, lifts it
    mark_active(warehouse, login(warehouse, settings))
    assert row(warehouse, DEFAULT)["state"] == ACTIVE


def test_the_default_one_gets_its_row_with_its_first_outcome(warehouse: Warehouse, settings: Settings) -> None:
    mark_active(warehouse, login(warehouse, replace(settings, sandbox=True)))
    stored = row(warehouse, DEFAULT)
    assert (stored["owner"], stored["label"], stored["sandbox"]) == (None, "default", True)
    assert (stored["sealed_credentials"], stored["state"]) == (None, ACTIVE)
    mark_refused(warehouse, login(warehouse, settings), REFUSAL)
    assert (row(warehouse, DEFAULT)["sandbox"], row(warehouse, DEFAULT)["state"]) == (False, NEEDS_REAUTHORISATION)


def test_a_refusal_is_remembered_even_before_there_are_tables(warehouse_url: str, settings: Settings) -> None:
    warehouse = open_warehouse(warehouse_url)
    own = login(warehouse, settings)
    mark_active(warehouse, own)
    connections.keep_token(warehouse, own, AccessToken("canary", datetime.now(UTC) + timedelta(minutes=9)))
    assert warehouse.version() is None
    mark_refused(warehouse, own, REFUSAL)
    assert refused_before(login(warehouse, settings)) is not None


@pytest.mark.parametrize("name", [DEFAULT, "alice"])
def test_the_same_outcome_again_writes_nothing(keyed: Warehouse, settings: Settings, name: str) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    token = AccessToken("canary-access", datetime.now(UTC) + timedelta(minutes=9))
    written = versions(keyed)
    for mark in (lambda each: mark_refused(keyed, each, REFUSAL), lambda each: mark_active(keyed, each)):
        mark(login(keyed, settings, name))
        connections.keep_token(keyed, login(keyed, settings, name), token)
        before = written()
        mark(login(keyed, settings, name))
        connections.keep_token(keyed, login(keyed, settings, name), token)
        assert written() == before


def test_another_reason_changes_the_reason_and_not_since_when(keyed: Warehouse, settings: Settings) -> None:
    mark_refused(keyed, login(keyed, settings), REFUSAL)
    since = row(keyed, DEFAULT)["state_changed_at"]
    mark_refused(keyed, login(keyed, settings), AuthenticationError("The client secret was refused.", "mend it."))
    stored = row(keyed, DEFAULT)
    assert (stored["state_reason"], stored["state_changed_at"]) == ("The client secret was refused.", since)
