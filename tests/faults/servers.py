"""Databases that stop, restart, fill up, refuse, or are held by others, at every moment of a run.

Here belongs what a Postgres server, and another program on a DuckDB file, can do to a run; a new file on ever larger
disks is in `disks.py`, damaged files in `damage.py`. What must be right whatever happens is in `scene.py`.
"""

import functools
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from unittest.mock import patch

import psycopg
from warehouse.files import full_disk

from tasty_pipeline.core.spool import Spool
from tasty_pipeline.core.sync import window

from .places import CONNECTIONS, Place, Places, serving
from .scene import Expected, WrongError, staged
from .tally import Tally

_PATIENCE = 0.1
SHORT = 0.2  # less than a run waits


class SkippedError(Exception):
    """A trouble that this machine does not permit to make."""


Trouble = Callable[[Place], AbstractContextManager[object]]


def _stopped(how: str) -> Trouble:
    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        place.control("-m", how, "stop")
        try:
            yield
        finally:
            place.control("restart")  # with the options that it had

    return trouble


def _once(act: Callable[[Place], object]) -> Trouble:
    """Something that is over as soon as it has happened."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        act(place)
        yield

    return trouble


def _ours(place: Place) -> list[int]:
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tasty_pipeline' AND datname = %s"
    with psycopg.connect(place.server) as connection:
        return [row[0] for row in connection.execute(query, (place.name,)).fetchall()]


def _terminate(place: Place) -> None:
    with psycopg.connect(place.server) as connection:
        for pid in _ours(place):
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def _kill_backend(place: Place) -> None:
    """As the kernel does when memory is short: the server takes it for a crash and begins anew."""
    for pid in _ours(place):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(psycopg.OperationalError), psycopg.connect(place.server):
            return
        time.sleep(0.02)


@contextmanager
def _crowded(place: Place) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(psycopg.OperationalError):
            for _ in range(CONNECTIONS):
                stack.enter_context(psycopg.connect(place.server))
        yield


def _set(name: str, value: str) -> Trouble:
    """A setting that an administrator gives the database."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        place.administer(f"ALTER DATABASE {place.name} SET {name} = {value}")
        try:
            yield
        finally:
            place.administer(f"ALTER DATABASE {place.name} RESET {name}")

    return trouble


def _locked(mode: str, *, short: bool = False) -> Trouble:
    """Another session locks the tables as soon as it can."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        other = psycopg.connect(place.url, options="-c lock_timeout=100ms")
        letting_go = threading.Timer(SHORT, other.rollback)
        try:
            with suppress(psycopg.errors.LockNotAvailable):  # we hold them ourselves
                other.execute(f"LOCK TABLE tasty.transactions, tasty.positions IN {mode} MODE".encode())
            if short:
                letting_go.start()
            yield
        finally:
            letting_go.cancel()
            other.close()

    return trouble


@contextmanager
def _read_for_long(place: Place) -> Iterator[None]:
    """A transaction of somebody who reads, stays open, and in the end still sees what it saw."""
    query = b"SELECT md5(string_agg(t::text, '' ORDER BY transaction_id)) FROM tasty.transactions t"
    with psycopg.connect(place.url) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        seen = other.execute(query).fetchall()
        yield
        if other.execute(query).fetchall() != seen:
            raise WrongError("a reader's snapshot changed under it")


_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


def _held(*, short: bool = False) -> Trouble:
    """Another program takes the file, by the lock that DuckDB takes, as soon as it can."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        pipe = subprocess.PIPE
        with subprocess.Popen([sys.executable, "-IS", "-c", _HOLD, place.file], stdin=pipe, stdout=pipe) as holder:  # noqa: S603
            select.select([holder.stdout], [], [], _PATIENCE)  # longer where we have the file ourselves
            letting_go = threading.Timer(SHORT, holder.kill)
            try:
                if short:
                    letting_go.start()
                yield
            finally:
                letting_go.cancel()
                holder.kill()

    return trouble


def _restore_backup(place: Place) -> None:
    """What a person may do at a bad moment: the file of before in its place."""
    other = place.file.with_name("other")
    shutil.copy(place.file.with_name("old"), other)
    other.replace(place.file)


def _full(left: int) -> Trouble:
    """The server's disk has room for so many bytes."""

    @contextmanager
    def trouble(place: Place) -> Iterator[None]:
        if place.disk is None:
            raise SkippedError
        with place.disk.filled(left):
            yield
        with suppress(psycopg.OperationalError), psycopg.connect(place.server):
            return
        place.control("restart")  # it gave up

    return trouble


@contextmanager
def _no_growth(place: Place) -> Iterator[None]:
    """No file may grow beyond the size that ours has now."""
    with full_disk(place.file.stat().st_size if place.file.exists() else 0):
        yield


@contextmanager
def _little_room(_: Place) -> Iterator[None]:
    """Room for the log of a small part of what a run writes."""
    with full_disk(5_000):
        yield


@contextmanager
def _spool_full(_: Place) -> Iterator[None]:
    """Rows wait in files, and there is no room for them."""
    with patch.object(window, "Spool", functools.partial(Spool, rows_in_memory=0)), full_disk(0):
        yield


_GONE = "look after the server|start the server|wait until the server has started|may have happened or not"
_LOCKS = "keeps the same rows or tables locked|held the lock"
POSTGRES: dict[str, tuple[Trouble, Expected]] = {
    "stopped": (_stopped("fast"), Expected(None, _GONE)),
    "crashed": (_stopped("immediate"), Expected(None, _GONE)),
    "restarted": (_once(lambda place: place.control("-m", "fast", "restart")), Expected(None, _GONE)),
    "restarted after a crash": (
        _once(lambda place: place.control("-m", "immediate", "restart")),
        Expected(None, _GONE),
    ),
    "our connections ended": (_once(_terminate), Expected(None, _GONE)),
    "our backend killed": (_once(_kill_backend), Expected(None, _GONE)),
    "no connection left": (_crowded, Expected(None, "close idle connections or raise")),
    "made read-only": (_set("default_transaction_read_only", "on"), Expected(None, "read-only transaction")),
    "impatient": (_set("statement_timeout", "'2ms'"), Expected(None, "statement timeout.*statement_timeout")),
    "serializable": (_set("default_transaction_isolation", "serializable"), Expected(well=True)),
    "of other habits": (_set("DateStyle", "'SQL, DMY'"), Expected(well=True)),
    "with another path": (_set("search_path", "pg_temp, nowhere"), Expected(well=True)),
    "without room": (_full(0), Expected(None, f"make room|{_GONE}")),
    "with little room": (_full(200_000), Expected(None, f"make room|{_GONE}")),
    "without room for what waits": (_spool_full, Expected(None, "make room there")),
    "locked for long": (_locked("ACCESS EXCLUSIVE"), Expected(None, _LOCKS)),
    "locked for a moment": (_locked("ACCESS EXCLUSIVE", short=True), Expected(well=True)),
    "written by another": (_locked("SHARE ROW EXCLUSIVE"), Expected(None, _LOCKS)),
    "read for long": (_read_for_long, Expected(well=True)),
    "locked as readers do": (_locked("ACCESS SHARE"), Expected(well=True)),
}
_LACKING = "does not exist|removed or replaced"
DUCKDB: dict[str, tuple[Trouble, Expected]] = {
    "held for long": (_held(), Expected(None, "close the program with that PID")),
    "held for a moment": (_held(short=True), Expected(well=True)),
    "with little room": (_little_room, Expected(None, "disk is full")),
    "that cannot grow": (_no_growth, Expected(None, "disk is full")),
    "without room for what waits": (_spool_full, Expected(None, "make room there|disk is full")),
    "removed": (_once(lambda place: place.file.unlink()), Expected(None, _LACKING)),
    "put back as it was": (_once(_restore_backup), Expected(None, _LACKING)),
}


def _try(server: Places, name: str, moment: int, met: Counter[str]) -> None:
    """One trouble at one moment. Raises whatever is not as promised."""
    scene = server.scene
    trouble, expected = (POSTGRES if server.server else DUCKDB)[name]
    with server.place() as place:
        with ExitStack() as during:
            happened: list[object] = []
            outcome, _ = scene.run(place.url, moment, lambda: happened.append(during.enter_context(trouble(place))))
            if not happened:
                raise WrongError("the run was over before it could happen")
            met["runs that went on" if outcome.good else f"ended with {outcome.kind}"] += 1
            scene.judge(outcome, expected)
            scene.look(place.url)
        met[f"then {scene.look(place.url, whole=outcome.good)}"] += 1
        scene.finish(place.url)


def search(
    *,
    seed: int,
    moments: int,
    database: str,
    troubles: Sequence[str] = (),
    where: Sequence[int] = (),
    thorough: bool = True,
) -> Tally:
    """Try every trouble of a database (or those named) before a run and at so many moments drawn in the midst of it.

    `where` names the moments instead, to see a broken one again.
    """
    known = POSTGRES if database == "postgres" else DUCKDB
    tally = Tally(f"a {database} warehouse in trouble", seed=seed)
    chance = random.Random(seed)  # noqa: S311 - no secret
    with staged(thorough=thorough) as scene, serving(database, scene) as server:
        last = max(where, default=0) or server.moments
        for name in troubles or known:
            drawn = where or (0, *sorted(chance.sample(range(1, last + 1), min(moments, last))))
            for moment in drawn:
                tally.tried += 1
                try:
                    _try(server, name, moment, tally.notes)
                except SkippedError:
                    tally.tried -= 1
                    tally.notes[f"SKIPPED, this machine permits no disk of our own: {name}"] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is not what was promised
                    tally.broken.append(f"{name} at moment {moment} of {last}: {type(error).__name__} {error}")
    return tally
