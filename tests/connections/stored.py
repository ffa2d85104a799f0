"""What the tests of connections share: logins that are stored, and what the tables hold of them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.broker import AccessToken
from tasty_pipeline.core.connections import DEFAULT, Login, login_of
from tasty_pipeline.core.errors import AuthenticationError
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse

REFUSAL = AuthenticationError("The refresh token was revoked.", "make a new one.")
ALICE, BOB = Secrets("canary-refresh-alice"), Secrets("canary-refresh-bob", "canary-client-bob")
NOW = datetime.now(UTC)
Rows = list[dict[str, Any]]


def login(warehouse: Warehouse, settings: Settings, name: str = DEFAULT) -> Login:
    return login_of(connections.find_connection(warehouse, settings, name), settings)


def later(hours: float, value: str = "canary-access") -> AccessToken:
    """A token that ends so many hours after the tests began: the same one whenever it is asked for."""
    return AccessToken(value, NOW + timedelta(hours=hours, microseconds=1))


def rows(warehouse: Warehouse, table: sa.Table, *names: str) -> Rows:
    columns = [table.c[name] for name in names] or list(table.columns)
    with warehouse.read() as reader:
        return reader.rows(sa.select(*columns).order_by(*table.primary_key.columns))


def row(warehouse: Warehouse, name: str) -> dict[str, Any]:
    return next(each for each in rows(warehouse, schema.connections) if each["connection_id"] == name)


def fill(warehouse: Warehouse, table: sa.Table, *filled: dict[str, Any]) -> None:
    with warehouse.write() as writer:
        writer.insert(table, filled)


def change(warehouse: Warehouse, name: str, **values: Any) -> None:
    table = schema.connections
    with warehouse.write() as writer:
        assert writer.execute(sa.update(table).where(table.c.connection_id == name).values(**values)) == 1


def versions(warehouse: Warehouse) -> Callable[[], object]:
    """Return what tells something else whenever a row is written; in DuckDB, whenever one is written differently."""
    tables = (schema.connections, schema.access_tokens, schema.sealing_keys, schema.accounts)
    if warehouse.kind == "duckdb":
        return lambda: [rows(warehouse, table) for table in tables]

    def writers() -> object:
        written_by = sa.literal_column("xmin::text").label("written_by")
        with warehouse.read() as reader:
            return [
                sorted(each["written_by"] for each in reader.rows(sa.select(written_by).select_from(table)))
                for table in tables
            ]

    return writers
