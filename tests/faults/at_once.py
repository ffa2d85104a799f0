"""Runs at once on one account, mixed with a backfill, while its books change: nothing doubled, lost or stuck.

Here belong which runs there are and what must hold: at every moment that no row is older than the newest published read
would have it (journal.py), and when all have ended, after one quiet run, that all is as in the ledger.
"""

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve

from . import runs
from .journal import Journal
from .oracle import differences
from .runs import Outcome, Task, Work
from .tally import Tally

Row = dict[str, Any]

NOW = datetime(2026, 11, 20, 21, 0, tzinfo=ZoneInfo("America/New_York"))
TODAY = NOW.date()
START = TODAY - timedelta(days=24)
_LOOKBACK = TODAY - timedelta(days=10)
# as the nightly run and the sensor do, and what a person asks for
_WHATS = ("transactions", "portfolio", "everything", "snapshots", "verify")
_ALIKE = 0.7
_APART = 4  # of the runs: they have processes of their own
_PATIENCE = 180.0  # seconds for a round; a lock is waited for no longer than 20
_PAUSE = {"postgres": 0.05, "duckdb": 0.5}  # seconds between two looks at what is stored meanwhile
# The books moved under every one of a run's tries, another run's newer reading stands, or more rows were taken back
# while nobody published than a correction takes back.
_ALLOWED = {"StaleReadError", "IncompleteAnswerError", "MassRemovalError"}
# A DuckDB file takes one process at a time: who waits may not get it before he gives up, but wait he must.
_WAIT = timedelta(seconds=20)


def search(*, seed: int, rounds: int, database: str, at_once: int = 8) -> Tally:
    """Let so many runs and a backfill work at once, in each round anew on the same tables."""
    tally = Tally(f"{at_once} runs and a backfill at once, {open_warehouse(database).kind}", seed=seed)
    config = SimulatorConfig(seed=seed, now=NOW, start=START, accounts=1, trades_per_day=2.0, further_logins=())
    with serve(config) as sim:
        journal = Journal(sim, START)
        for number in range(rounds):
            chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - no secret
            broken = _Round(sim, database, chance, at_once, journal, tally).play()
            tally.tried += 1
            if broken:
                tally.broken.append(f"seed {seed}, round {number}: {'; '.join(broken)}")
            if "still running" in str(broken):
                break
    return tally


@dataclass
class _Round:
    sim: Simulator
    database: str
    chance: random.Random
    at_once: int
    journal: "Journal"
    tally: Tally
    numbers: Iterator[int] = field(default_factory=itertools.count)
    broken: list[str] = field(default_factory=list)
    succeeded: int = 0

    def play(self) -> list[str]:
        """Return what broke."""
        self._all_at_once()
        if self.succeeded < self.at_once // 2:
            self.broken.append(f"only {self.succeeded} runs succeeded")
        if self.broken:
            return self.broken
        warehouse = open_warehouse(self.database)
        self.broken += self.journal.overwritten(warehouse)
        self._quiet(warehouse)
        return self.broken

    def _all_at_once(self) -> None:
        # most do the same, so that they get in each other's way
        usual = self.chance.choice(("transactions", "portfolio"))
        jobs = [self._run(number, usual if self.chance.random() < _ALIKE else "") for number in range(self.at_once)]
        jobs.append(self._backfill())
        threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        ended = datetime.now(UTC) + timedelta(seconds=_PATIENCE)
        for _ in range(12):
            # what was answered first arrives last, and is older than what another run has published
            late = {"seconds": self.chance.choice((0.2, 0.5, 1.0, 2.0)), "after": self.chance.randrange(40)}
            self.sim.brokerage.faults.add(
                Fault("latency", path="/accounts/", times=self.chance.randrange(1, 4), **late)
            )
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(over,), daemon=True)
        with self.journal.changing(self.chance):
            for thread in (*threads, watcher):
                thread.start()
            for thread in threads:
                thread.join(max((ended - datetime.now(UTC)).total_seconds(), 0))
        over.set()
        watcher.join(_PATIENCE)
        self.sim.brokerage.faults.clear()
        self.tally.notes["changes of the books"] += self.journal.changes
        stuck = sum(thread.is_alive() for thread in threads)
        if stuck:
            self.broken.append(f"{stuck} runs are still running after {_PATIENCE:g} s")

    def _watch(self, over: threading.Event) -> None:
        """Look again and again: what an older reading overwrites, a newer one may soon put right."""
        warehouse = open_warehouse(self.database)
        while not over.wait(_PAUSE[warehouse.kind]) and not self.broken:
            try:
                if warehouse.is_current():
                    self.broken += self.journal.overwritten(warehouse)
                    self.tally.notes["looks meanwhile"] += 1
            except TastyError as error:
                self.broken.append(f"a reader: {error!r}")

    def _run(self, number: int, usual: str) -> Callable[[], None]:
        work = Work(usual or self.chance.choice(_WHATS), (self.journal.account,), _LOOKBACK, TODAY)
        do = runs.apart if number < _APART else runs.here

        def start() -> None:
            self._done(do, work)

        return start

    def _backfill(self) -> Callable[[], None]:
        """The whole history, some days at a time and in no order."""
        firsts = [START + timedelta(days=days) for days in range(0, (TODAY - START).days + 1, 6)]
        self.chance.shuffle(firsts)
        whats = [self.chance.choice(("transactions", "transactions", "snapshots")) for _ in firsts]
        works = [
            Work(what, (self.journal.account,), first, min(first + timedelta(days=5), TODAY))
            for what, first in zip(whats, firsts, strict=True)
        ]

        def do() -> None:
            for work in works:
                self._done(runs.here, work)

        return do

    def _done(self, do: Callable[[Task], Outcome], work: Work) -> Outcome:
        task = Task(
            self.sim.url, self.sim.client_secret, self.sim.refresh_token, self.database, work,
            run_id=f"run-{next(self.numbers)}", now=NOW, history_start=START,
        )  # fmt: skip
        began = datetime.now(UTC)
        try:
            outcome = do(task)
        except Exception as error:  # noqa: BLE001 - whatever ends a run is told
            self.broken.append(f"{work}: {error!r}")
            return Outcome(kind=type(error).__name__)
        self.succeeded += outcome.good
        self.tally.notes[outcome.kind or "runs that succeeded"] += 1
        waited = self.database.startswith("duckdb") and datetime.now(UTC) - began >= _WAIT
        if outcome.kind and outcome.kind not in (_ALLOWED | {"WarehouseLockedError"} if waited else _ALLOWED):
            self.broken.append(f"{work}: {outcome.said}")
        return outcome

    def _quiet(self, warehouse: Warehouse) -> None:
        began = datetime.now(UTC)
        outcome = self._done(runs.here, Work("everything", (self.journal.account,), START, TODAY))
        if not outcome.good:
            self.broken.append(f"the quiet run failed: {outcome.said}")
        found = differences(self.sim, warehouse, START, TODAY)
        if found:
            self.broken.append(str(found))
        with warehouse.read() as reader:
            log = reader.rows(sa.select(schema.sync_log))
            told = schema.changes.c.sequence
            feed = reader.rows(sa.select(sa.func.min(told), sa.func.max(told), sa.func.count()))
            incomplete = [
                table.name
                for table in (schema.transactions, schema.balance_snapshots)
                if not audits.complete(reader, table).passed
            ]
        self.tally.notes["readings that overlapped another one"] += _overlapping(log)
        first, last, count = feed[0].values()
        if (first, last) != (1, count):
            self.broken.append(f"the change feed has {count} entries from {first} to {last}")
        self.broken += [f"{name}: not as proven" for name in incomplete]
        if not self.broken:
            self.journal.settle(began)


def _overlapping(log: Iterable[Row]) -> int:
    """Count the published readings of a table during which another one of the same rows began."""
    reads = [each for each in log if each["result"] == "published" and each["account_number"]]
    return sum(
        any(
            other is not each
            and other["table_name"] == each["table_name"]
            and each["read_started_at"] <= other["read_started_at"] <= each["read_ended_at"]
            and (
                each["window_start"] is None
                or (other["window_start"] <= each["window_end"] and each["window_start"] <= other["window_end"])
            )
            for other in reads
        )
        for each in reads
    )
