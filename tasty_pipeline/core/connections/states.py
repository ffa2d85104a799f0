"""What came of a login, remembered: refused or active, and the access token for the next run.

Only what differs is written. A row whose credentials changed since the connection was read is left alone: what came of
the old ones says nothing of the new ones.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.broker import AccessToken
from tasty_pipeline.core.connections.base import ACTIVE, NEEDS_REAUTHORISATION, Connection
from tasty_pipeline.core.connections.logins import Login
from tasty_pipeline.core.errors import AuthenticationError
from tasty_pipeline.core.sealing import lock_token, open_token
from tasty_pipeline.core.warehouse import Reader, Warehouse

# transactions that add, change or end a connection run one after the other
CONNECTIONS_LOCK = "connections"


def mark_refused(warehouse: Warehouse, login: Login, error: AuthenticationError) -> None:
    """Remember that the broker refused this login: it needs reauthorisation, and its access token is forgotten.

    Makes the tables where there are none: a refusal that is forgotten would be tried again. Raises `WarehouseError`.
    """
    warehouse.migrate()
    _mark(warehouse, login.connection, state=NEEDS_REAUTHORISATION, state_reason=error.what, refused_login=login.digest)


def mark_active(warehouse: Warehouse, login: Login) -> None:
    """Remember that this login was accepted. Raises `WarehouseError`.

    Where another login of the connection was refused since it was read (the environment's changed meanwhile), that
    stands: this one's success says nothing of it.
    """
    if warehouse.is_current():
        refused = schema.connections.c.refused_login
        known = [digest for digest in (login.connection.refused_login, login.digest) if digest]
        ours = sa.or_(refused.is_(None), refused.in_(known))
        _mark(warehouse, login.connection, ours, state=ACTIVE, state_reason=None, refused_login=None)


def _mark(
    warehouse: Warehouse, connection: Connection, *conditions: sa.ColumnElement[bool], **state: str | None
) -> None:
    table, where = schema.connections, [*_unchanged(connection), *conditions]
    values: dict[str, Any] = dict(state)
    if connection.is_default:
        values |= {"sandbox": connection.sandbox, "disconnected_at": None}
    with warehouse.read() as reader:
        found = reader.rows(sa.select(*(table.c[name] for name in values)).where(*where))
        if found == [values] or not (found or _is_new(reader, connection)):
            return
    now = datetime.now(UTC)
    since = sa.case(
        (table.c.state.is_distinct_from(state["state"]), sa.literal(now, schema.INSTANT)),
        else_=table.c.state_changed_at,
    )
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        if _is_new(writer, connection):
            row = {"connection_id": connection.connection_id, "label": connection.label, "connected_at": now}
            writer.insert(table, [{**row, "state_changed_at": now, **values}])
            return
        done = writer.execute(sa.update(table).where(*where).values(state_changed_at=since, **values))
        if done and state["state"] != ACTIVE:
            tokens = schema.access_tokens
            writer.execute(sa.delete(tokens).where(tokens.c.connection_id == connection.connection_id))


def _is_new(reader: Reader, connection: Connection) -> bool:
    """Say whether it is `default` and has no row yet."""
    same = schema.connections.c.connection_id == connection.connection_id
    return connection.is_default and not reader.scalar(sa.select(sa.func.count()).where(same))


def _unchanged(connection: Connection) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that the row still holds the credentials that were used."""
    table = schema.connections
    mine = [table.c.connection_id == connection.connection_id]
    if not connection.is_default:
        mine += [table.c.disconnected_at.is_(None), table.c.sealed_credentials.is_not_distinct_from(connection.sealed)]
    return mine


def kept_token(login: Login) -> AccessToken | None:
    """Return the access token that an earlier run left for exactly this login, while it lives.

    A token that was bought with other credentials, or at another address, is none.
    """
    return _opened(login, login.connection.kept, login.connection.kept_until)


def keep_token(warehouse: Warehouse, login: Login, token: AccessToken | None) -> None:
    """Keep an access token for the next run, locked with the login's own credentials. Raises `WarehouseError`.

    Nothing is written for None, for a token that is kept already, or where another run has kept one that lives longer.
    """
    connection, table = login.connection, schema.access_tokens
    if token is None or not _is_better(token, kept_token(login)) or not warehouse.is_current():
        return
    row = {
        "connection_id": connection.connection_id,
        "sealed_token": lock_token(token.value, bound_to=login.bound_to),
        "expires_at": token.expires_at,
    }
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        mine = sa.select(schema.connections.c.connection_id).where(*_unchanged(connection))
        kept = sa.select(table.c.sealed_token, table.c.expires_at).where(table.c.connection_id == row["connection_id"])
        stored = [_opened(login, each["sealed_token"], each["expires_at"]) for each in writer.rows(kept)]
        if (connection.is_default or writer.rows(mine)) and all(_is_better(token, each) for each in stored):
            writer.merge(table, writer.stage(table, [row]))


def _opened(login: Login, locked: str | None, until: datetime | None) -> AccessToken | None:
    if locked is None or until is None or until <= datetime.now(UTC):
        return None
    value = open_token(locked, bound_to=login.bound_to)
    return None if value is None else AccessToken(value, until)


def _is_better(token: AccessToken, kept: AccessToken | None) -> bool:
    return kept is None or (kept.value != token.value and kept.expires_at < token.expires_at)
