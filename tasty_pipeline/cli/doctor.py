"""`tasty-pipeline doctor`: what is set (never its value), what is reachable, what is wrong and what to do."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from rich.console import Console

from tasty_pipeline import migrations
from tasty_pipeline.cli.report import Report
from tasty_pipeline.cli.trying import try_login
from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.connections import Connection
from tasty_pipeline.core.errors import ConfigurationError, SchemaVersionError, TastyError, WarehouseError
from tasty_pipeline.core.settings import VARIABLES, Settings, read_settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

_PATIENCE_SECONDS = 15.0
ROLES = ("tasty_pipeline", "tasty_reader", "tasty_app")


def doctor() -> int:
    """Check everything and return how it went: 0 = all is well."""
    report = Report(Console())
    settings = _configuration(report)
    if settings:
        warehouse, stored = _found(settings)
        _credentials(report, settings, stored)
        _api(report, settings, warehouse)
        _warehouse(report, settings)
    report.console.print()
    if report.failures:
        report.console.print(f"[bold red]{report.failures} of the checks failed.[/]")
        return 1
    report.console.print("[bold green]All is well.[/]")
    return 0


def _configuration(report: Report) -> Settings | None:
    report.heading("Configuration")
    for name, meaning in VARIABLES.items():
        report.note(f"{name} is {'set' if os.environ.get(name, '').strip() else 'not set'}: {meaning}")
    try:
        return read_settings()
    except TastyError as error:
        report.bad(error)
        return None


def _found(settings: Settings) -> tuple[Warehouse | None, list[Connection]]:
    """Return the warehouse where its tables can be used, and what is stored; what is wrong is told in its own part."""
    try:
        warehouse = open_warehouse(settings.warehouse_url, wait_seconds=_PATIENCE_SECONDS)
        if not warehouse.is_current():
            return None, []
        return warehouse, _stored(warehouse, settings)
    except TastyError:
        return None, []


def _stored(warehouse: Warehouse, settings: Settings) -> list[Connection]:
    return [each for each in connections.live_connections(warehouse, settings) if not each.is_default]


def _credentials(report: Report, settings: Settings, stored: Sequence[Connection]) -> None:
    if stored and not settings.refresh_token:
        report.good(f"TT_REFRESH is not set: only stored connections are synchronised, {len(stored)} of them")
        return
    try:
        settings.credentials()
    except TastyError as error:
        report.bad(error)
    else:
        report.good("the credentials are there")


def _api(report: Report, settings: Settings, warehouse: Warehouse | None) -> None:
    report.heading("Login and API")
    if not settings.has_credentials:
        report.note("not tried without credentials; `make demo` and `make dev` use the simulator")
        return
    limits = {"timeout_seconds": _PATIENCE_SECONDS, "retry_budget_seconds": _PATIENCE_SECONDS}
    try:
        own = Connection(connection_id=connections.DEFAULT, sandbox=settings.sandbox)
        if warehouse:
            own = connections.find_connection(warehouse, settings, connections.DEFAULT)
        report.good(str(try_login(connections.login_of(own, settings, **limits), warehouse)))
    except TastyError as error:
        report.bad(error)


def _warehouse(report: Report, settings: Settings) -> None:
    report.heading("Warehouse")
    try:
        warehouse = open_warehouse(settings.warehouse_url, wait_seconds=_PATIENCE_SECONDS)
        version = warehouse.version()
        if version is None:
            report.good(f"{warehouse.label}: no tables yet; the first sync makes them")
            return
        _refuse_unknown(version, warehouse.label)
        report.good(f"{warehouse.label} can be read; its schema version is {version}")
        if version == migrations.head():
            _state(report, warehouse)
            _roles(report, warehouse)
            _connections(report, settings, warehouse)
        else:
            report.note(f"the next sync brings the schema to {migrations.head()}")
    except TastyError as error:
        report.bad(error)


def _roles(report: Report, warehouse: Warehouse) -> None:
    if warehouse.kind != "postgres":
        return
    name = sa.column("rolname", sa.Text())
    with warehouse.read() as reader:
        found = reader.rows(
            sa.select(name).select_from(sa.table("pg_roles", schema="pg_catalog")).where(name.in_(ROLES))
        )
    missing = sorted(set(ROLES) - {row["rolname"] for row in found})
    if missing:
        report.note(
            f"the roles {', '.join(missing)} are missing, which applications connect with or are members of; an "
            "administrator of the server makes them with: SELECT tasty.make_roles()"
        )
    else:
        report.good(f"the roles {', '.join(ROLES)} are there")


def _connections(report: Report, settings: Settings, warehouse: Warehouse) -> None:
    report.heading("Stored connections")
    with warehouse.read() as reader:
        key = connections.key_state(reader, settings.sealing_keys)
    _key(report, settings, key)
    for each in _stored(warehouse, settings):
        try:
            refused = connections.refused_before(connections.login_of(each, settings))
        except TastyError as error:
            report.bad(error)
            continue
        if refused:
            report.bad(refused)
        else:
            report.good(f"{each.connection_id} of owner {each.owner or '(operator)'} is {each.state or 'new'}")


def _key(report: Report, settings: Settings, key: connections.KeyState) -> None:
    if key.current is None:
        report.note("there is no key to seal credentials with yet; `tasty-pipeline keygen` makes it")
    elif key.current in key.held:
        report.good(f"credentials are sealed for the key {key.current}, and {settings.sealing_keys} holds it")
    else:
        raise ConfigurationError(
            f"Credentials are sealed for the key {key.current}, which {settings.sealing_keys} does not hold.",
            "restore the key file, or set TASTY_SEALING_KEYS to where it is; if it is lost, run `tasty-pipeline keygen "
            "--rotate` and have everybody connect again.",
        )


def _refuse_unknown(version: str, label: str) -> None:
    if version not in {script.revision for script in migrations.scripts().walk_revisions()}:
        raise SchemaVersionError(
            f"{label} has the schema version {version}, which this package does not know.",
            "update tasty-pipeline; an older package never touches newer tables.",
        )


def _state(report: Report, warehouse: Warehouse) -> None:
    rejected = schema.rejected_rows
    with warehouse.read() as reader:
        newest = reader.rows(_newest_entries())
        bad = reader.scalar(sa.select(sa.func.count()).where(rejected.c.resolved_at.is_(None)))
    for name in sorted({row["table_name"] for row in newest}):
        mine = [row for row in newest if row["table_name"] == name]
        published = [row["read_started_at"] for row in mine if row["result"] == "published"]
        if published:  # of several accounts the oldest: since then all of them are there
            ago = datetime.now(UTC).replace(microsecond=0) - min(published).replace(microsecond=0)
            report.good(f"{name} was synchronised {min(published):%Y-%m-%d %H:%M} UTC, {ago} ago")
        for row in mine:
            if row["result"] == "failed":
                report.bad(_failure(row))
    if not newest:
        report.note("nothing was synchronised yet")
    if bad:
        report.bad(
            WarehouseError(
                f"{bad} rows of the API stand in tasty.rejected_rows.", "read their reason there; the check says more."
            )
        )


def _newest_entries() -> sa.Select[Any]:
    log = schema.sync_log
    last = sa.select(log.c.table_name, log.c.account_number, sa.func.max(log.c.read_started_at).label("at"))
    last_of = last.group_by(log.c.table_name, log.c.account_number).subquery()
    return sa.select(log).join(
        last_of,
        sa.and_(
            log.c.table_name == last_of.c.table_name,
            log.c.account_number == last_of.c.account_number,
            log.c.read_started_at == last_of.c.at,
        ),
    )


def _failure(row: Mapping[str, Any]) -> TastyError:
    what, _, remedy = str(row["error"]).partition(" What to do: ")
    whose = row["account_number"] or "the login"
    return TastyError(
        f"{row['table_name']} of {whose} failed {row['read_started_at']:%Y-%m-%d %H:%M} UTC, and has not succeeded "
        f"since: {what}",
        remedy,
    )
