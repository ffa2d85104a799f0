"""`make bench`: how fast a sync is, beside other ways to do the same, on one machine in one run.

Sizes, databases, scenarios and latencies are crossed as `_plan` says; every measurement is a process of its own, and
its table is counted afterwards: a fast wrong answer is shown as wrong. Figures go to the terminal, to
`results/sync.json` and from there, with those of the other benchmarks, to docs/performance.md. What a measurement is
belongs to `measuring.py`, what is made of many to `report.py`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import results
import tables
from cases import Case, Measurement
from contestants import DATABASES, DLT, DLT_ARROW, DUCKDB, OURS, SCENARIOS, SDK, WAYS, Way
from measuring import FakeApi, fake_api, measure
from stores import Store, StoreOf, servers

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-bench" / "bin" / "python"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
LATENCIES = (0, 50, 150)  # ms
RATE = 10  # requests a second
# With latency and with a limit: this many rows, on one database, since neither asks anything of it.
FAR_ROWS, FAR_WAYS, FAR_SCENARIOS = 100_000, (OURS, DLT, DLT_ARROW, SDK), ("fresh", "late")
LARGE = 1_000_000  # rows that are measured once, where fewer are measured three times


def main() -> int:
    """Measure, print, write; returns 1 if a result of ours was wrong."""
    options = _options()
    found: list[Measurement] = []
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="tasty-bench-", ignore_cleanup_errors=True) as folder,
        servers(Path(folder), options.databases) as store_of,
    ):
        plan = list(_plan(options))
        for rows in sorted({case.rows for case in plan}):
            with fake_api(rows) as api:
                for case in plan:
                    if case.rows == rows:
                        run = _Run(api, case, store_of, Path(folder), options.peers)
                        repeat = options.repeat or (1 if rows >= LARGE else 3)
                        measured = list(_measured(run, options, repeat))
                        print("\n".join(["", *tables.of_case(case, measured), ""]), flush=True)
                        found += measured
                        # what was measured stays, whatever happens to the rest
                        results.save_sync(results.merged(results.sync(), found)) if options.write else None
    print(f"{len(found)} measurements in {(time.monotonic() - began) / 60:.0f} minutes")
    if options.write:
        subprocess.run([options.peers, str(HERE / "report.py")], check=True)  # noqa: S603
    return int(any(each.wrong for each in found if each.way == OURS))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="ROWS")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="others are left out")
    parser.add_argument("--latencies", type=int, nargs="+", default=LATENCIES, metavar="MS")
    parser.add_argument("--rate", type=int, default=RATE, help="the limit to be measured with; 0 for none")
    parser.add_argument("--repeat", type=int, default=0, help="instead of three times, and once at a million")
    parser.add_argument("--peers", default=str(PEERS), metavar="PYTHON", help="of the peers' environment")
    parser.add_argument("--no-write", dest="write", action="store_false", help="only print")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Iterator[Case]:
    for rows in options.sizes:
        for database in options.databases:
            if 0 in options.latencies:
                yield Case(rows, database)
            if rows != FAR_ROWS or database != DUCKDB:
                continue
            yield from (Case(rows, database, latency=latency) for latency in options.latencies if latency)
            if options.rate:
                yield Case(rows, database, rate=options.rate)


@dataclass(frozen=True)
class _Run:
    """What one case is measured with; each repetition asks every way in turn, so that all meet the same machine."""

    api: FakeApi
    case: Case
    store_of: StoreOf
    folder: Path
    peers: str

    @contextmanager
    def store(self, way: Way) -> Iterator[Store]:
        """A new database, with the pipeline's tables if the way is ours."""
        with self.store_of(self.case.database) as store:
            if way.own:
                store.migrate()
            yield store

    def place(self) -> AbstractContextManager[str]:
        """A folder for what a way keeps between its runs."""
        return tempfile.TemporaryDirectory(dir=self.folder)


def _measured(run: _Run, options: argparse.Namespace, repeat: int) -> Iterator[Measurement]:
    case = run.case
    far = bool(case.latency or case.rate)
    for number in range(repeat):
        for way in WAYS.values():
            able = case.rows <= way.most_rows and case.database in way.databases and (not far or way.name in FAR_WAYS)
            if able and way.name in options.ways:
                scenarios = [each for each in way.scenarios if each in options.scenarios]
                yield from _one_way(run, way, [each for each in scenarios if not far or each in FAR_SCENARIOS], number)


def _one_way(run: _Run, way: Way, scenarios: list[str], number: int) -> Iterator[Measurement]:
    """All scenarios on one database, one on top of the other; the first loads it in any case."""
    case, api = run.case, run.api
    api.ask("reset")
    with run.store(way) as store, run.place() as place:
        for scenario in sorted({"fresh", *scenarios}, key=list(SCENARIOS).index):
            if scenario in {"late", "changed"}:
                api.ask(f"{'add' if scenario == 'late' else 'change'}?rows=10&seed={number}")
            shown = scenario in scenarios
            api.ask(f"settings?latency={case.latency if shown else 0}&rate={case.rate if shown else 0}")
            store.rest()
            python = sys.executable if way.own else run.peers
            each = measure(way, case, scenario, api, store, Path(place), python)
            print(tables.line(each), flush=True)
            if shown:
                yield each
            if each.wrong.startswith("failed"):
                return


if __name__ == "__main__":
    sys.exit(main())
