"""One run of the pipeline's core, here or in a process of its own in which something is killed at one of its moments.

A moment is the instant before or after a request to the broker or a statement to the database (see `moments.py`). Here
belongs how a run is started and what is killed; when, and what is right afterwards, belongs to the tests.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, Self
from unittest.mock import patch

import tastytrade  # noqa: F401 - `connect` imports it when it is first needed: here once for all processes

from tasty_pipeline.core import sync
from tasty_pipeline.core.broker import BrokerConfig, Credentials, api, connect, windows
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import Run, Sync
from tasty_pipeline.core.warehouse import duckdb_file, open_warehouse

from . import PROCESSES
from .moments import Watched

Victim = Literal["process", "backend", "server"]

IMPATIENT: dict[str, Any] = {
    "requests_per_second": 5000.0,
    "retry_budget_seconds": 0.05,
    "first_backoff_seconds": 0.005,
    "timeout_seconds": 5.0,
}


@dataclass(frozen=True)
class Work:
    """What a run synchronises: the tables of `what`, of these accounts, history from `start` to `end`."""

    what: str
    accounts: tuple[str, ...]
    start: date
    end: date
    confirm: bool = False

    def __str__(self) -> str:
        return f"{self.what} of {', '.join(self.accounts)} from {self.start} to {self.end}"


@dataclass(frozen=True)
class Task:
    """One run: whom to read, where to write, when it is; at which moment to kill what, or how many seconds after it.

    The victim is the run's own process, the one of Postgres that serves it, or all of the server in the folder
    `cluster`. A DuckDB warehouse is published to `copy` in the end; with `log_beside` its file is taken for a large
    one, whose log stays beside it.
    """

    url: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    warehouse: str
    work: Work
    run_id: str
    now: datetime
    history_start: date
    connection: str = "default"
    in_flight: int = 8
    kill_at: int | None = None
    seconds_after: float = 0
    victim: Victim = "process"
    cluster: str = ""
    copy: str = ""
    log_beside: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended: which moments it had, whether it was killed, and what it said where it failed.

    `struck` says whether the victim was there to be killed. One that was killed has no moments, unless what was to be
    cut in two was over before.
    """

    moments: tuple[str, ...] = ()
    killed: bool = False
    struck: bool = False
    kind: str = ""
    said: str = ""

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return not self.killed and not self.kind


# the tables that each sync writes
PARTS: dict[str, tuple[str, ...]] = {
    "accounts": ("accounts",),
    "portfolio": ("positions", "balances"),
    "transactions": ("transactions",),
    "snapshots": ("balance_snapshots",),
    "verify": ("transactions",),
}
WHATS = ("accounts", "portfolio", "transactions", "snapshots", "everything", "verify")


@contextmanager
def short_pages(rows: int, target: int) -> Iterator[None]:
    """Ask for so few rows a page, and cut windows to so many, that a short history makes several windows."""
    with (
        patch.object(windows, "PAGE_ROWS", rows),
        patch.object(windows, "TARGET_ROWS", target),
        patch.object(api, "PAGE_ROWS", rows),
    ):
        yield


async def _do(s: Sync, work: Work) -> None:
    everything = work.what == "everything"
    if work.what == "accounts" or everything:
        await sync.sync_accounts(s)
    for account in work.accounts:
        if work.what == "portfolio" or everything:
            await sync.sync_portfolio(s, account)
        if work.what == "transactions" or everything:
            await sync.sync_transactions(s, account, work.start, work.end)
        if work.what == "snapshots" or everything:
            await sync.sync_snapshots(s, account, work.start, work.end)
        if work.what == "verify":
            await sync.verify_totals(s, account)


def here(task: Task) -> Outcome:
    """Run in this process. Raises whatever is not one of the pipeline's own errors."""

    async def connected() -> None:
        config = BrokerConfig(url=task.url, in_flight=task.in_flight, **IMPATIENT)
        async with connect(Credentials(task.secret, task.token), config) as broker:
            run = Run(
                run_id=task.run_id,
                environment="simulator",
                history_start=task.history_start,
                connection=task.connection,
                confirm_removal=task.work.confirm,
                now=lambda: task.now,
            )
            warehouse = open_warehouse(task.warehouse, wait_seconds=20)
            await _do(Sync(broker=broker, warehouse=warehouse, run=run), task.work)
            if task.copy:
                warehouse.publish_copy(Path(task.copy))

    try:
        asyncio.run(connected())
    except TastyError as error:
        return Outcome(kind=type(error).__name__, said=str(error))
    return Outcome()


_LONGEST_SECONDS = 120


def apart(task: Task, run: Callable[[Task], Outcome] = here) -> Outcome:
    """Run in a process of its own. Raises RuntimeError where it ends as no run may: without a word, or not at all."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_run, args=(task, theirs, run))
    process.start()
    theirs.close()
    try:
        if not ours.poll(_LONGEST_SECONDS):
            process.kill()
            raise RuntimeError(f"the run hung: {task.work}")
        outcome: Outcome = ours.recv()
    except EOFError:
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the run ended with {process.exitcode}: {task.work}") from None
        return Outcome(killed=True, struck=True)
    process.join()
    return outcome


def _run(task: Task, pipe: Any, run: Callable[[Task], Outcome]) -> None:
    with _Doom(task, pipe) as doom:
        outcome = run(task)
    pipe.send(Outcome(moments=tuple(doom.passed), struck=doom.struck, kind=outcome.kind, said=outcome.said))


class _Doom:
    """Counts the moments of a run in this process, which is thrown away afterwards, and kills at the chosen one."""

    def __init__(self, task: Task, pipe: Any) -> None:
        self.passed: list[str] = []
        self.struck = False
        self._task = task
        self._pipe = pipe
        self._coming: threading.Timer | None = None
        self._watched = Watched(self._moment)
        if task.log_beside:
            duckdb_file._LARGE = 0  # noqa: SLF001 - so that a small file does for a large one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._coming is not None:
            self._coming.cancel()

    def _moment(self, what: str) -> None:
        self.passed.append(what)
        if self._coming is not None and not self.struck:
            # what was to be cut in two is over already: the one who waits is told so, then it is killed after it
            self._coming.cancel()
            if self._task.victim == "process":
                self._pipe.send(Outcome(moments=tuple(self.passed), killed=True, struck=True))
            self._strike()
        if len(self.passed) == self._task.kill_at:
            if self._task.seconds_after:
                self._coming = threading.Timer(self._task.seconds_after, self._strike)
                self._coming.start()
            else:
                self._strike()

    def _strike(self) -> None:
        victims = {"process": self._process, "backend": self._backend, "server": self._server}[self._task.victim]()
        self.struck = bool(victims)
        for each in victims:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def _process(self) -> list[int]:
        return [os.getpid()]

    def _backend(self) -> list[int]:
        backend = self._watched.backend
        return [] if backend is None else [backend]

    def _server(self) -> list[int]:
        postmaster = (Path(self._task.cluster) / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="utf-8").split()
        return [int(postmaster), *map(int, children)]
