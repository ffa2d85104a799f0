"""Which connections there are: the environment's `default` and those that are stored.

Here belongs reading them from the tables. Nothing here unseals, and nothing here writes.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse

DEFAULT = "default"
ACTIVE, NEEDS_REAUTHORISATION = "active", "needs reauthorisation"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One login as the tables know it; `default` has its credentials in the environment and may have no row.

    `sealed` is the sealed credentials, `kept` the locked access token of an earlier run, `refused_login` the digest of
    the login that the broker refused.
    """

    connection_id: str
    owner: str | None = None
    label: str = DEFAULT
    sandbox: bool = False
    sealed: str | None = field(default=None, repr=False)
    state: str | None = None
    state_reason: str | None = None
    refused_login: str | None = None
    kept: str | None = field(default=None, repr=False)
    kept_until: datetime | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is the environment's own."""
        return self.connection_id == DEFAULT


def live_connections(warehouse: Warehouse, settings: Settings) -> list[Connection]:
    """Return what can be synchronised: `default` where the environment has credentials, then what is not disconnected.

    Those that are stored come in the order of `connected_at`. Where there are no tables, or those of another version,
    only `default` is known; no DuckDB file is made by looking. Raises `WarehouseError`.
    """
    stored = _stored(warehouse) if warehouse.is_current() else []
    others = [each for each in stored if not each.is_default]
    if not settings.has_credentials:
        return others
    own = next((each for each in stored if each.is_default), Connection(connection_id=DEFAULT))
    return [replace(own, sandbox=settings.sandbox), *others]


def find_connection(warehouse: Warehouse, settings: Settings, connection_id: str) -> Connection:
    """Return a live connection; raises `ConfigurationError` where there is none of that name."""
    live = live_connections(warehouse, settings)
    found = next((each for each in live if each.connection_id == connection_id), None)
    if found is not None:
        return found
    known = ", ".join(each.connection_id for each in live) or "none"
    raise ConfigurationError(
        f"There is no connection {connection_id!r}; there is: {known}.",
        "see `tasty-pipeline connections list`, and add it with `tasty-pipeline connections add`.",
    )


def _stored(warehouse: Warehouse) -> list[Connection]:
    table, tokens = schema.connections, schema.access_tokens
    names = ("connection_id", "owner", "label", "sandbox", "state", "state_reason", "refused_login")
    query = (
        sa.select(*(table.c[name] for name in names), table.c.sealed_credentials.label("sealed"))
        # where the environment has credentials `default` lives, whatever was done to its row
        .where(sa.or_(table.c.disconnected_at.is_(None), table.c.connection_id == DEFAULT))
        .order_by(table.c.connected_at, table.c.connection_id)
    )
    locked = sa.select(
        tokens.c.connection_id, tokens.c.sealed_token.label("kept"), tokens.c.expires_at.label("kept_until")
    )
    with warehouse.read() as reader:
        rows: list[dict[str, Any]] = reader.rows(query)
        kept = {row.pop("connection_id"): row for row in reader.rows(locked)}
    if all(row["connection_id"] != DEFAULT for row in rows):
        rows.append({"connection_id": DEFAULT})
    return [Connection(**row, **kept.get(row["connection_id"], {})) for row in rows]
