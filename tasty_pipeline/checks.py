"""Asset checks: each one asks an audit of the core and says, when it fails, how to recover."""

from collections.abc import Callable
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
from tasty_pipeline.core.warehouse import Reader
from tasty_pipeline.jobs import RANGE_END_TAG, RANGE_START_TAG
from tasty_pipeline.resources import WarehouseResource

Audit = Callable[[Reader, Days], Finding]


def build_checks() -> list[dg.AssetChecksDefinition]:
    """Return every check of every asset."""
    checks = []
    for table in schema.MIRRORED.values():
        checks += [
            _check(table, "unique_keys", partial(_windowed, audits.unique_keys, table)),
            _check(table, "no_rejected_rows", partial(_whole, audits.no_rejected_rows, table)),
            _check(table, "contract", partial(_whole, audits.contract, table)),
            _check(table, "fresh", partial(_fresh, table)),
        ]
        if table is not schema.accounts:
            checks.append(_check(table, "known_accounts", partial(_windowed, audits.known_accounts, table)))
    for table in (schema.transactions, schema.balance_snapshots):
        checks.append(_check(table, "complete", partial(_windowed, audits.complete, table)))
    checks.append(_check(schema.accounts, "authorised", lambda reader, _: audits.authorised(reader)))
    checks.append(_check(schema.transactions, "one_partition", audits.one_partition))
    checks.append(_check(schema.transactions, "net_value", audits.net_value))
    return checks


def _windowed(audit: Callable[..., Finding], table: sa.Table, reader: Reader, window: Days) -> Finding:
    return audit(reader, table, window)


def _whole(audit: Callable[..., Finding], table: sa.Table, reader: Reader, _: Days) -> Finding:
    return audit(reader, table)


def _fresh(table: sa.Table, reader: Reader, _: Days) -> Finding:
    intraday = table in (schema.positions, schema.balances)
    return audits.fresh(reader, [table.name], datetime.now(UTC), intraday=intraday)


def _check(table: sa.Table, name: str, audit: Audit) -> dg.AssetChecksDefinition:
    @dg.asset_check(name=name, asset=table.name, description=_AUDITS[name])
    def check(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> dg.AssetCheckResult:
        try:
            store = warehouse.open()
            store.migrate()
            with store.read() as reader:
                finding = audit(reader, _window(context))
        except TastyError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        return _result(finding)

    return check


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


def _result(finding: Finding) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {**finding.facts, "breaks": finding.breaks}
    accounts = sorted({str(row["account_number"]) for row in finding.sample if row.get("account_number")})
    if not finding.passed:
        metadata["how to recover"] = finding.recovery
        metadata["accounts"] = ", ".join(accounts)
        metadata["sample"] = dg.MarkdownMetadataValue(markdown_table(finding.sample, _text))
    return dg.AssetCheckResult(
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.WARN if finding.warning else dg.AssetCheckSeverity.ERROR,
        description=finding.summary if finding.passed else f"{finding.summary} To recover: {finding.recovery}",
        metadata=metadata,
    )


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
