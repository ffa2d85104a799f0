"""Which connections there are, and what each logs in with."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import connections, schema, sealing
from tasty_pipeline.core.broker import AccessToken
from tasty_pipeline.core.connections import (
    DEFAULT,
    Connection,
    live_connections,
    login_of,
    mark_refused,
)
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .stored import ALICE, BOB, REFUSAL, change, login, rows


def test_without_anything_stored_the_environments_own_is_the_only_one(warehouse: Warehouse, settings: Settings) -> None:
    assert live_connections(warehouse, settings) == [Connection(connection_id=DEFAULT)]
    assert live_connections(warehouse, replace(settings, refresh_token=None)) == []
    assert rows(warehouse, schema.connections) == []


def test_looking_makes_no_file_and_older_tables_are_left_alone(
    duckdb_url: str, tmp_path: Path, settings: Settings
) -> None:
    warehouse = open_warehouse(duckdb_url)
    assert [each.connection_id for each in live_connections(warehouse, settings)] == [DEFAULT]
    assert not (tmp_path / "data").exists()
    warehouse.migrate()
    version = sa.table("schema_version", sa.column("version_num"), schema="tasty")
    with warehouse.write() as writer:
        writer.execute(sa.update(version).values(version_num="0001"))
    assert [each.connection_id for each in live_connections(warehouse, settings)] == [DEFAULT]
    assert warehouse.version() == "0001"


def test_stored_ones_come_after_the_default_one_in_the_order_they_were_connected(
    keyed: Warehouse, settings: Settings
) -> None:
    for name, owner, sandbox in (("zoe", "1", False), ("bob", "2", True), ("alice", None, False)):
        connections.add(keyed, name, ALICE, owner=owner, label=f"{name}'s", sandbox=sandbox)
    connections.disconnect(keyed, "bob")
    own, zoe, alice = live_connections(keyed, settings)
    assert own.is_default
    assert (zoe.connection_id, zoe.owner, zoe.label, zoe.sandbox, zoe.state) == ("zoe", "1", "zoe's", False, None)
    assert (alice.connection_id, alice.owner) == ("alice", None)
    assert [each.connection_id for each in live_connections(keyed, Settings())] == ["zoe", "alice"]


def test_a_name_that_nobody_has_is_told_with_those_that_there_are(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    with pytest.raises(ConfigurationError, match=r"no connection 'bob'; there is: default, alice"):
        connections.find_connection(keyed, settings, "bob")


def test_what_was_sealed_is_what_is_logged_in_with(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    connections.add(keyed, "bob", BOB, owner="2", sandbox=True)
    alice, bob = login(keyed, settings, "alice"), login(keyed, settings, "bob")
    assert (alice.credentials.client_secret, alice.credentials.refresh_token) == (
        "canary-client-own",
        "canary-refresh-alice",
    )
    assert (bob.credentials.client_secret, bob.credentials.refresh_token) == ("canary-client-bob", "canary-refresh-bob")
    assert (alice.config.sandbox, bob.config.sandbox) == (False, True)
    assert login(keyed, settings).credentials.refresh_token == "canary-refresh-own"
    limited = login_of(alice.connection, replace(settings, api_url="http://localhost:1"), timeout_seconds=3.0)
    assert (limited.config.url, limited.config.timeout_seconds) == ("http://localhost:1", 3.0)


@pytest.mark.parametrize(
    "other", [{"client_secret": None}, {"sandbox": True}], ids=["not set", "of the other environment"]
)
def test_the_environments_client_secret_serves_only_its_own_environment(
    keyed: Warehouse, settings: Settings, other: dict[str, Any]
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    with pytest.raises(ConfigurationError, match=r"'alice': It has no client secret.*for production.*set TT_SECRET"):
        login(keyed, replace(settings, **other), "alice")


def lose_file(path: Path, _: Warehouse) -> None:
    path.unlink()


def wrong_file(path: Path, _: Warehouse) -> None:
    sealing.write_keys(path, [sealing.new_pair()])


def open_file(path: Path, _: Warehouse) -> None:
    path.chmod(0o644)


def damage(_: Path, warehouse: Warehouse) -> None:
    change(warehouse, "alice", sealed_credentials="tp1.x")


def erase(_: Path, warehouse: Warehouse) -> None:
    change(warehouse, "alice", sealed_credentials=None)


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (lose_file, "There is no key file", "TASTY_SEALING_KEYS"),
        (wrong_file, "which the key file does not hold", "restore the key file"),
        (open_file, "can be read by others", "chmod 600"),
        (damage, "are damaged", "connect it again"),
        (erase, "No credentials are stored", "connect it again"),
    ],
)
def test_credentials_that_cannot_be_opened_fail_this_connection_alone_and_say_what_to_do(
    keyed: Warehouse,
    settings: Settings,
    spoil: Callable[[Path, Warehouse], None],
    what: str,
    remedy: str,
) -> None:
    connections.add(keyed, "alice", ALICE, owner="1")
    spoil(settings.sealing_keys, keyed)
    own, alice = live_connections(keyed, settings)
    assert login_of(own, settings)
    with pytest.raises(ConfigurationError, match=rf"^Connection 'alice': .*{what}.* What to do: .*{remedy}") as caught:
        login_of(alice, settings)
    assert "canary" not in str(caught.value) + repr(vars(caught.value))


def test_no_repr_and_no_table_shows_credentials(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "bob", BOB, owner="2")
    bob = login(keyed, settings, "bob")
    mark_refused(keyed, bob, REFUSAL)
    connections.keep_token(keyed, bob, AccessToken("canary-access", datetime.now(UTC) + timedelta(minutes=9)))
    bob = login(keyed, settings, "bob")
    shown = [repr(bob), str(bob), repr(bob.connection), repr(live_connections(keyed, settings)), bob.digest]
    shown += [repr(rows(keyed, table)) for table in (schema.connections, schema.access_tokens, schema.sealing_keys)]
    private = [line.split()[1] for line in settings.sealing_keys.read_text().splitlines()]
    for text in shown:
        assert not any(each in text for each in ("canary", *private)), text
    assert bob.connection.sealed is not None
    assert bob.connection.sealed not in "".join(shown[:4])


def test_nothing_of_this_needs_the_environment(keyed: Warehouse, settings: Settings) -> None:
    assert "TT_SECRET" not in os.environ
    with pytest.raises(ConfigurationError, match="No credentials are set"):
        login_of(Connection(connection_id=DEFAULT), Settings())
