"""A brokerage, a warehouse and the runs of a schedule; in the end everything heals and one run must put all right.

Here belongs what the numbers of a step of the pipeline mean, and when the tables must equal the books. What is right is
said by `oracle.py`, how a run is made by `runs.py`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.warehouse import open_warehouse

from . import runs
from .oracle import Difference, differences
from .runs import Outcome, Task, Work
from .steps import OF_THE_CLOCK, OF_THE_PIPELINE, Schedule, Step
from .trouble import HISTORY_DAYS, SECOND_LOGIN, Trouble

LOOKBACK = timedelta(days=10)
# a small run has few moments, one of everything more than a thousand
_MOMENTS = (60, 250, 1_200)


class NotRepairedError(AssertionError):
    """Nothing was against the last run, and it failed."""


@dataclass(frozen=True)
class Way:
    """A way to keep the tables in agreement: a run, one that is killed at its `kill_at`, and what is wrong in the end.

    One that promises nothing (`naive.py`) is judged in the end alone. `beside` is a run in a process of its own, where
    two in one would not do. `within` is where a way is at work, `heals` what an operator does in the end, `audited`
    what must be true then besides; time stands still for a way that is of `today`.
    """

    run: Callable[[Task], Outcome]
    killed: Callable[[Task], Outcome]
    wrong: Callable[["World"], Difference]
    promises: bool = True
    beside: Callable[[Task], Outcome] | None = None
    within: Callable[["World"], AbstractContextManager[object]] = nullcontext
    heals: Callable[[], object] = lambda: None
    audited: Callable[["World"], list[str]] = lambda _: []
    today: bool = False


def _wrong(world: "World") -> Difference:
    return differences(world.sim, open_warehouse(world.warehouse), world.start, world.today)


def _unproven(world: "World") -> list[str]:
    """Every day must be as it was proven, and no bad row be left over."""
    with open_warehouse(world.warehouse).read() as reader:
        findings = [audits.complete(reader, table) for table in (schema.transactions, schema.balance_snapshots)]
        findings += [audits.no_rejected_rows(reader, table) for table in schema.MIRRORED.values()]
    return [f"{each.summary} {each.sample[:1]}" for each in findings if not each.passed]


OURS = Way(runs.here, runs.apart, _wrong, audited=_unproven)


@dataclass
class World(Trouble):
    """One brokerage and the warehouse of one way to follow it, whose history begins on `start`.

    `release` is called before a process of its own is to open the warehouse, and gives back what `hold` took.
    """

    warehouse: str
    start: date
    way: Way = OURS
    hold: Callable[[], object] = lambda: None
    release: Callable[[], object] = lambda: None
    outcomes: list[Outcome] = field(default_factory=list)
    found: Difference = field(default_factory=Difference)
    second: bool = False

    def play(self, schedule: Schedule) -> Difference:
        """Let everything happen, then heal and synchronise; return what was wrong after any run that had to be right.

        Raises `NotRepairedError` where the last run fails.
        """
        self.hold()
        try:
            with self.way.within(self):
                for step in schedule:
                    if self.found:
                        break
                    if not (self.way.today and step.name in OF_THE_CLOCK):
                        getattr(self, f"_{step.name}")(step) if step.name in OF_THE_PIPELINE else self.happens(step)
                return self.found or self._healed()
        finally:
            self.release()

    def _healed(self) -> Difference:
        self.heals()
        self.way.heals()
        if self.second:
            self._everything(SECOND_LOGIN)
        last = self._everything()
        if not self.way.promises:
            return self.way.wrong(self)
        if not last.good:
            raise NotRepairedError(f"the last run failed: {last.said}")
        self.found.stale += self.way.audited(self)
        return self.found

    def _everything(self, connection: str = "default") -> Outcome:
        """Synchronise all that a login sees; what is really gone is confirmed, as an operator does."""
        work = Work("everything", self._seen(connection), self.start, self.today)
        outcome = self._do(work, connection)
        if "MassRemovalError" in outcome.kind:
            outcome = self._do(replace(work, confirm=True), connection)
        return outcome

    def _run(self, step: Step) -> None:
        self._do(self._work(step))

    def _spoilt(self, step: Step) -> None:
        """A run of everything, over which something goes wrong."""
        self.happens(replace(step, name="fault"))
        accounts = (self.account(step.b),) if step.a % 2 else self.numbers
        self._do(Work("everything", accounts, self.start, self.today))

    def _lookback(self, step: Step) -> None:
        for what in ("transactions", "snapshots", "portfolio"):
            self._do(Work(what, (self.account(step.a),), max(self.today - LOOKBACK, self.start), self.today))

    def _backfill(self, step: Step) -> None:
        """Some days, one by one, in any order."""
        what = ("transactions", "snapshots")[step.a % 2]
        for number in (step.a, step.b, step.c):
            day = self.today - timedelta(days=number % HISTORY_DAYS)
            self._do(Work(what, (self.account(step.b),), max(day, self.start), max(day, self.start)))

    def _login(self, step: Step) -> None:
        self.second = True
        work = self._work(step)
        self._do(replace(work, accounts=self._seen(SECOND_LOGIN)), SECOND_LOGIN)

    def _killed(self, step: Step) -> None:
        self.release()
        self._note(self.way.killed(replace(self.task(self._work(step)), kill_at=1 + step.c % _MOMENTS[step.b % 3])))
        self.hold()

    def _beside(self, step: Step) -> None:
        """Two at once."""
        works = [self._work(step), self._work(Step("", step.b, step.c, step.a))]
        if self.way.beside:
            self.release()
        with ThreadPoolExecutor(2) as pool:
            tasks = [replace(self.task(work), run_id=f"run-{len(self.outcomes)}-{n}") for n, work in enumerate(works)]
            for outcome in pool.map(self.way.beside or self.way.run, tasks):
                self._note(outcome)
        if self.way.beside:
            self.hold()

    def _meddled(self, step: Step) -> None:
        """A run during which the books change, at the turn of one of its requests."""
        brokerage, seen = self.sim.brokerage, []
        real = brokerage.read_served

        def meddle(account: str, login: str) -> None:
            real(account, login)
            seen.append(account)
            if len(seen) == 1 + step.c % 12:
                self.change(step)

        brokerage.read_served = meddle  # type: ignore[method-assign]
        try:
            self._note(self.way.run(self.task(self._work(step))))
        finally:
            brokerage.read_served = real  # type: ignore[method-assign]

    def _seen(self, connection: str) -> tuple[str, ...]:
        return tuple(self.sim.brokerage.access.seen(connection))

    def _work(self, step: Step) -> Work:
        what = runs.WHATS[step.a % len(runs.WHATS)]
        accounts = self.numbers if step.b % 3 == 0 else (self.account(step.b),)
        last = self.today - timedelta(days=step.b % HISTORY_DAYS)
        if step.c % 2:
            return Work(what, accounts, self.start, self.today)
        return Work(what, accounts, max(last - timedelta(days=step.c % HISTORY_DAYS), self.start), last)

    def _do(self, work: Work, connection: str = "default") -> Outcome:
        """One run, by itself: if it was told the truth and succeeded, what it went over is as in the books now."""
        before = self.lies()
        outcome = self._note(self.way.run(self.task(work, connection)))
        if self.way.promises and outcome.good and self.lies() == before and not self.trades_on:
            whole = work.what == "everything" and (work.start, work.end) == (self.start, self.today)
            everyone = connection == "default" and set(work.accounts) == set(self.numbers)
            self.found += self.way.wrong(self) if whole and everyone else self._wrong_of(work, connection)
        return outcome

    def _wrong_of(self, work: Work, connection: str) -> Difference:
        """What is wrong of the tables, accounts and days of a run; of the accounts' list, those that its login sees."""
        if work.what == "verify":
            return Difference()  # it promises the same total
        parts = ("accounts", "portfolio", "transactions", "snapshots") if work.what == "everything" else (work.what,)
        tables = {name for part in parts for name in runs.PARTS[part]}
        listed, others = tables & {"accounts"}, tables - {"accounts"}
        found = Difference()
        for names, accounts in ((listed, self._seen(connection)), (others, work.accounts)):
            if names:
                warehouse = open_warehouse(self.warehouse)
                found += differences(self.sim, warehouse, work.start, work.end, tables=names, accounts=accounts)
        return found

    def task(self, work: Work, connection: str = "default") -> Task:
        return Task(
            self.sim.url,
            self.sim.client_secret,
            self.sim.logins[connection],
            self.warehouse,
            work,
            run_id=f"run-{len(self.outcomes)}",
            now=self.sim.brokerage.clock.now(),
            history_start=self.start,
            connection=connection,
        )

    def _note(self, outcome: Outcome) -> Outcome:
        self.outcomes.append(outcome)
        return outcome


def ended(outcomes: Sequence[Outcome]) -> list[str]:
    """How runs ended, in words."""
    return ["killed" if each.killed else each.kind or "successful" for each in outcomes]
