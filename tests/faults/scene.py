"""A run that meets trouble at one of its moments, and all that must be right then, after it and after the next run.

Here belongs the brokerage with its one change, the old and the new state of every table, and how a run, its error and
what a reader sees are judged. Which troubles there are belongs to `servers.py`, `disks.py` and `damage.py`.
"""

import asyncio
import functools
import re
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from types import FrameType
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import psycopg
import sqlalchemy as sa
from duckdb import connect as open_duckdb
from sync.ledger import stored

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.broker import transport
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, duckdb, open_warehouse, postgres
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from . import runs
from .oracle import differences
from .runs import Outcome, Task, Work

START, TODAY = date(2026, 11, 9), date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 21, 0, tzinfo=ZoneInfo("America/New_York"))
WAIT_SECONDS = 0.6
# what a run may take, far more than it needs: a hang is a broken promise
LONGEST_SECONDS = 30.0
# published in one transaction
_TOGETHER = {"positions": "portfolio", "balances": "portfolio"}
Parts = dict[tuple[str, str], list[dict[str, Any]]]
Begin = Callable[[], object]


class HungError(Exception):
    """A run did not end."""


class WrongError(Exception):
    """What was promised and is not so."""


@dataclass(frozen=True)
class Expected:
    """How a run that meets a trouble may end: whether well (None: either way), and what its error says then."""

    well: bool | None
    says: str = ""


@dataclass
class Scene:
    """A brokerage whose books stand still, and how its tables were before the last change of them and are after it."""

    sim: Simulator
    old: Parts = field(default_factory=dict)
    new: Parts = field(default_factory=dict)
    runs: int = 0
    thorough: bool = True

    def task(self, url: str) -> Task:
        """Everything of every account, as a run of its own."""
        self.runs += 1
        accounts = tuple(each["account-number"] for each in self.sim.brokerage.accounts())
        return Task(
            *(self.sim.url, self.sim.client_secret, self.sim.refresh_token, url),
            Work("everything", accounts, START, TODAY),
            run_id=f"run-{self.runs}",
            now=NOW,
            history_start=START,
        )

    def learn(self, url: str) -> None:
        """Fill a new warehouse and note what it holds: the old state."""
        self.run(url)
        self.old = parts(open_warehouse(url))

    def change(self) -> None:
        """Let the books change in every way that a publication writes."""
        books = self.sim.brokerage
        account = books.accounts()[0]["account-number"]
        rows = books.archive(account).rows
        books.restate(rows[-2].id, description="restated")
        books.remove(rows[-3].id)
        books.trade(account, n=2)
        books.deposit(account, 1_000)

    def run(self, url: str, moment: int | None = None, begin: Begin | None = None) -> tuple[Outcome, int]:
        """Run here; do something at a moment (0: before). Returns the outcome and how many moments there were."""
        if begin and not moment:
            begin()
        impatient = functools.partial(open_warehouse, wait_seconds=WAIT_SECONDS)
        with (
            patch.object(runs, "open_warehouse", impatient),
            _watched({moment: begin} if moment and begin else {}) as passed,
            _bounded(),
        ):
            return runs.here(self.task(url)), passed()

    def judge(self, outcome: Outcome, expected: Expected) -> None:
        """Raise where a run ended in another way than it may, or did not say what happened and what to do."""
        if outcome.good:
            if expected.well is False:
                raise WrongError("the run succeeded")
            return
        if expected.well:
            raise WrongError(f"the run failed: {outcome.kind} {outcome.said}")
        if not re.search(expected.says, outcome.said) or "What to do: " not in outcome.said:
            raise WrongError(f"the error is not clear: {outcome.kind} {outcome.said}")

    def look(self, url: str, *, whole: bool = False) -> str:
        """Raise where a reader sees anything but the old or the new state of a table; return which he sees."""
        warehouse = open_warehouse(url, wait_seconds=WAIT_SECONDS)
        try:
            found = parts(warehouse) if warehouse.version() else {}
        except TastyError:
            return "nothing"
        if not found and not whole:
            return "no tables"
        if whole and found != self.new:
            raise WrongError("a run that succeeded left other tables than the books")
        self.judge_parts(found)
        return "new" if found == self.new else "old" if found == self.old else "some of both"

    def judge_parts(self, found: Parts) -> None:
        """Raise where what was published in one transaction is neither as before nor as after."""
        for part in found.keys() | self.old.keys() | self.new.keys():
            if found.get(part, []) not in (self.old.get(part, []), self.new.get(part, [])):
                raise WrongError(f"{' of '.join(part)} is neither as before nor as after")

    def finish(self, url: str) -> None:
        """Raise unless a run without trouble makes the tables what the books are, and a third one writes nothing."""
        outcome, _ = self.run(url)  # which opens the file itself; what follows finds it open, and is quicker
        if not outcome.good:
            raise WrongError(f"the next run failed: {outcome.said}")
        warehouse = open_warehouse(url)
        with _kept_open(url):
            differ = differences(self.sim, warehouse, START, TODAY)
            with warehouse.read() as reader:
                days = (schema.transactions, schema.balance_snapshots)
                complete = all(audits.complete(reader, table).passed for table in days)
            if differ or not complete:
                raise WrongError(f"after the next run: {differ}{'' if complete else ', not as proven'}")
            if not self.thorough:
                return
            before = rows_of(warehouse)
            outcome, _ = self.run(url)
            if not outcome.good or rows_of(warehouse) != before:
                raise WrongError(f"a third run wrote: {outcome.said}")


@contextmanager
def staged(*, thorough: bool) -> Iterator[Scene]:
    """Open a brokerage of one account and two weeks."""
    config = SimulatorConfig(now=NOW, start=START, accounts=1, trades_per_day=1.5)
    with serve(config) as sim:
        yield Scene(sim, thorough=thorough)


def rows_of(warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """Every row of the mirrored tables, provenance too."""
    with warehouse.read() as reader:
        return {
            name: reader.rows(sa.select(table).order_by(*table.primary_key.columns))
            for name, table in schema.MIRRORED.items()
        }


def parts(warehouse: Warehouse) -> Parts:
    """What one transaction publishes, each with its rows: a table of one account, positions and balances together."""
    found: Parts = {}
    for name, rows in rows_of(warehouse).items():
        for row in rows:
            if row.get("removed_at") is None:  # who begins anew never hears of what was removed
                found.setdefault((_TOGETHER.get(name, name), row["account_number"]), []).append(stored(row))
    return found


def _kept_open(url: str) -> AbstractContextManager[object]:
    path = url.removeprefix("duckdb:///")
    return nullcontext() if path == url else open_duckdb(path, config=DUCKDB_CONFIG)


@contextmanager
def _bounded() -> Iterator[None]:
    def hung(_: int, frame: FrameType | None) -> None:
        where = "".join(traceback.format_stack(frame, limit=3))
        raise HungError(f"the run did not end within {LONGEST_SECONDS:g} s: {where}")

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _watched(actions: dict[int, Begin]) -> Iterator[Callable[[], int]]:
    """Count the moments before and after each request, statement and commit of this process, and act at some."""
    passed = 0

    def moment() -> None:
        nonlocal passed
        passed += 1
        if passed in actions:
            actions[passed]()

    def around(real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def called(*arguments: Any, **named: Any) -> Any:
            moment()
            result = real(*arguments, **named)
            moment()
            return result

        @functools.wraps(real)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            moment()
            result = await real(*arguments, **named)
            moment()
            return result

        return awaited if asyncio.iscoroutinefunction(real) else called

    places = [(transport.ReadingTransport, "handle_async_request"), (psycopg.Connection, "commit")]
    for session in (duckdb._DuckDBSession, postgres._PostgresSession):  # noqa: SLF001 - all statements pass here
        places += [(session, name) for name in ("fetch", "fetch_arrow", "run", "script", "stage")]
    with ExitStack() as stack:
        for owner, name in places:
            stack.enter_context(patch.object(owner, name, around(getattr(owner, name))))
        yield lambda: passed
