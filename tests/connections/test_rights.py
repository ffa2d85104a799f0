"""The role `tasty_pipeline` is enough for everything that the pipeline does with connections."""

from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.connections import live_connections, mark_active, mark_refused
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .stored import ALICE, BOB, REFUSAL, later, login, row, rows


@pytest.fixture
def pipelines_own(postgres_database: str) -> Iterator[Warehouse]:
    """A warehouse that somebody else has migrated, opened by a member of `tasty_pipeline`."""
    open_warehouse(postgres_database).migrate()
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("CREATE ROLE pipeline_of_connections LOGIN IN ROLE tasty_pipeline")
        parts = urlsplit(postgres_database)
        netloc = f"pipeline_of_connections@{parts.hostname}:{parts.port}"
        yield open_warehouse(urlunsplit(parts._replace(netloc=netloc)))
        admin.execute("DROP ROLE pipeline_of_connections")


def test_it_may_store_try_rotate_and_end_connections(pipelines_own: Warehouse, settings: Settings) -> None:
    store = pipelines_own
    connections.make_key(store, settings.sealing_keys)
    connections.add(store, "alice", ALICE, owner="1")
    connections.add(store, "bob", BOB, owner="2")
    mark_active(store, login(store, settings))
    mark_refused(store, login(store, settings, "alice"), REFUSAL)
    connections.keep_token(store, login(store, settings, "bob"), later(9))
    assert connections.kept_token(login(store, settings, "bob")) == later(9)
    assert connections.rotate_key(store, settings.sealing_keys).resealed == 2
    assert row(store, "alice")["state"] == "needs reauthorisation"
    connections.disconnect(store, "bob")
    assert connections.settle_disconnected(store) == []
    assert [each.connection_id for each in live_connections(store, settings)] == ["default", "alice"]
    assert rows(store, schema.access_tokens) == []
