"""`tasty-pipeline doctor`: what is set (never its value), what is reachable, what is wrong and what to do."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape

from tasty_pipeline import migrations
from tasty_pipeline.core import schema
from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import SchemaVersionError, TastyError, WarehouseError
from tasty_pipeline.core.settings import VARIABLES, Settings, read_settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

_PATIENCE_SECONDS = 15.0


@dataclass
class Report:
    """Lines for people, and how many of them are failures."""

    console: Console
    failures: int = field(default=0)

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print(f"\n[bold]{text}[/]")

    def good(self, text: str) -> None:
        """Report what is as it should be."""
        self.console.print(f"  [green]ok[/]    {escape(text)}", soft_wrap=True)

    def note(self, text: str) -> None:
        """Report a fact."""
        self.console.print(f"  [dim]note[/]  {escape(text)}", soft_wrap=True)

    def bad(self, error: TastyError) -> None:
        """Report what is wrong and what to do."""
        self.failures += 1
        self.console.print(f"  [bold red]FAIL[/]  {escape(error.what)}", soft_wrap=True)
        self.console.print(f"        To do: {escape(error.remedy)}", soft_wrap=True)


def doctor() -> int:
    """Check everything and return how it went: 0 = all is well."""
    report = Report(Console())
    settings = _configuration(report)
    if settings:
        _api(report, settings)
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
        settings = read_settings()
    except TastyError as error:
        report.bad(error)
        return None
    try:
        settings.credentials()
    except TastyError as error:
        report.bad(error)
    else:
        report.good("the credentials are there")
    return settings


def _api(report: Report, settings: Settings) -> None:
    report.heading("Login and API")
    if not settings.has_credentials:
        report.note("not tried without credentials; `make demo` and `make dev` use the simulator")
        return
    try:
        environment, accounts = asyncio.run(_accounts(settings))
    except TastyError as error:
        report.bad(error)
        return
    report.good(f"logged in to {environment}; it lists {accounts} {'account' if accounts == 1 else 'accounts'}")


async def _accounts(settings: Settings) -> tuple[str, int]:
    config = BrokerConfig(
        url=settings.api_url,
        sandbox=settings.sandbox,
        timeout_seconds=_PATIENCE_SECONDS,
        retry_budget_seconds=_PATIENCE_SECONDS,
    )
    async with connect(Credentials(*settings.credentials()), config) as broker:
        await broker.log_in()
        return broker.environment, len(await broker.accounts())


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
        else:
            report.note(f"the next sync brings the schema to {migrations.head()}")
    except TastyError as error:
        report.bad(error)


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
