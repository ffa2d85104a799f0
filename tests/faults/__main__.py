"""The harness by hand: `python -m faults NAME --number N --seed S`, with `tests` on the path; the Makefile does it.

Here belongs what a search is given: a Postgres server, empty warehouses, how many processes. Each search prints what it
tried and what broke, and how to see a broken one again; the command then ends with 1.
"""

import argparse
import random
import runpy
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tasty_pipeline.core.warehouse import open_warehouse

from . import (
    at_once,
    bad_answers,
    clock,
    crashes,
    damage,
    disks,
    drift,
    drift_of_contract,
    fuzzing,
    money,
    naive,
    pager,
    paging,
    schedules,
    servers,
    torn,
)
from .tally import Tally
from .world import OURS

BOTH = ("duckdb", "postgres")
LOG = "duckdb with a log"
_SERVE = Path(__file__).parents[2] / "examples" / "monolith" / "postgres.py"
_HBA = "host all all 127.0.0.1/32 trust\nlocal all all trust\n"


@dataclass
class Given:
    """What was asked for on the command line, and where a search may work."""

    number: int
    seed: int
    databases: tuple[str, ...]
    processes: int
    first: int
    only: str | None
    python: str
    folder: Path
    stack: ExitStack

    @cached_property
    def server(self) -> str:
        """The URL of a Postgres server of our own, started when it is first needed."""
        serve = runpy.run_path(str(_SERVE))["serve"]
        return str(self.stack.enter_context(serve(self.folder / "postgres", kept=False, hba=_HBA)))

    def empty(self, database: str, *, migrated: bool = False) -> str:
        """The URL of a new, empty warehouse."""
        name = f"faults_{uuid.uuid4().hex[:12]}"
        url = f"duckdb:///{self.folder / name}.duckdb"
        if database == "postgres":
            with psycopg.connect(self.server, autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
            url = urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))
        if migrated:
            open_warehouse(url).migrate()
        return url


def _schedules(given: Given) -> Iterator[Tally]:
    """The runs are the core's, or with `only` dagster Dagster's."""
    for database in given.databases:
        server = given.server if database == "postgres" else ""
        yield schedules.search(
            seed=given.seed,
            schedules=given.number,
            database=database,
            server=server,
            processes=given.processes,
            first=given.first,
            dagster=given.only == "dagster",
        )


def _crashes(given: Given) -> Iterator[Tally]:
    """All points where no number is given; `only` names one victim."""
    victims = {"postgres": ("process", "backend", "server")}
    for database in (*given.databases, *([LOG] if "duckdb" in given.databases else [])):
        for scene in crashes.SCENES:
            yield from crashes.search(
                seed=given.seed,
                database=database,  # type: ignore[arg-type]
                scene=scene,
                victims=(given.only,) if given.only else victims.get(database, ("process",)),  # type: ignore[arg-type]
                points=given.number,
                cuts=given.number or 100,
                workers=given.processes,
            )


def _torn(given: Given) -> Iterator[Tally]:
    for database in given.databases:
        where = given.empty(database)
        yield torn.search(seed=given.seed, reads=given.number, database=where, folder=given.folder)


def _at_once(given: Given) -> Iterator[Tally]:
    for database in given.databases:
        yield at_once.search(seed=given.seed, rounds=given.number, database=given.empty(database))


def _paging(given: Given) -> Iterator[Tally]:
    """Exhaustively, and so many of two or three changes besides."""
    yield paging.search(seed=given.seed, drawn=given.number, only=given.only)


def _drift(given: Given) -> Iterator[Tally]:
    """All points where no number is given."""
    yield drift.search(seed=given.seed, syncs=given.number or None, only=given.only)


def _pager(given: Given) -> Iterator[Tally]:
    """Every single lie, and so many servers besides."""
    yield pager.search(seed=given.seed, examples=given.number)


def _cases(search: Callable[..., Tally]) -> Callable[[Given], Iterator[Tally]]:
    """All cases where no number is given; `only` names one to play it again."""

    def tried(given: Given) -> Iterator[Tally]:
        for database in given.databases:
            server = given.server if database == "postgres" else database
            only = (given.only,) if given.only else ()
            yield search(seed=given.seed, count=given.number or None, database=server, only=only)

    return tried


def _money(given: Given) -> Iterator[Tally]:
    for database in given.databases:
        yield money.search(seed=given.seed, amounts=given.number, database=given.empty(database))


def _clock(given: Given) -> Iterator[Tally]:
    """The number is of minutes between two looks."""
    for database in given.databases:
        yield clock.search(seed=given.seed, every=given.number, database=given.empty(database))


def _servers(given: Given) -> Iterator[Tally]:
    for database in given.databases:
        yield servers.search(seed=given.seed, moments=given.number, database=database)


def _fuzzing(given: Given) -> Iterator[Tally]:
    yield fuzzing.search(seed=given.seed, examples=given.number, database=given.empty("duckdb", migrated=True))


def _naive(given: Given) -> Iterator[Tally]:
    """Print the comparison; what the naive ways break breaks no promise of ours."""
    with naive.way("per_row", given.python) as per_row, naive.way("io_manager", given.python) as io_manager:
        ways = [("this pipeline", OURS), ("exists, then create", per_row), ("DuckDB pandas I/O manager", io_manager)]
        counted = naive.beside(seed=given.seed, schedules=given.number, ways=ways, first=given.first)
    print(naive.table(counted))
    ours = counted["this pipeline"]
    yield Tally("the same schedules, this pipeline", given.number, ["see above"] * ours["wrong"], seed=given.seed)


SEARCHES: dict[str, tuple[Callable[[Given], Iterable[Tally]], int]] = {
    "schedules": (_schedules, 100),
    "crashes": (_crashes, 0),
    "torn-reads": (_torn, 10_000),
    "at-once": (_at_once, 10),
    "paging": (_paging, 1_000),
    "drift": (_drift, 0),
    "pager": (_pager, 1_000),
    "answers": (_cases(bad_answers.search), 0),
    "contract": (_cases(drift_of_contract.search), 0),
    "money": (_money, 100_000),
    "clock": (_clock, 1),
    "servers": (_servers, 5),
    "disks": (lambda given: [disks.search(seed=given.seed, sizes=given.number)], 20),
    "damage": (lambda given: [damage.search(seed=given.seed, tries=given.number)], 20),
    "fuzzing": (_fuzzing, 1_000),
    "naive": (_naive, 20),
}


def main(arguments: list[str]) -> int:
    """Run one search; return 1 where a promise was broken."""
    asked = _parser().parse_args(arguments)
    search, number = SEARCHES[asked.name]
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tasty-faults-", ignore_cleanup_errors=True))
        )
        given = Given(
            number=number if asked.number is None else asked.number,
            seed=random.randrange(1_000_000) if asked.seed is None else asked.seed,  # noqa: S311 - no secret
            databases=tuple(asked.databases.split(",")),
            processes=asked.processes,
            first=asked.first,
            only=asked.only,
            python=asked.python,
            folder=folder,
            stack=stack,
        )
        broken = 0
        for tally in search(given):
            print(f"{tally}\n    {time.monotonic() - _BEGAN:,.0f} s", flush=True)
            broken += len(tally.broken)
    return bool(broken)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("name", choices=SEARCHES)
    parser.add_argument("--number", type=int, help="how many: schedules, reads, amounts, ... (each has a default)")
    parser.add_argument("--seed", type=int, help="the same seed tries the same again; any, without one")
    parser.add_argument("--databases", default=",".join(BOTH), help="duckdb, postgres, or both")
    parser.add_argument("--processes", type=int, default=1, help="of schedules and crashes: how many at once")
    parser.add_argument("--first", type=int, default=0, help="of schedules: the number of the first, to see one again")
    parser.add_argument("--only", help="of paging, drift, answers and contract: the name of one, to "
                        "see it again; of crashes: the victim; of schedules: dagster")  # fmt: skip
    parser.add_argument("--python", default=sys.executable, help="of naive: the interpreter that the ways run on")
    return parser


_BEGAN = time.monotonic()
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
