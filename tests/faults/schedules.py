"""Random schedules: whatever happens to the brokerage, the network and the runs, the next run that succeeds is exact.

Here belongs how schedules are tried in number, and how one that breaks the promise is shortened and shown. What happens
in one is in `steps.py`, `trouble.py` and `world.py`.
"""

import multiprocessing
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import duckdb
import psycopg

from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, open_warehouse
from tasty_pipeline.simulator import SimulatorConfig, serve
from tasty_pipeline.simulator.logins import ALICE

from . import PROCESSES, runs
from .oracle import KINDS
from .steps import Schedule, drawn, shortest, written
from .tally import Tally
from .trouble import HISTORY_DAYS, NEW_YORK
from .world import OURS, Way, World, ended

# before a weekend; the end of daylight saving time, its beginning, the turn of the year, all within hours; the morning
# of a stock's split
BEGINNINGS = tuple(
    datetime(*moment, tzinfo=NEW_YORK)
    for moment in (
        (2026, 11, 20, 14, 30),
        (2026, 10, 31, 22, 50),
        (2026, 3, 7, 22, 50),
        (2025, 12, 31, 20, 20),
        (2024, 6, 10, 4, 20),
    )
)
# rows of a page in every second schedule: a history of some hundred then has windows, and days of several pages
_PAGE_ROWS, _CUT_ROWS = 12, 8
PROMISE = "after any schedule of troubles the first whole run that succeeds leaves the tables as the broker's books are"


@dataclass
class Played:
    """What came of one schedule: what was wrong in the end, if anything, how its runs ended, which faults struck."""

    wrong: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)


def search(
    *,
    seed: int,
    schedules: int,
    database: str = "duckdb",
    server: str = "",
    processes: int = 1,
    first: int = 0,
    dagster: bool = False,
) -> Tally:
    """Play so many schedules of a seed, from number `first` on; the runs are the core's, or Dagster's.

    `database` is `duckdb` or `postgres`; the second needs the URL of a server whose role may create databases.
    """
    tally = Tally(f"{PROMISE} ({database}{', through Dagster' if dagster else ''})", seed=seed)
    numbers = range(first, first + schedules)
    one = partial(tried, seed, database=database, server=server, dagster=dagster)
    struck: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for number, played in zip(numbers, _all(numbers, one, processes), strict=True):
        tally.tried += 1
        tally.notes += played.notes
        struck += played.struck
        wrong.update(played.counts)
        if played.wrong:
            tally.broken.append(f"schedule {number} of seed {seed}: {played.wrong}")
    tally.notes["answers spoilt"] = struck.total()
    tally.notes["kinds of faults that struck"] = len(struck)
    tally.notes.update({f"rows {how}": wrong[how] for how in KINDS})
    return tally


def _all(numbers: range, one: Callable[[int], Played], processes: int) -> Iterator[Played]:
    if processes == 1:
        yield from map(one, numbers)
        return
    with ProcessPoolExecutor(processes, PROCESSES) as pool:
        yield from pool.map(one, numbers)


def tried(seed: int, number: int, *, database: str, server: str = "", dagster: bool = False) -> Played:
    """Play one schedule; where it breaks the promise, find the shortest that does."""
    way = OURS
    if dagster:
        from .launched import THROUGH_DAGSTER as way  # noqa: N811, PLC0415 - it takes a second to import
    schedule = drawn(f"{seed}/{number}")
    again = partial(play, number, database=database, server=server, way=way)
    played = again(schedule)
    if played.wrong:
        few = shortest(schedule, lambda some: bool(again(some).wrong))
        played.wrong = f"{again(few).wrong or played.wrong}\n      after {written(few)}"
    return played


def play(
    number: int, schedule: Schedule, *, database: str, server: str = "", way: Way = OURS, trades_per_day: float = 2.0
) -> Played:
    """Play a schedule in a world of its own, whose brokerage and whose day are those of the number."""
    begin = datetime.now(NEW_YORK) if way.today else BEGINNINGS[number % len(BEGINNINGS)]
    start = begin.date() - timedelta(days=HISTORY_DAYS)
    accounts = 2 if number % 3 == 0 else 1
    alice = replace(ALICE, owns=tuple(range(accounts)))
    config = SimulatorConfig(
        seed=number,
        now=begin,
        start=start,
        accounts=accounts,
        trades_per_day=trades_per_day,
        further_logins=(alice,),
    )
    with ExitStack() as stack:
        sim = stack.enter_context(serve(config))
        place = stack.enter_context(_duckdb() if database == "duckdb" else _postgres(server))
        world = World(sim, place.url, start, way, place.hold, place.release)
        if number % 2:
            stack.enter_context(runs.short_pages(_PAGE_ROWS, _CUT_ROWS))
        try:
            found = world.play(schedule)
        except Exception:  # noqa: BLE001 - whatever a run raises that is no error of ours is a broken promise
            return Played(traceback.format_exc(limit=-3))
        notes = Counter({f"runs {how}": count for how, count in Counter(ended(world.outcomes)).items()})
        notes["schedules whose last run failed"] = not world.outcomes[-1].good
        return Played(str(found) if found else "", found.counts, +notes, +world.struck)


@dataclass
class _Place:
    url: str
    hold: Callable[[], object] = lambda: None
    release: Callable[[], object] = lambda: None


@contextmanager
def _duckdb() -> Iterator[_Place]:
    """A copy of a file that was migrated once, kept open between runs: to open one takes as long as a small run."""
    with tempfile.TemporaryDirectory(prefix="tasty-faults-") as folder:
        path = Path(folder) / "warehouse.duckdb"
        shutil.copy(_migrated_file(), path)
        stack = ExitStack()
        yield _Place(
            f"duckdb:///{path}",
            lambda: stack.enter_context(duckdb.connect(str(path), config=DUCKDB_CONFIG)),
            stack.close,
        )
        stack.close()


@cache
def _migrated_file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="tasty-faults-")) / "warehouse.duckdb"
    open_warehouse(f"duckdb:///{path}").migrate()
    return path


@contextmanager
def _postgres(server: str) -> Iterator[_Place]:
    """A copy of a database that was migrated once."""
    template, name = _migrated_database(server), f"faults_{id(object())}_{multiprocessing.current_process().pid}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy".encode())
        try:
            yield _Place(urlunsplit(urlsplit(server)._replace(path=f"/{name}")))
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@cache
def _migrated_database(server: str) -> str:
    name = f"faults_template_{multiprocessing.current_process().pid}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    open_warehouse(urlunsplit(urlsplit(server)._replace(path=f"/{name}"))).migrate()
    return name
