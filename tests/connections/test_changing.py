"""Connections begin and end, and their accounts with them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import connections, publish, schema
from tasty_pipeline.core.connections import (
    DEFAULT,
    live_connections,
    mark_active,
)
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse

from .stored import ALICE, BOB, NOW, change, fill, later, login, row, rows, versions


def test_the_same_owner_may_store_new_credentials_and_nobody_else(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1", label="Alice")
    connections.add(keyed, "alice", BOB, owner="1")
    assert (row(keyed, "alice")["label"], len(rows(keyed, schema.connections))) == ("Alice", 1)
    assert login(keyed, settings, "alice").credentials.refresh_token == "canary-refresh-bob"
    before = rows(keyed, schema.connections)
    with pytest.raises(ConfigurationError, match=r"'alice' already, of another owner"):
        connections.add(keyed, "alice", ALICE, owner="2")
    with pytest.raises(ConfigurationError, match=r"'alice' already, of the other environment"):
        connections.add(keyed, "alice", ALICE, owner="1", sandbox=True)
    assert rows(keyed, schema.connections) == before


@pytest.mark.parametrize(
    ("name", "owner", "what"),
    [
        (DEFAULT, "1", "the environment's own"),
        ("", "1", "cannot be a connection's name"),
        ("-x", "1", "cannot be a connection's name"),
        ("a|b", "1", "cannot be a connection's name"),
        ("a\nb", "1", "cannot be a connection's name"),
        ("x" * 65, "1", "cannot be a connection's name"),
        ("x", "nobody", "cannot own"),
        ("x", " ", "cannot own"),
    ],
)
def test_a_name_or_an_owner_that_cannot_be_is_refused(keyed: Warehouse, name: str, owner: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        connections.add(keyed, name, ALICE, owner=owner)
    assert rows(keyed, schema.connections) == []


def test_without_a_key_nothing_is_stored(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match=r"no key yet.*tasty-pipeline keygen"):
        connections.add(warehouse, "alice", ALICE, owner="1")
    assert rows(warehouse, schema.connections) == []


def account(number: str) -> dict[str, Any]:
    return {"account_number": number, "synced_at": NOW, "run_id": "run-1"}


def sees(connection: str, number: str, **more: Any) -> dict[str, Any]:
    return {"connection_id": connection, "account_number": number, "synced_at": NOW, "run_id": "run-1", **more}


@pytest.fixture
def shared(keyed: Warehouse, settings: Settings) -> Warehouse:
    """Alice sees A1 and A2, Bob A2, Zoe (who left) nothing, the operator A4, which nobody else lists; A5 is old."""
    for name in ("alice", "bob", "zoe"):
        connections.add(keyed, name, ALICE, owner=name)
        connections.keep_token(keyed, login(keyed, settings, name), later(9))
    fill(keyed, schema.accounts, *map(account, ("A1", "A2", "A4", "A5")))
    links = [sees("alice", "A1"), sees("alice", "A2"), sees("bob", "A2"), sees(DEFAULT, "A4")]
    fill(keyed, schema.connection_accounts, *links)
    return keyed


def live(warehouse: Warehouse, table: sa.Table) -> list[tuple[Any, ...]]:
    names = [column.name for column in table.primary_key.columns]
    return [tuple(each[name] for name in names) for each in rows(warehouse, table) if each["removed_at"] is None]


def test_a_disconnection_erases_the_credentials_and_removes_what_nobody_else_sees(
    shared: Warehouse, settings: Settings
) -> None:
    assert connections.disconnect(shared, "alice") == ["A1"]
    assert live(shared, schema.accounts) == [("A2",), ("A4",), ("A5",)]
    assert live(shared, schema.connection_accounts) == [("bob", "A2"), (DEFAULT, "A4")]
    ended = row(shared, "alice")
    assert ended["sealed_credentials"] is None
    assert datetime.now(UTC) - ended["disconnected_at"] < timedelta(minutes=5)
    assert [each["connection_id"] for each in rows(shared, schema.access_tokens)] == ["bob", "zoe"]
    assert "alice" not in [each.connection_id for each in live_connections(shared, settings)]
    feed = rows(shared, schema.changes, "sequence", "table_name", "account_number", "kind")
    assert feed == [{"sequence": 1, "table_name": "accounts", "account_number": "A1", "kind": "remove"}]
    with pytest.raises(ConfigurationError, match="no connection 'alice'"):
        connections.disconnect(shared, "alice")
    assert connections.disconnect(shared, "bob") == ["A2"]


def test_what_an_application_ended_is_settled_once(shared: Warehouse, settings: Settings) -> None:
    written = versions(shared)
    assert connections.settle_disconnected(shared) == []
    before = written()
    for name in ("alice", "zoe"):
        change(shared, name, disconnected_at=NOW)
    # an application that forgot to erase what it had sealed
    assert row(shared, "zoe")["sealed_credentials"] is not None
    assert written() != before
    run = publish.Run(run_id="run-2", environment="production", history_start=date.min)
    later_on = NOW + timedelta(hours=1)
    with publish.transaction(shared, run, "accounts") as writer:
        assert connections.settle(writer, run, later_on) == ["A1"]
    removed = next(each for each in rows(shared, schema.accounts) if each["account_number"] == "A1")
    assert (removed["removed_at"], removed["synced_at"], removed["run_id"]) == (later_on, later_on, "run-2")
    assert live(shared, schema.connection_accounts) == [("bob", "A2"), (DEFAULT, "A4")]
    assert [row(shared, name)["sealed_credentials"] for name in ("alice", "zoe")] == [None, None]
    before = written()
    with publish.transaction(shared, run, "accounts") as writer:
        assert connections.settle(writer, run, later_on + timedelta(hours=1)) == []
    assert connections.settle_disconnected(shared) == []
    assert written() == before


def test_the_default_one_may_end_where_the_environment_has_no_credentials_and_lives_again_with_them(
    shared: Warehouse, settings: Settings
) -> None:
    mark_active(shared, login(shared, settings))
    assert connections.disconnect(shared, DEFAULT) == ["A4"]
    assert live_connections(shared, settings)[0].is_default
    mark_active(shared, login(shared, settings))
    assert row(shared, DEFAULT)["disconnected_at"] is None
