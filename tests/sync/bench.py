"""A workbench: one simulated brokerage, one warehouse, and every sync at hand with a clock that stands still.

What the brokerage holds is read anew in ledger.py; nothing here knows what is right.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from tasty_pipeline.core import audits, schema, sync
from tasty_pipeline.core.broker import Broker, BrokerConfig, Credentials, connect
from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.sync import Run, Sync, SyncResult
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import Simulator

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 20, 21, 0, tzinfo=NEW_YORK)  # a Friday
START, TODAY = date(2026, 10, 12), date(2026, 11, 20)
BUSY, QUIET = "5WT00701", "5WT00702"

T = TypeVar("T")
PATIENCE = 20  # seconds
Row = dict[str, Any]
Action = Callable[[], object]


def day(back: int) -> date:
    """So many days before today."""
    return TODAY - timedelta(days=back)


@dataclass
class Bench:
    """`hooks` name a method of the broker, the number of its call, and what happens just before it."""

    sim: Simulator
    warehouse: Warehouse
    settings: dict[str, Any] = field(default_factory=dict)
    hooks: list[tuple[str, int, Action]] = field(default_factory=list)
    runs: int = 0

    def do(self, work: Callable[[Sync], Awaitable[T]], **changes: Any) -> T:
        """Log in, do the work in a run of its own, log out."""
        self.runs += 1
        settings: dict[str, Any] = {"environment": "simulator", "history_start": START, **self.settings, **changes}
        run = Run(run_id=f"run-{self.runs}", now=self.sim.brokerage.clock.now, **settings)

        async def connected() -> T:
            config = BrokerConfig(
                url=self.sim.url, requests_per_second=2000.0, retry_budget_seconds=0.2, first_backoff_seconds=0.01
            )
            async with connect(Credentials(self.sim.client_secret, self.sim.refresh_token), config) as broker:
                hooks, self.hooks = self.hooks, []
                for name in {hook[0] for hook in hooks}:
                    _hook(broker, name, {number: action for each, number, action in hooks if each == name})
                return await work(Sync(broker=broker, warehouse=self.warehouse, run=run))

        return asyncio.run(connected())

    def before(self, method: str, call: int, action: Action) -> None:
        """In the next run, do this just before the n-th call (from 1) of a method of the broker."""
        self.hooks.append((method, call, action))

    def after(self, method: str, call: int, action: Action) -> None:
        """In the next run, do this just after the n-th call (from 1) of a method of the broker."""
        self.hooks.append((method, -call, action))

    def beside(self) -> "Bench":
        """Another client of the same brokerage and warehouse."""
        return replace(self, hooks=[], runs=self.runs + 100)

    def accounts(self, **changes: Any) -> SyncResult:
        return self.do(sync.sync_accounts, **changes)

    def transactions(self, start: date = START, end: date = TODAY, account: str = QUIET, **changes: Any) -> SyncResult:
        return self.do(lambda s: sync.sync_transactions(s, account, start, end), **changes)

    def snapshots(self, start: date = START, end: date = TODAY, account: str = QUIET, **changes: Any) -> SyncResult:
        return self.do(lambda s: sync.sync_snapshots(s, account, start, end), **changes)

    def portfolio(self, account: str = QUIET, **changes: Any) -> tuple[SyncResult, SyncResult]:
        return self.do(lambda s: sync.sync_portfolio(s, account), **changes)

    def verify(self, account: str = QUIET, **changes: Any) -> SyncResult | None:
        return self.do(lambda s: sync.verify_totals(s, account), **changes)

    def everything(self, accounts: Iterable[str] = (BUSY, QUIET), **changes: Any) -> list[SyncResult]:
        """All tables of the given accounts in one run."""

        async def work(s: Sync) -> list[SyncResult]:
            results = [await sync.sync_accounts(s)]
            for account in accounts:
                results += await sync.sync_portfolio(s, account)
                results.append(await sync.sync_transactions(s, account, START, TODAY))
                results.append(await sync.sync_snapshots(s, account, START, TODAY))
            return results

        return self.do(work, **changes)

    def rows(self, table: sa.Table, *conditions: Any) -> list[Row]:
        """Rows of a table by key."""
        with self.warehouse.read() as reader:
            return reader.rows(sa.select(table).where(*conditions).order_by(*table.primary_key.columns))

    def row(self, identifier: int) -> Row | None:
        """One transaction."""
        return next(iter(self.rows(schema.transactions, schema.transactions.c.transaction_id == identifier)), None)

    def live(self, account: str = QUIET) -> set[int]:
        """Ids of the transactions that are not marked removed."""
        table = schema.transactions
        found = self.rows(table, table.c.account_number == account, table.c.removed_at.is_(None))
        return {row["transaction_id"] for row in found}

    def listed(self, account: str = QUIET) -> set[int]:
        """Ids of what the broker lists."""
        return set(self.sim.brokerage.archive(account).by_id)

    def dated(self, first: date, last: date, account: str = QUIET) -> list[int]:
        """Ids of what the broker lists of some trade dates, oldest first."""
        rows = self.sim.brokerage.archive(account).rows
        return [row.id for row in rows if first <= row.transaction_date <= last]

    def hide(self, *identifiers: int, account: str = QUIET) -> Action:
        """Let transactions vanish; the result brings them back."""
        archive = self.sim.brokerage.archive(account)
        with self.sim.brokerage.lock:
            hidden = [archive.by_id[identifier] for identifier in identifiers]
            for row in hidden:
                archive.discard(row)
        return lambda: archive.add(hidden)

    def log(self, result: str | None = None) -> list[Row]:
        """Entries of the sync log, oldest first."""
        conditions = [schema.sync_log.c.result == result] if result else []
        return sorted(self.rows(schema.sync_log, *conditions), key=lambda row: row["read_started_at"])

    def change(self, statement: sa.Update | sa.Delete | sa.Insert) -> int:
        """Do something to the tables that no sync does."""
        with self.warehouse.write() as writer:
            return writer.execute(statement)

    def audit(self, name: str, table: sa.Table, *rest: Any) -> audits.Finding:
        """Ask an audit of a table."""
        with self.warehouse.read() as reader:
            finding: audits.Finding = getattr(audits, name)(reader, table, *rest)
        return finding

    def complete(self, table: sa.Table = schema.transactions) -> bool:
        """Whether every day is stored as it was proven."""
        return self.audit("complete", table).passed

    def state(self) -> dict[str, str]:
        """Every table, the log too, as text."""
        return {table.name: canonical_json(self.rows(table)) for table in schema.METADATA.sorted_tables}

    def data(self) -> dict[str, str]:
        """Every table but the log, as text, provenance included."""
        return {name: text for name, text in self.state().items() if name != "sync_log"}

    def asked(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in path for _, path, _ in self.sim.requests)


def elsewhere(action: Action) -> Action:
    """Do it in another thread, to its end: what the hooks of a running loop need to run a sync of their own."""

    def done() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(action).result(PATIENCE)

    return done


def _hook(broker: Broker, name: str, actions: dict[int, Action]) -> None:
    real, calls = getattr(broker, name), 0

    async def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in actions:
            actions[calls]()
        this = calls
        answer = await real(*arguments, **named)
        if -this in actions:
            actions[-this]()
        return answer

    setattr(broker, name, called)
