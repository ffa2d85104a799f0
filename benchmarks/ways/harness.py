"""One measurement: what every way is given, what is timed, and what it says when it is done.

A way is a process of its own, `python ways/NAME.py '{"api": ...}'`, with a fresh interpreter. Its module imports all it
needs, defines one function that synchronises once, and hands that to `measured`. Imports are not in the seconds; they
are reported beside them. This module stands on the standard library alone: every environment can run it.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

_BEGAN = time.perf_counter()
PER_PAGE = 2000
IN_FLIGHT = 8


@dataclass(frozen=True)
class Task:
    """What to synchronise: an account's days `start` to `end` of the API at `api` into the database at `database`.

    `today` is the last day of the history. `folder` is kept between the runs of one way; `rate` is what the API allows
    in requests a second, 0 for no limit; `whole` says that `start` is the first day of the history.
    """

    api: str
    database: str
    account: str
    start: date
    end: date
    today: date
    folder: Path
    rate: float
    whole: bool

    @property
    def duckdb_file(self) -> str | None:
        """The path of the DuckDB file, None for Postgres."""
        return self.database.removeprefix("duckdb:///") if self.database.startswith("duckdb:") else None

    @property
    def path(self) -> str:
        """The path of the account's transactions."""
        return f"/accounts/{self.account}/transactions"

    @property
    def query(self) -> dict[str, str]:
        """How to ask for the pages: days where not all are wanted, and oldest first, as the API serves them fastest."""
        days = {} if self.whole else {"start-date": self.start.isoformat(), "end-date": self.end.isoformat()}
        return {**days, "sort": "Asc", "per-page": str(PER_PAGE)}


class Phases:
    """Seconds of named parts; what overlaps is counted in each."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """Count so much more."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, counted."""

        def counted(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.add(name, time.perf_counter() - began)

        return counted


def task() -> Task:
    """What the command line says."""
    given = json.loads(sys.argv[1])
    days = {name: date.fromisoformat(given[name]) for name in ("start", "end", "today")}
    return Task(**{**given, **days, "folder": Path(given["folder"])})


def measured(work: Callable[[], Any], phases: Phases | None = None) -> None:
    """Do it, and print what it took as one line of JSON."""
    imports = time.perf_counter() - _BEGAN
    before = resident()
    began, cpu = time.perf_counter(), _cpu()
    said = work()
    seconds, cpu = time.perf_counter() - began, _cpu() - cpu
    answer = {
        "seconds": seconds,
        "cpu": cpu,
        "peak_mb": peak(),
        "before_mb": before,
        "imports": imports,
        "phases": phases.seconds if phases else {},
        "said": said,
    }
    print(json.dumps(answer, default=str), flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def resident() -> float:
    """Memory held now, in MB."""
    return _status("VmRSS")


def peak() -> float:
    """The most memory that this process ever held, in MB, and with it that of its largest child.

    Not `ru_maxrss` of this process: that starts with what the process held that started it.
    """
    return _status("VmHWM") + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{name}:"))
