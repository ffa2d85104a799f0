"""From a URL to a warehouse that is not opened yet.

Here belongs what TASTY_WAREHOUSE_URL may look like and how a warehouse is called in front of people: never with a
password. A URL that is wrong is never quoted, because a password may stand anywhere in it.
"""

from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.warehouse.base import Warehouse
from tasty_pipeline.core.warehouse.duckdb import DuckDBWarehouse
from tasty_pipeline.core.warehouse.duckdb_file import Connect, refuse_ambiguous
from tasty_pipeline.core.warehouse.postgres import PostgresWarehouse

_FORMS = (
    "use duckdb:///data/warehouse.duckdb (a relative path), duckdb:////var/lib/warehouse.duckdb (an absolute one) or "
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters in the password percent-encoded."
)


def open_warehouse(url: str, *, connect: Connect | None = None, wait_seconds: float = 30.0) -> Warehouse:
    """Return the warehouse behind a URL; nothing is opened yet.

    `connect` opens the DuckDB file in place of `duckdb.connect` (with `DUCKDB_CONFIG`, as a DuckDBResource does when it
    is given that configuration). `wait_seconds` bounds every wait for a file or a lock that somebody else holds.
    Raises ConfigurationError for a URL of any other form.
    """
    scheme, separator, rest = url.strip().partition("://")
    if separator and scheme == "duckdb":
        return _duckdb(rest, connect, wait_seconds)
    if separator and scheme in {"postgresql", "postgres"}:
        return _postgres(f"postgresql://{rest}", wait_seconds)
    raise ConfigurationError("TASTY_WAREHOUSE_URL is neither a DuckDB nor a Postgres URL.", _FORMS)


def _duckdb(rest: str, connect: Connect | None, wait_seconds: float) -> Warehouse:
    shown = rest.removeprefix("/")
    if not rest.startswith("/") or not shown or shown.endswith("/") or ":memory:" in shown or "?" in shown:
        raise ConfigurationError("TASTY_WAREHOUSE_URL starts with duckdb:// but names no file.", _FORMS)
    refuse_ambiguous(Path(shown))
    return DuckDBWarehouse(Path(shown).expanduser().resolve(), shown, connect, wait_seconds)


def _postgres(url: str, wait_seconds: float) -> Warehouse:
    rest = url.partition("://")[2]
    authority = rest.replace("?", "/").replace("#", "/").partition("/")[0]
    if rest.count("@") != authority.count("@") or authority.count("@") > 1:
        # else a part of the password would be taken for the host's or the database's name, and shown
        raise ConfigurationError("TASTY_WAREHOUSE_URL has an @ where none can stand.", _FORMS)
    try:
        settings = conninfo_to_dict(url)
    except psycopg.Error:
        raise ConfigurationError("TASTY_WAREHOUSE_URL is a Postgres URL that cannot be read.", _FORMS) from None
    if not str(settings.get("port", "0")).replace(",", "").isdigit():
        raise ConfigurationError("TASTY_WAREHOUSE_URL has a port that is not a number.", _FORMS)
    return PostgresWarehouse(settings, _label(settings), wait_seconds)


def _label(settings: dict[str, Any]) -> str:
    host = settings.get("host") or settings.get("hostaddr") or "local socket"
    port = f":{settings['port']}" if settings.get("port") else ""
    return f"Postgres {host}{port}/{settings.get('dbname') or settings.get('user') or ''}"
