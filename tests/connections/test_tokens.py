"""Access tokens between two runs: kept for exactly their own login, and only while they are good."""

import threading
from dataclasses import replace

import pytest

from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.connections import (
    DEFAULT,
    login_of,
    mark_active,
    mark_refused,
)
from tasty_pipeline.core.errors import WarehouseLockedError
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .stored import BOB, REFUSAL, fill, later, login, rows


@pytest.mark.parametrize("name", [DEFAULT, "bob"])
def test_a_token_is_kept_for_exactly_its_own_login(keyed: Warehouse, settings: Settings, name: str) -> None:
    connections.add(keyed, "bob", BOB, owner="2")
    assert connections.kept_token(login(keyed, settings, name)) is None
    connections.keep_token(keyed, login(keyed, settings, name), later(9))
    mine = login(keyed, settings, name)
    assert connections.kept_token(mine) == later(9)
    others = [
        login_of(mine.connection, replace(settings, api_url="http://localhost:1")),
        login_of(replace(mine.connection, sandbox=True), settings),
        replace(mine, credentials=replace(mine.credentials, refresh_token="other")),
    ]
    assert [connections.kept_token(each) for each in others] == [None] * 3


def test_a_token_at_its_end_is_none_and_is_replaced(keyed: Warehouse, settings: Settings) -> None:
    connections.keep_token(keyed, login(keyed, settings), later(-1))
    assert connections.kept_token(login(keyed, settings)) is None
    connections.keep_token(keyed, login(keyed, settings), later(9, "new"))
    assert connections.kept_token(login(keyed, settings)) == later(9, "new")
    assert len(rows(keyed, schema.access_tokens)) == 1


def test_of_two_runs_the_token_that_lives_longer_is_kept(keyed: Warehouse, settings: Settings) -> None:
    first, second = login(keyed, settings), login(keyed, settings)
    connections.keep_token(keyed, first, later(14, "long"))
    connections.keep_token(keyed, second, later(9, "short"))
    assert connections.kept_token(login(keyed, settings)) == later(14, "long")
    connections.keep_token(keyed, second, None)
    assert connections.kept_token(login(keyed, settings)) == later(14, "long")


def test_a_token_of_credentials_before_does_not_outlive_them(keyed: Warehouse, settings: Settings) -> None:
    connections.keep_token(keyed, login(keyed, settings), later(14, "old"))
    mended = replace(settings, refresh_token="another")
    assert connections.kept_token(login(keyed, mended)) is None
    connections.keep_token(keyed, login(keyed, mended), later(9, "new"))
    assert connections.kept_token(login(keyed, mended)) == later(9, "new")


def test_a_refused_login_loses_its_token(keyed: Warehouse, settings: Settings) -> None:
    connections.add(keyed, "bob", BOB, owner="2")
    for name in (DEFAULT, "bob"):
        connections.keep_token(keyed, login(keyed, settings, name), later(9))
    mark_refused(keyed, login(keyed, settings, "bob"), REFUSAL)
    assert [each["connection_id"] for each in rows(keyed, schema.access_tokens)] == [DEFAULT]


def test_a_damaged_token_is_none(keyed: Warehouse, settings: Settings) -> None:
    mark_active(keyed, login(keyed, settings))
    token = {"connection_id": DEFAULT, "sealed_token": "damaged", "expires_at": later(9).expires_at}
    fill(keyed, schema.access_tokens, token)
    assert connections.kept_token(login(keyed, settings)) is None
    connections.keep_token(keyed, login(keyed, settings), later(8))
    assert connections.kept_token(login(keyed, settings)) == later(8)


def test_a_held_file_is_told_as_everywhere(duckdb_url: str, settings: Settings) -> None:
    open_warehouse(duckdb_url).migrate()
    warehouse = open_warehouse(duckdb_url, wait_seconds=0.05)
    own = login(warehouse, settings)
    entered, done = threading.Event(), threading.Event()

    def hold() -> None:
        with open_warehouse(duckdb_url).write():
            entered.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(30)
    try:
        for action in (
            lambda: mark_active(warehouse, own),
            lambda: mark_refused(warehouse, own, REFUSAL),
            lambda: connections.keep_token(warehouse, own, later(9)),
        ):
            with pytest.raises(WarehouseLockedError):
                action()
    finally:
        done.set()
        holder.join()
