"""Asset checks: each one asks an audit of the core and says, when it fails, how to recover.

All of one asset are one step and one read, so that they speak of one state of the tables.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg
import sqlalchemy as sa

from tasty_pipeline.assets.partitions import day_of
from tasty_pipeline.assets.syncing import markdown_table
from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.audits import Days, Finding
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import Reader
from tasty_pipeline.jobs import RANGE_END_TAG, RANGE_START_TAG
from tasty_pipeline.resources import WarehouseResource

Audit = Callable[[Reader, Days], Finding]


def build_checks() -> list[dg.AssetChecksDefinition]:
    """Return every check of every asset, an asset's in one step each.

    A step of its own for each of the 29 took longer than what it asked: it opens the database, and has ten events.
    """
    return [_checks(table, _audits_of(table)) for table in schema.MIRRORED.values()]


def _audits_of(table: sa.Table) -> dict[str, Audit]:
    found: dict[str, Audit] = {
        "unique_keys": partial(_windowed, audits.unique_keys, table),
        "no_rejected_rows": partial(_whole, audits.no_rejected_rows, table),
        "contract": partial(_whole, audits.contract, table),
        "fresh": partial(_fresh, table),
    }
    if table is schema.accounts:
        found["authorised"] = lambda reader, _: audits.authorised(reader)
    else:
        found["known_accounts"] = partial(_windowed, audits.known_accounts, table)
    if table in (schema.transactions, schema.balance_snapshots):
        found["complete"] = partial(_complete, table)
    if table is schema.transactions:
        found |= {"one_partition": audits.one_partition, "net_value": audits.net_value}
    return found


def _windowed(audit: Callable[..., Finding], table: sa.Table, reader: Reader, window: Days) -> Finding:
    return audit(reader, table, window)


def _complete(table: sa.Table, reader: Reader, window: Days) -> Finding:
    return audits.complete(reader, table, window, since=read_settings().history_start)


def _whole(audit: Callable[..., Finding], table: sa.Table, reader: Reader, _: Days) -> Finding:
    return audit(reader, table)


def _fresh(table: sa.Table, reader: Reader, _: Days) -> Finding:
    intraday = table in (schema.positions, schema.balances)
    return audits.fresh(reader, [table.name], datetime.now(UTC), intraday=intraday)


def _checks(table: sa.Table, asked: Mapping[str, Audit]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"{table.name}_checks",
        specs=[dg.AssetCheckSpec(name, asset=table.name, description=_AUDITS[name]) for name in asked],
        can_subset=True,
    )
    def checks(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
        chosen, window = {key.name for key in context.selected_asset_check_keys}, _window(context)
        try:
            store = warehouse.open()
            store.migrate()
            with store.read() as reader:
                findings = {name: asked[name](reader, window) for name in asked if name in chosen}
        except TastyError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        for name, finding in findings.items():
            yield _result(table, name, finding)

    return checks


_AUDITS = {
    name: (getattr(audits, name).__doc__ or "").split("\n")[0]
    for name in (
        "unique_keys",
        "no_rejected_rows",
        "contract",
        "fresh",
        "known_accounts",
        "complete",
        "one_partition",
        "net_value",
        "authorised",
    )
}


def _window(context: dg.AssetCheckExecutionContext) -> Days:
    """Return the days of the run's partitions, or None: run alone, a check looks at the whole table."""
    tags = context.run.tags
    one = tags.get("dagster/partition")
    start = tags.get(RANGE_START_TAG, one)
    end = tags.get(RANGE_END_TAG, one)
    return (day_of(start), day_of(end)) if start and end else None


def _result(table: sa.Table, name: str, finding: Finding) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {**finding.facts, "breaks": finding.breaks}
    accounts = sorted({str(row["account_number"]) for row in finding.sample if row.get("account_number")})
    if not finding.passed:
        metadata["how to recover"] = finding.recovery
        metadata["accounts"] = ", ".join(accounts)
        metadata["sample"] = dg.MarkdownMetadataValue(markdown_table(finding.sample, _text))
    return dg.AssetCheckResult(
        asset_key=table.name,
        check_name=name,
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.WARN if finding.warning else dg.AssetCheckSeverity.ERROR,
        description=finding.summary if finding.passed else f"{finding.summary} To recover: {finding.recovery}",
        metadata=metadata,
    )


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
