"""What every asset does around its sync: choose accounts, keep one account's failure from the others, report.

Reading, proving and publishing are in core.sync; descriptions of the assets are beside their functions.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from tasty_pipeline.assets.config import SyncConfig
from tasty_pipeline.assets.progress import Outcome, Progress
from tasty_pipeline.core import connections, publish, schema
from tasty_pipeline.core.broker import AccessToken
from tasty_pipeline.core.connections import Connection, Login
from tasty_pipeline.core.errors import (
    AuthenticationError,
    ConfigurationError,
    SyncFailedError,
    TastyError,
    WarehouseError,
    WarehouseLockedError,
)
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.sync import Run, Sync, SyncResult, listed_accounts
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.resources import BrokerResource
from tasty_pipeline.resources.broker import Session

OWNERS = ["team:tasty-pipeline"]
# the nightly run covers every day, holidays too; an hour's grace tells a late run from a missing one
FRESH_DAILY = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=26), warn_window=timedelta(hours=25))
PREVIEW_ROWS = 5
# Dagster's own mark of an output that is no materialization. Without an output the assets downstream would be skipped,
# and a dry run of everything would tell of the first asset only.
_OBSERVED = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
_PREVIEW: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "accounts": ("opened_at", ("account_number", "nickname", "account_type", "margin_or_cash", "is_closed")),
    "positions": ("updated_at", ("account_number", "symbol", "quantity", "average_open_price", "close_price")),
    "balances": ("updated_at", ("account_number", "currency", "cash_balance", "net_liquidating_value")),
    "balance_snapshots": (
        "snapshot_date",
        ("account_number", "snapshot_date", "time_of_day", "cash_balance", "net_liquidating_value"),
    ),
    "transactions": (
        "executed_at",
        ("transaction_id", "account_number", "transaction_date", "symbol", "action", "quantity", "price", "net_value"),
    ),
}


def begin(context: dg.AssetExecutionContext, session: Session, warehouse: Warehouse, config: SyncConfig) -> Sync:
    """Tie one login's broker, the warehouse and the run together for the core."""
    run = Run(
        run_id=context.run.run_id,
        environment=session.broker.environment,
        history_start=read_settings().history_start,
        connection=session.login.connection.connection_id,
        dry_run=config.dry_run,
        confirm_removal=config.confirm_mass_removal,
    )
    return Sync(broker=session.broker, warehouse=warehouse, run=run)


async def each_login(
    context: dg.AssetExecutionContext,
    logins: BrokerResource,
    warehouse: Warehouse,
    config: SyncConfig,
    work: Callable[[Sync, Outcome], Awaitable[None]],
) -> Outcome:
    """Do the work for every chosen login, in their order; one that fails does not stop the others.

    A refused login is written down and not tried again before it changes: later runs leave it out with a warning. What
    no login can do without, the database, is not tried again for each of them: that error is raised as it is, and so
    is the refusal where nothing but refused logins is left.
    """
    outcome = Outcome()
    refusals: list[AuthenticationError] = []
    chosen = chosen_connections(warehouse, config)
    for connection in chosen:
        name = connection.connection_id
        try:
            login = connections.login_of(connection, read_settings(), **logins.limits())
            refused = connections.refused_before(login)
            if refused and not logins.was_refused(connection):
                # its owner and the operator were told when it was refused, and the check tells them still
                context.log.warning("login %s: %s", name, refused)
                outcome.left_out.append(name)
                refusals.append(refused)
                continue
            await _work_with(context, logins, warehouse, config, login, work, outcome)
        except WarehouseError:
            raise
        except TastyError as error:
            _note(context, name, error, outcome)
    if chosen and len(refusals) == len(chosen):
        raise refusals[0]
    return outcome


async def _work_with(
    context: dg.AssetExecutionContext,
    logins: BrokerResource,
    warehouse: Warehouse,
    config: SyncConfig,
    login: Login,
    work: Callable[[Sync, Outcome], Awaitable[None]],
    outcome: Outcome,
) -> None:
    session = await logins.session(login)
    await _unless_refused(logins, login, warehouse, work(begin(context, session, warehouse, config), outcome))
    if not config.dry_run:
        connections.mark_active(warehouse, login)
        connections.keep_token(warehouse, login, session.broker.access_token)


async def _unless_refused(logins: BrokerResource, login: Login, warehouse: Warehouse, work: Awaitable[None]) -> None:
    """Do the work; where the broker refuses the login, write that down."""
    try:
        await work
    except AuthenticationError as error:
        logins.refuse(login, warehouse, error)
        raise


def chosen_connections(warehouse: Warehouse, config: SyncConfig) -> list[Connection]:
    """Return the logins of the run; raises `ConfigurationError` where there is none, or one of them is not known."""
    settings = read_settings()
    known = connections.live_connections(warehouse, settings)
    unknown = sorted(set(config.connections) - {each.connection_id for each in known})
    if unknown:
        raise ConfigurationError(
            f"There is no connection {', '.join(unknown)}, as the run config names it.",
            f"name some of {', '.join(each.connection_id for each in known) or 'those that you add'}, or none for all "
            "of them; `tasty-pipeline connections list` shows them.",
        )
    if not known:
        settings.credentials()  # says what to set
    return [each for each in known if not config.connections or each.connection_id in config.connections]


async def each_account(
    context: dg.AssetExecutionContext,
    logins: BrokerResource,
    warehouse: Warehouse,
    config: SyncConfig,
    work: Callable[[Sync, str], Awaitable[Iterable[SyncResult]]],
    progress: Progress,
) -> Outcome:
    """Do the work for every chosen account, once, through the first login that sees it and does not fail at it.

    Raises `ConfigurationError` for an account of the run config that no login sees, before anything is read of one.
    """
    listed: list[tuple[Sync, list[str], AccessToken | None]] = []

    async def list_them(sync: Sync, _: Outcome) -> None:
        listed.append((sync, await listed_accounts(sync), sync.broker.access_token))

    outcome = await each_login(context, logins, warehouse, config, list_them)
    _refuse_unknown(config, outcome, [account for _, accounts, _ in listed for account in accounts])
    done: set[str] = set()
    for sync, accounts, token in listed:
        wanted = [account for account in accounts if not config.accounts or account in config.accounts]
        login = logins.opened(sync.run.connection).login
        try:
            await _unless_refused(logins, login, warehouse, _each(context, sync, wanted, done, work, outcome, progress))
        except WarehouseError:
            raise
        except TastyError as error:
            _note(context, sync.run.connection, error, outcome)
        else:
            # bought meanwhile, where the run took longer than a token lives
            if token != sync.broker.access_token and not config.dry_run:
                connections.keep_token(warehouse, login, sync.broker.access_token)
    named = {name for name, _ in outcome.failures}
    outcome.failures += [each for each in logins.put_off_failures() if each[0] not in named]
    return outcome


async def _each(
    context: dg.AssetExecutionContext,
    sync: Sync,
    accounts: Sequence[str],
    done: set[str],
    work: Callable[[Sync, str], Awaitable[Iterable[SyncResult]]],
    outcome: Outcome,
    progress: Progress,
) -> None:
    for account in accounts:
        if account not in done:
            if await _attempt(context, sync, account, work, outcome):
                done.add(account)
            progress.report(outcome)


def _note(context: dg.AssetExecutionContext, name: str, error: TastyError, outcome: Outcome) -> None:
    context.log.error("login %s: %s", name, error)
    outcome.failures.append((f"login {name}", error))


def _refuse_unknown(config: SyncConfig, found: Outcome, seen: Sequence[str]) -> None:
    unknown = [number for number in config.accounts if number not in seen]
    # one of a login that failed is not unknown
    if unknown and not found.failures:
        raise ConfigurationError(
            f"The login does not see the account {', '.join(unknown)} of the run config.",
            f"name some of {', '.join(dict.fromkeys(seen))}, or none for all of them.",
        )


async def _attempt(
    context: dg.AssetExecutionContext,
    sync: Sync,
    account: str,
    work: Callable[[Sync, str], Awaitable[Iterable[SyncResult]]],
    outcome: Outcome,
) -> bool:
    try:
        done = list(await work(sync, account))
    except TastyError as error:
        if _concerns_all(error, sync.warehouse):
            raise
        context.log.error("%s", error)  # noqa: TRY400 - the sentence says it all; the trace would bury it
        outcome.failures.append((account, error))
        return False
    outcome.results += done
    for result in done:
        context.log.info("%s", told(result))
    return True


def _concerns_all(error: TastyError, warehouse: Warehouse) -> bool:
    if isinstance(error, WarehouseLockedError):
        return warehouse.kind == "duckdb"  # one file for all; a lock in Postgres is held on one account
    return isinstance(error, WarehouseError | AuthenticationError)


def told(result: SyncResult) -> str:
    """Say in one line what a sync did."""
    span = f" {result.start}..{result.end}" if result.start else ""
    return (
        f"{result.table}{f' of {result.account}' if result.account else ''}{span}: {result.read} rows proven, "
        f"{result.inserted} new, {result.updated} changed, {result.removed} removed, {result.rejected} rejected"
    )


def materialized(
    context: dg.AssetExecutionContext, warehouse: Warehouse, outcome: Outcome, table: sa.Table, *, dry_run: bool
) -> Iterator[dg.MaterializeResult[Any]]:
    """Yield the materialization with its metadata; after a dry run only an observation is logged."""
    results = outcome.of(table.name)
    metadata = summary(results, outcome.left_out)
    if dry_run:
        context.log_event(
            dg.AssetObservation(table.name, description="Dry run: nothing was written.", metadata=metadata)
        )
        yield dg.MaterializeResult(asset_key=table.name, metadata=_OBSERVED)
        return
    try:
        with warehouse.read() as reader:
            metadata |= {
                "dagster/row_count": publish.count_live(reader, table),
                "table": f"{schema.SCHEMA}.{table.name}",
                "warehouse": warehouse.label,
                "preview": dg.MarkdownMetadataValue(_preview(reader.rows(_newest(table)))),
            }
    except TastyError as error:
        raise failure(error) from None
    if table.name in schema.DAY:
        # of a run of many days: Dagster would repeat it for every day
        context.add_asset_metadata(metadata, asset_key=table.name, partition_key=context.partition_keys[-1])
        metadata = {}
    yield dg.MaterializeResult(asset_key=table.name, metadata=metadata)


def fail_if_any(outcome: Outcome, subject: str) -> None:
    """Fail the step after everything that succeeded is committed; raises `dagster.Failure` naming each account."""
    names = [name for name, _ in outcome.failures]
    if len(names) == 1 and names[0].startswith("login ") and not outcome.results:
        raise failure(outcome.failures[0][1])  # with one login its own error says it all
    if names:
        raise failure(SyncFailedError(subject, outcome.failures), accounts=names)


def failure(error: TastyError, accounts: Sequence[str] = ()) -> dg.Failure:
    """Turn an error of ours into the failure that the run's page shows: what happened and what to do."""
    errors = [each for _, each in error.failures] if isinstance(error, SyncFailedError) else [error]
    return dg.Failure(
        description=str(error),
        metadata={
            "kind": ", ".join(sorted({type(each).__name__ for each in errors})),
            "what happened": error.what,
            "what to do": error.remedy,
            "accounts": ", ".join(accounts) or "all of the login",
        },
        allow_retries=False,
    )


def summary(results: Sequence[SyncResult], left_out: Sequence[str] = ()) -> dict[str, Any]:
    """Add up what the accounts' syncs did, as metadata."""
    names = ("read", "inserted", "updated", "unchanged", "removed", "rejected")
    facts: dict[str, Any] = {f"rows {name}": sum(getattr(each, name) for each in results) for name in names}
    facts |= {name: sum(getattr(each.meter, name) for each in results) for name in ("requests", "retries", "throttled")}
    facts["accounts"] = dg.MarkdownMetadataValue("\n".join(f"- {told(each)}" for each in results) or "none")
    if left_out:
        facts["logins that need reauthorisation"] = ", ".join(left_out)
    return facts


def spec_of(table: sa.Table, group: str, description: str, deps: Sequence[str] = ()) -> dg.AssetSpec:
    """Describe a table as an asset: what is known of it before it runs."""
    return dg.AssetSpec(
        table.name,
        deps=deps,
        description=description,
        group_name=group,
        kinds={"tastytrade", "python", "sql"},
        owners=OWNERS,
        freshness_policy=FRESH_DAILY,
        metadata={
            "dagster/table_name": f"{schema.SCHEMA}.{table.name}",
            "dagster/column_schema": dg.TableSchema(columns=[_column(column) for column in table.columns]),
        },
    )


def _column(column: sa.Column[Any]) -> dg.TableColumn:
    constraints = dg.TableColumnConstraints(nullable=bool(column.nullable), unique=False)
    return dg.TableColumn(column.name, schema.type_of(column), column.comment, constraints)


def _newest(table: sa.Table) -> sa.Select[Any]:
    order, columns = _PREVIEW[table.name]
    chosen = sa.select(*(table.c[name] for name in columns)).order_by(table.c[order].desc().nulls_last())
    return chosen.order_by(*table.primary_key.columns).limit(PREVIEW_ROWS)


def markdown_table(rows: Sequence[Mapping[str, Any]], text: Callable[[Any], str]) -> str:
    """Lay rows out as a Markdown table, each value as `text` says; the first row names the columns."""
    head = list(rows[0])
    cells = ([text(row.get(name)).replace("|", "\\|").replace("\n", " ") for name in head] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells])


def _preview(rows: Sequence[Mapping[str, Any]]) -> str:
    return markdown_table(rows, _cell) if rows else "no rows"


def _cell(value: object) -> str:
    return "" if value is None else f"{value.normalize():f}" if hasattr(value, "normalize") else str(value)
