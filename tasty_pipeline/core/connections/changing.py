"""Adding and ending connections, and what follows for their accounts.

Here belongs what an operator's command does; an application does the same with its own rights, and what it leaves to
the pipeline (accounts, tokens) is settled here.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime

import sqlalchemy as sa

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.connections.base import DEFAULT, Connection
from tasty_pipeline.core.connections.states import CONNECTIONS_LOCK
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.sealing import Secrets, seal
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add(
    warehouse: Warehouse,
    connection_id: str,
    secrets: Secrets,
    *,
    owner: str | None,
    label: str = "",
    sandbox: bool = False,
) -> Connection:
    """Store a login, sealed for the pipeline; one of the same name, owner and environment gets the new credentials.

    The tables must be there. Raises `ConfigurationError` for a name or owner that cannot be, a name that somebody else
    has, and where no key was made yet.
    """
    _refuse_names(connection_id, owner)
    now, table = datetime.now(UTC), schema.connections
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        sealed = seal(secrets, *_newest_key(writer))
        found = writer.rows(
            sa.select(table.c.owner, table.c.sandbox, table.c.label).where(table.c.connection_id == connection_id)
        )
        _refuse_other(connection_id, found, owner, sandbox=sandbox)
        label = label or (found[0]["label"] if found else connection_id)
        values = {
            "label": label,
            "sealed_credentials": sealed,
            "connected_at": now,
            "disconnected_at": None,
            "state": None,
            "state_reason": None,
            "state_changed_at": None,
        }
        if found:
            writer.execute(sa.update(table).where(table.c.connection_id == connection_id).values(values))
        else:
            row = {"connection_id": connection_id, "owner": owner, "sandbox": sandbox, **values}
            writer.insert(table, [row])
    return Connection(connection_id=connection_id, owner=owner, label=label, sandbox=sandbox, sealed=sealed)


def _refuse_names(connection_id: str, owner: str | None) -> None:
    if connection_id == DEFAULT:
        raise ConfigurationError(
            "The connection `default` is the environment's own.",
            "set TT_SECRET and TT_REFRESH for it, or choose another name.",
        )
    if not _NAME.fullmatch(connection_id):
        raise ConfigurationError(
            f"{connection_id[:64]!r} cannot be a connection's name.",
            "use up to 64 letters, digits, dots, dashes, underscores and @, beginning with a letter or a digit.",
        )
    if owner is not None and (owner == "nobody" or not owner.strip()):
        raise ConfigurationError(
            f"{owner!r} cannot own a connection.", "give the application's name of the user, such as its primary key."
        )


def _refuse_other(connection_id: str, found: Sequence[dict[str, object]], owner: str | None, *, sandbox: bool) -> None:
    other = next((row for row in found if (row["owner"], row["sandbox"]) != (owner, sandbox)), None)
    if other is None:
        return
    what = "of another owner" if other["owner"] != owner else "of the other environment (production or sandbox)"
    raise ConfigurationError(
        f"There is a connection {connection_id!r} already, {what}.",
        "choose another name; see `tasty-pipeline connections list`.",
    )


def _newest_key(reader: Reader) -> tuple[str, str]:
    keys = schema.sealing_keys
    rows = reader.rows(
        sa.select(keys.c.key_id, keys.c.public_key)
        .where(keys.c.retired_at.is_(None))
        .order_by(keys.c.created_at.desc(), keys.c.key_id)
        .limit(1)
    )
    if not rows:
        raise ConfigurationError("There is no key yet to seal credentials with.", "run `tasty-pipeline keygen` once.")
    return rows[0]["key_id"], rows[0]["public_key"]


def disconnect(warehouse: Warehouse, connection_id: str) -> list[str]:
    """End a connection: its credentials and token are erased; return the accounts that no connection lists any more.

    Raises `ConfigurationError` where there is no live connection of that name.
    """
    table, now = schema.connections, datetime.now(UTC)
    run = _run("disconnection")
    with publish.transaction(warehouse, run, CONNECTIONS_LOCK, schema.accounts.name) as writer:
        ended = writer.execute(
            sa.update(table)
            .where(table.c.connection_id == connection_id, table.c.disconnected_at.is_(None))
            .values(disconnected_at=now, sealed_credentials=None, state=None, state_reason=None, state_changed_at=None)
        )
        if not ended:
            raise ConfigurationError(
                f"There is no connection {connection_id!r}.", "see `tasty-pipeline connections list`."
            )
        return settle(writer, run, now)


def settle_disconnected(warehouse: Warehouse) -> list[str]:
    """Settle what applications disconnected since the last run; return the accounts that nobody lists any more.

    Opens no writing transaction where there is nothing to do. Raises `WarehouseError`.
    """
    if not warehouse.is_current():
        return []
    with warehouse.read() as reader:
        if _is_settled(reader):
            return []
    run, now = _run("disconnection"), datetime.now(UTC)
    with publish.transaction(warehouse, run, CONNECTIONS_LOCK, schema.accounts.name) as writer:
        return settle(writer, run, now)


def _run(run_id: str) -> publish.Run:
    return publish.Run(run_id=run_id, environment="", history_start=date.min)


def settle(writer: Writer, run: publish.Run, now: datetime) -> list[str]:
    """Finish what a disconnection leaves to the pipeline; return the accounts that no live connection lists any more.

    Whatever is still sealed of a disconnected connection is erased, its access token deleted, its accounts are marked
    as no longer listed, and those that no other connection lists are marked removed at `now`. Does nothing a second
    time. The caller's transaction holds the lock of `accounts`.
    """
    sealed, tokens, links = _leftovers()
    writer.execute(sa.update(schema.connections).where(*sealed).values(sealed_credentials=None))
    writer.execute(sa.delete(schema.access_tokens).where(*tokens))
    marks = {"removed_at": now, "synced_at": now, "run_id": run.run_id}
    writer.execute(sa.update(schema.connection_accounts).where(*links).values(**marks))
    gone = writer.table(_seen_by_nobody())
    publish.mark_removed(writer, schema.accounts, run, gone, (now, now))
    return [str(number) for number in gone["account_number"].to_pylist()]


def _ended() -> sa.Select[tuple[str]]:
    table = schema.connections
    return sa.select(table.c.connection_id).where(table.c.disconnected_at.is_not(None))


def _leftovers() -> tuple[list[sa.ColumnElement[bool]], ...]:
    """Return what a disconnection left behind, as conditions: on connections, access_tokens, connection_accounts."""
    table, tokens, links = schema.connections, schema.access_tokens, schema.connection_accounts
    return (
        [table.c.disconnected_at.is_not(None), table.c.sealed_credentials.is_not(None)],
        [tokens.c.connection_id.in_(_ended())],
        [links.c.connection_id.in_(_ended()), links.c.removed_at.is_(None)],
    )


def _is_settled(reader: Reader) -> bool:
    tables = (schema.connections, schema.access_tokens, schema.connection_accounts)
    left = [
        sa.select(sa.func.count()).select_from(table).where(*conditions)
        for table, conditions in zip(tables, _leftovers(), strict=True)
    ]
    return not any(map(reader.scalar, left)) and not reader.rows(_seen_by_nobody())


def _seen_by_nobody() -> sa.Select[tuple[str]]:
    """Select the accounts of disconnected connections that no connection lists now."""
    accounts, links = schema.accounts, schema.connection_accounts
    of_account = links.c.account_number == accounts.c.account_number
    return sa.select(accounts.c.account_number).where(
        accounts.c.removed_at.is_(None),
        sa.exists().where(of_account, links.c.connection_id.in_(_ended())),
        sa.not_(sa.exists().where(of_account, links.c.removed_at.is_(None))),
    )
