"""Paging drift under a whole sync: a change at any position before any request, over HTTP, into a real DuckDB file.

Here belongs what becomes of the tables; what becomes of single reads, of every kind of list, is tried in `paging.py`.
The core asks for 2,000 rows a page: here for a few, so that a short history makes several windows.
"""

import copy
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
from sync.ledger import stored

from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, open_warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from . import oracle, runs
from .paging import unsound
from .rows_said import Row, by_key
from .tally import Tally

NOW = datetime(2026, 11, 20, 21, tzinfo=ZoneInfo("America/New_York"))
FIRST, LAST = date(2026, 11, 2), date(2026, 11, 20)
PAGE_ROWS, CUT_ROWS = 6, 4
Rows = dict[Any, Any]
STARTS = ("an empty table", "a published table", "a published table and a new row")
WHATS = ("transactions", "snapshots", "portfolio")


@dataclass(frozen=True)
class Change:
    """What is done to the books."""

    said: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Point:
    """One sync: of what, from which start, and what happens before which of its answers."""

    name: str
    what: str
    start: str
    moment: int
    change: Change


class Scene:
    """One account of a simulated brokerage, and warehouses that hold nothing or what was published of it."""

    def __init__(self, sim: Simulator, folder: Path, tally: Tally) -> None:
        self.sim, self.folder, self.tally = sim, folder, tally
        self.account = sim.brokerage.accounts()[0]["account-number"]
        self.archive = sim.brokerage.archive(self.account)
        self.rows = copy.deepcopy(self.archive.rows)
        self.what = WHATS[0]
        self.seen = 0
        self.before: Callable[[int], None] = lambda _: None
        sim.brokerage.read_served = self._served  # type: ignore[method-assign]
        self.work = folder / "work.duckdb"
        open_warehouse(f"duckdb:///{folder / 'empty.duckdb'}").migrate()
        with self._table("empty"):
            for self.what in WHATS:
                self._sync()
            self._keep("published")

    def _served(self, account: str, _: str) -> None:
        if account == self.account:
            self.seen += 1
            self.before(self.seen)

    def _keep(self, name: str) -> None:
        with duckdb.connect(str(self.work), config=DUCKDB_CONFIG) as connection:
            connection.execute("CHECKPOINT")
            shutil.copy(self.work, self.folder / f"{name}.duckdb")

    @contextmanager
    def _table(self, name: str) -> Iterator[None]:
        """Have a copy of a warehouse, kept open: to open a file takes longer than such a sync."""
        for each in self.folder.glob("work.duckdb*"):
            each.unlink()
        shutil.copy(self.folder / f"{name}.duckdb", self.work)
        with duckdb.connect(str(self.work), config=DUCKDB_CONFIG):
            yield

    def _sync(self, in_flight: int = 1) -> runs.Outcome:
        self.seen = 0
        task = runs.Task(
            self.sim.url,
            self.sim.client_secret,
            self.sim.refresh_token,
            f"duckdb:///{self.work}",
            runs.Work(self.what, (self.account,), FIRST, LAST),
            run_id="drift",
            now=NOW,
            history_start=FIRST,
            in_flight=in_flight,
        )
        return runs.here(task)

    def _reset(self, start: str) -> None:
        with self.sim.brokerage.lock:
            self.archive.clear()
            self.archive.add(copy.deepcopy(self.rows))
            if start == STARTS[2]:
                self.sim.brokerage.book_late(self.account, 9)

    def truth(self) -> Rows:
        """Return what the tables must hold."""
        ledger = oracle.expected(self.sim, FIRST, LAST)
        return self._together((name, ledger[name]) for name in runs.PARTS[self.what])

    def held(self) -> Rows:
        """Return what the tables hold."""
        with open_warehouse(f"duckdb:///{self.work}").read() as reader:
            return self._together(
                (name, list(map(stored, oracle.held(reader, name)))) for name in runs.PARTS[self.what]
            )

    @staticmethod
    def _together(tables: Iterable[tuple[str, list[Row]]]) -> Rows:
        return {(name, *key): row for name, rows in tables for key, row in by_key(name, rows).items()}

    def changes(self) -> list[Change]:
        """Return everything that can happen to one row, and a booking on every day; to positions and to the cash."""
        books = self.sim.brokerage
        found: list[Change] = []
        if self.what == "portfolio":
            held = [row["symbol"] for row in books.positions(self.account)]
            found += [Change(f"{each} closed", partial(books.close_position, self.account, each)) for each in held]
            trades = ("SPY", "AAPL", "KO", *held)
            found += [Change(f"{each} bought", partial(books.trade, self.account, symbol=each)) for each in trades]
            return [*found, Change("a deposit", partial(books.deposit, self.account, 100))]
        for row in self.rows:
            found.append(Change(f"{row.id} removed", partial(books.remove, row.id)))
            found.append(Change(f"{row.id} restated", partial(books.restate, row.id, description="anew")))
            found += [
                Change(f"{row.id} re-dated to {day}", partial(books.redate, row.id, day))
                for day in (FIRST, FIRST + timedelta(days=9), LAST)
                if day != row.transaction_date
            ]
        days = range((LAST - FIRST).days + 1)
        return found + [Change(f"booked {n} days back", partial(books.book_late, self.account, n)) for n in days]

    def requests(self, start: str) -> int:
        """Return how many requests a sync has during which nothing happens."""
        self._reset(start)
        with self._table("empty" if start == STARTS[0] else "published"):
            self._sync()
        return self.seen

    def points(self) -> Iterator[Point]:
        """Return every change before every request, and after the last, of every sync from every start."""
        for self.what in WHATS:
            changes = self.changes()
            for number, start in enumerate(STARTS):
                for moment in range(1, self.requests(start) + 2):
                    for place, change in enumerate(changes):
                        yield Point(f"{self.what}.{number}.{moment}.{place}", self.what, start, moment, change)

    def play(self, point: Point) -> None:
        """Synchronise while it happens, then once more in peace; write down what is wrong."""
        self.what, start, moment, change = point.what, point.start, point.moment, point.change
        self._reset(start)
        notes, flaw = self.tally.notes, ""
        states, pending = [self.truth()], [change]

        def happen(number: float) -> None:
            if pending and number >= moment:
                pending.pop().do()
                states.append(self.truth())

        with self._table("empty" if start == STARTS[0] else "published"):
            old = self.held()
            self.before = happen
            outcome = self._sync()
            self.before = lambda _: None
            held = self.held()
            if not outcome.good:
                notes["refused"] += 1
                flaw = "" if held == old else "a sync that failed has changed the table"
            else:
                flaw = unsound(held, states)
                if not flaw and self.what == "portfolio" and held not in states:
                    flaw = "positions and balances of two states"
                notes["held as before" if held == states[0] else "held as after, or in between"] += 1
            happen(math.inf)
            again = self._sync(in_flight=8)
            if not flaw and not (again.good and self.held() == states[-1]):
                flaw = f"a quiet sync afterwards does not give the truth {again.said}"
        self.tally.tried += 1
        if flaw:
            self.tally.broken.append(
                f"{point.name}: {self.what}, {start}, {change.said} before answer {moment}: {flaw}"
            )


def search(*, seed: int = 0, syncs: int | None = None, only: str | None = None) -> Tally:
    """Try every change before every request of a first sync and of later ones, or so many of them.

    `only` plays those of one sync (`portfolio`), or one again, by its name: the sync, its beginning, the answer and the
    change, as in `transactions.1.5.20`.
    """
    tally = Tally("a change at any position before any request of a sync is seen or harmless", seed=seed)
    with ExitStack() as stack:
        stack.enter_context(runs.short_pages(PAGE_ROWS, CUT_ROWS))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasty-drift-")))
        config = SimulatorConfig(now=NOW, start=FIRST, accounts=1, trades_per_day=0.2)
        scene = Scene(stack.enter_context(serve(config)), folder, tally)
        points = list(scene.points())
        tally.notes["points there are"] = len(points)
        if only is not None:
            points = [each for each in points if only in (each.name, each.what)]
        if syncs is not None:
            points = random.Random(seed).sample(points, min(syncs, len(points)))  # noqa: S311 - no secret
        for point in points:
            scene.play(point)
    return tally
