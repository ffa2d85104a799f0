"""A crash at every point: what a reader sees is exactly the old or the new state, and the next run repairs everything.

A sync is killed before and after each of its requests and statements, and in the middle of some. Here belongs what is
synchronised, which points there are and what must be true after each; how a run is killed is in `runs.py`.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import duckdb

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.broker import PAD_DAYS
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from . import runs
from .beds import Bed, FileBed, ServerBed
from .oracle import differences
from .runs import Outcome, Task, Victim, Work
from .seen import ACCOUNTS, TABLES, Piece, Seen, feed_faults, seen, without_runs
from .tally import Tally

Database = Literal["duckdb", "duckdb with a log", "postgres"]
# a first sync of the list of accounts, migrations included; all of an account of which much has changed; the
# transactions of its last days, over whose edge rows have moved; all of an account that was just opened
Scene = Literal["first", "later", "edge", "opened"]
SCENES: tuple[Scene, ...] = ("first", "later", "edge", "opened")
START = date(2026, 11, 9)
NOW = datetime(2026, 11, 17, 15, tzinfo=ZoneInfo("America/New_York"))
_TRADES = ("portfolio", "transactions", "balance_snapshots")
# the number of a moment, and how many seconds after it the victim is killed
Point = tuple[int, float]
_DELAYS = (0.0001, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016)
_THOROUGH = 10  # one of so many points: a DuckDB file takes 20 ms to open, a run opens it fifty times
# what a run may say of a database that went away
_LOST = {"WarehouseUnavailableError"}


def search(
    *,
    seed: int,
    database: Database,
    scene: Scene = "later",
    victims: Sequence[Victim] = ("process",),
    points: int = 0,
    cuts: int = 0,
    workers: int = 1,
) -> list[Tally]:
    """Kill each victim at all points (or so many, drawn by the seed), and so many times in the middle of something."""
    with ExitStack() as stack:
        crashes = [stack.enter_context(_opened(database, scene)) for _ in range(workers)]
        moments = crashes[0].moments
        tallies = []
        for victim in victims:
            chosen = _chosen(moments, random.Random(seed), points, cuts)  # noqa: S311 - no secret
            tally = Tally(f"{victim} killed at {len(moments)} points of the {scene} sync, {database}", seed=seed)
            with ThreadPoolExecutor(workers) as pool:
                shares = [pool.submit(crashes[n].tried, victim, chosen[n::workers]) for n in range(workers)]
            for share in shares:
                tally.tried += share.result().tried
                tally.broken += share.result().broken
                tally.notes += share.result().notes
            tallies.append(tally)
    return tallies


def _chosen(moments: Sequence[str], chance: random.Random, points: int, cuts: int) -> list[Point]:
    every = [(n, 0.0) for n in range(1, len(moments) + 1)]
    starts = [n for n, what in enumerate(moments, 1) if what.startswith("before ")]
    chosen = sorted(chance.sample(every, min(points, len(every)))) if points else every
    return chosen + [(chance.choice(starts), chance.choice(_DELAYS)) for _ in range(cuts)]


@dataclass
class _Crashes:
    """One warehouse in the old state, and the run that is killed on its way to the new one."""

    sim: Simulator
    bed: Bed
    task: Task
    scene: Scene
    moments: tuple[str, ...] = ()
    old: Seen = field(default_factory=dict)
    new: Seen = field(default_factory=dict)
    found: Seen = field(default_factory=dict)
    lies: Sequence[tuple[str, int]] = ()
    repairs: int = 0
    mended: list[tuple[Sequence[tuple[str, int]], Seen]] = field(default_factory=list)

    def tried(self, victim: Victim, points: Sequence[Point]) -> Tally:
        """Kill at each of these points."""
        tally = Tally("")
        self.task = replace(self.task, victim=victim)
        for number, (point, seconds) in enumerate(points):
            self.bed.put_back()
            what = f"at {point} {self.moments[point - 1]!r}" + (f" + {seconds * 1e3:g} ms" if seconds else "")
            try:
                outcome = runs.apart(self._task(kill_at=point, seconds_after=seconds))
                if not outcome.struck and victim != "process":
                    tally.notes["points without a session"] += 1
                    continue
                tally.notes[self._sort(outcome, seconds)] += 1
                faults = list(self._faults(outcome, point, cut=bool(seconds)))
                faults += self._mended(thorough=number % _THOROUGH == 0)
            except (TastyError, RuntimeError, duckdb.Error) as error:
                faults = [f"{type(error).__name__}: {error}"]
            tally.tried += 1
            if faults:
                tally.broken.append(f"{what}: {'; '.join(faults)}")
        tally.notes["states that a next run mended"], self.repairs = self.repairs, 0
        return tally

    def _sort(self, outcome: Outcome, seconds: float) -> str:
        if not seconds:
            return "between two"
        return "when it was just over" if outcome.killed and outcome.moments else "in the middle of one"

    def _faults(self, outcome: Outcome, point: int, *, cut: bool) -> Iterator[str]:
        """Say what a reader sees that it must not, and what the run said that it must not."""
        self.bed.revive(crashed=self.task.victim != "process")
        left, self.lies = open_warehouse(self.bed.left), self.bed.files()
        with self.bed.kept_open(self.bed.left):
            yield from self._left(left, outcome, point, cut=cut)
        if self.bed.copy:
            copies = [self._copied(self.moments[: point + more]) for more in range(2 if cut else 1)]
            url = f"duckdb:///{self.bed.copy}"
            with self.bed.kept_open(url):
                found = self._seen(url)
            if found not in copies:
                yield "the published copy is neither the old nor the new one"
        if not outcome.struck:
            yield "nothing was killed"
        if outcome.kind and not outcome.killed and outcome.kind not in _LOST:
            yield f"the run said {outcome.kind}: {outcome.said}"

    def _left(self, left: Warehouse, outcome: Outcome, point: int, *, cut: bool) -> Iterator[str]:
        self.found = found = self._seen(self.bed.left)
        allowed = [self._published(self.moments[: point + more]) for more in range(2 if cut else 1)]
        if outcome.good:
            allowed = [self.new]  # Postgres recovers by itself from the loss of a session: the run can go on
        if found not in allowed:
            yield f"a reader sees neither the old nor the new state of {_unlike(found, allowed[-1])}"
            if outcome.good:
                yield "the run said that it was done, and was not"
        yield from feed_faults(left)

    def _mended(self, *, thorough: bool) -> list[str]:
        """Let the next run mend what was left, unless one did so already of files as large with the same in them."""
        left = (self.lies, self.found)
        if not thorough and left in self.mended:
            return []
        self.repairs += 1
        faults = list(self._repaired(thorough=thorough))
        if not faults:
            self.mended.append(left)
        return faults

    def _repaired(self, *, thorough: bool) -> Iterator[str]:
        """Let the next run do its work; say what is not as if nothing had happened.

        Thoroughly, it opens the file itself each time that it looks; and a third run shows that nothing was left to do.
        """
        run, is_open = (runs.apart, nullcontext()) if thorough else (runs.here, self.bed.kept_open(self.bed.url))
        with is_open:
            outcome = run(self._task(run_id="next"))
            if not outcome.good:
                yield f"the next run failed: {outcome.said}"
                return
        with self.bed.kept_open(self.bed.url):
            yield from self._wrong()
            before = self._seen(self.bed.url)
        if without_runs(before) != without_runs(self.new):
            unlike = _unlike(without_runs(before), without_runs(self.new))
            yield f"after the next run there is something else in {unlike}"
        if thorough:
            runs.apart(self._task(run_id="third"))
            if _without_log(self._seen(self.bed.url)) != _without_log(before):
                yield "a third run wrote something"
        if litter := self.bed.litter():
            yield f"{', '.join(litter)} lie about"

    def _wrong(self) -> Iterator[str]:
        """Say where the warehouse is not what the broker's books say."""
        warehouse = open_warehouse(self.bed.url)
        yield from feed_faults(warehouse)
        tables = {"first": ["accounts"], "edge": ["transactions"]}.get(self.scene, [*schema.MIRRORED])
        if found := differences(self.sim, warehouse, START, self.task.now.date(), tables=tables):
            yield f"after the next run: {found}"
        if self.scene == "first":
            return
        with warehouse.read() as reader:
            for table in (schema.transactions, schema.balance_snapshots):
                if not (finding := audits.complete(reader, table)).passed:
                    yield f"after the next run: {finding}"

    def _seen(self, url: str) -> Seen:
        return seen(open_warehouse(url), (START, self.task.now.date() + timedelta(days=PAD_DAYS)))

    def _task(self, **changes: object) -> Task:
        return replace(self.task, warehouse=self.bed.url, **changes)  # type: ignore[arg-type]

    def _published(self, passed: Sequence[str]) -> Seen:
        """What must be seen once these moments have passed: pieces are published in order, one with each commit."""
        order = self.order()
        done = order[: (commits := Counter(passed)["after COMMIT"])]
        states = {piece: (self.new if piece in done else self.old).get(piece) for piece in self.new}
        for piece in {*done} & {*order[commits:]}:
            # all rows are there, and the proofs of some days are still to come
            states[piece] = sorted([*_rows(self.new[piece]), *_proofs(self.found.get(piece, []))])
        return {piece: rows for piece, rows in states.items() if rows is not None}

    def _copied(self, passed: Sequence[str]) -> Seen:
        return self.new if any(each.startswith("after replace ") for each in passed) else self.old

    def order(self) -> list[Piece]:
        """The pieces in the order in which they are published."""
        first = [TABLES, ACCOUNTS] if self.scene == "first" else [ACCOUNTS]
        if self.scene == "edge":
            return [(account, "transactions") for account in self.task.work.accounts] * 2
        return [*first, *((account, name) for account in self.task.work.accounts for name in _TRADES)]

    def prepare(self) -> None:
        """Run once unharmed, to learn the moments and the new state; the old one is there."""
        self.bed.keep()
        self.bed.put_back()
        self.old = self._seen(self.bed.url)
        outcome = runs.apart(self._task())
        self.moments, self.new = outcome.moments, self._seen(self.bed.url)
        changed = {piece for piece in self.new if self.new[piece] != self.old.get(piece)}
        wrong = list(self._wrong())
        commits = Counter(self.moments)["after COMMIT"]
        if not outcome.good or wrong or changed != set(self.order()) or commits != len(self.order()):
            raise RuntimeError(f"nothing to search in: {outcome.said} {wrong} {commits} {changed ^ set(self.order())}")


def _unlike(found: Seen, allowed: Seen) -> str:
    return ", ".join(map(str, sorted(piece for piece in {*found, *allowed} if found.get(piece) != allowed.get(piece))))


def _rows(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("transactions ")]


def _proofs(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not line.startswith("transactions ")]


def _without_log(pieces: Seen) -> Seen:
    return {piece: [row for row in rows if not row.startswith("sync_log ")] for piece, rows in pieces.items()}


@contextmanager
def _opened(database: Database, scene: Scene) -> Iterator[_Crashes]:
    config = SimulatorConfig(seed=1, start=START, now=NOW, accounts=1, trades_per_day=2.0, further_logins=())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasty-crash-")))
        sim = stack.enter_context(serve(config))
        bed = ServerBed(folder, stack) if database == "postgres" else FileBed(folder)
        task = Task(
            sim.url, sim.client_secret, sim.refresh_token, bed.url, _work(sim), "old", NOW, START, in_flight=1,
            cluster=bed.cluster, copy=bed.copy, log_beside=database == "duckdb with a log",
        )  # fmt: skip
        work = replace(task.work, what="accounts", accounts=())
        if scene != "first":
            runs.apart(task)
            work = {"later": _trade_on, "edge": _move_over_the_edge, "opened": _open_another}[scene](sim)
        crashes = _Crashes(sim, bed, replace(task, work=work, run_id="new", now=sim.brokerage.clock.now()), scene)
        crashes.prepare()
        yield crashes


def _work(sim: Simulator) -> Work:
    accounts = tuple(each["account-number"] for each in sim.brokerage.accounts())
    return Work("everything", accounts, START, sim.brokerage.clock.now().date())


def _trade_on(sim: Simulator) -> Work:
    """A day passes: everything that can change in an account does."""
    books = sim.brokerage
    (account,) = (each["account-number"] for each in books.accounts())
    books.advance(timedelta(days=1))
    early, gone, moved = (books.archive(account).rows[n].id for n in (3, 5, -2))
    books.restate(early, value="123.45")
    books.remove(gone)
    books.redate(moved, START + timedelta(days=2))
    books.book_late(account, 4)
    books.deposit(account, 1000)
    books.close_position(account, books.positions(account)[0]["symbol"])
    return _work(sim)


def _move_over_the_edge(sim: Simulator) -> Work:
    """A day passes, and only the last two are read: rows came into them, left them, and changed shortly before."""
    books = sim.brokerage
    (account,) = (each["account-number"] for each in books.accounts())
    first = NOW.date()
    of_first = [row.id for row in books.archive(account).rows if row.transaction_date == first]
    before = [row.id for row in books.archive(account).rows if START < row.transaction_date < first]
    books.advance(timedelta(days=1))
    books.redate(of_first[0], START)  # further away than what is read around the window
    books.remove(of_first[1])
    books.redate(before[0], first)
    books.redate(before[-1], START + timedelta(days=3))
    books.restate(before[-2], value="123.45")
    books.book_late(account, 4)
    return replace(_work(sim), what="transactions", start=first)


def _open_another(sim: Simulator) -> Work:
    """Another account is opened, and trades: of it everything is new."""
    account = sim.brokerage.open_account()
    sim.brokerage.trade(account, n=3)
    return replace(_work(sim), accounts=(account,))
