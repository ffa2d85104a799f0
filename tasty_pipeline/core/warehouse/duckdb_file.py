"""Opening a DuckDB file for a moment, waiting for whoever holds it, and saying what its errors mean.

DuckDB lets one process at a time open a file for writing, and while it does nobody else may even read. So the file is
open only inside `opened`, which closes it whatever happens: dagster-duckdb's own context manager does not when its
body raises, and the file then stays locked for every other process until the garbage collector comes by. That our own
processes and threads really take turns belongs to `duckdb_door.py`.

A small file holds everything whenever it is closed. Beside a large one a log of up to four megabytes may stand,
`NAME.wal`: what was committed last. The two belong together; every DuckDB that opens the file reads both.
"""

import random
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import duckdb

from tasty_pipeline.core.errors import (
    AuditError,
    ConfigurationError,
    TastyError,
    WarehouseError,
    WarehouseLockedError,
    WarehouseRightsError,
    WarehouseUnavailableError,
)
from tasty_pipeline.core.schema import SCHEMA
from tasty_pipeline.core.warehouse.duckdb_door import door_of

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]

# Within one process DuckDB shares an open file only between connections of equal configuration.
DUCKDB_CONFIG: dict[str, str | bool | int | float | list[str]] = {"custom_user_agent": "tasty_pipeline"}
# What 2.0 writes by itself cannot be opened by a reader that is still on 1.5.
STORAGE = "STORAGE_VERSION 'v1.5.0'"
# Closing writes the last 122,880 rows of every changed table anew, however few have come: in a file of this size that
# takes longer than the rest of a small sync. What has come stays in the log beside it then, until that is worth it.
# DuckDB takes ten rows of all columns for more than one megabyte when it decides that.
_LARGE = 16 * 2**20
_LOG_BESIDE = "PRAGMA disable_checkpoint_on_shutdown; SET wal_autocheckpoint = '4MiB'"
# the last is what two threads of one process get that open it at the same moment
_HELD = ("Could not set lock", "different configuration than existing connections", "Unique file handle conflict")
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.25


# DuckDB names the catalog after the file: where it is called as a schema is, nobody can tell what tasty.x means
_AMBIGUOUS = {SCHEMA, "pg_catalog"}


def refuse_ambiguous(path: Path) -> None:
    """Raise ConfigurationError for a file whose name would make every reader's `tasty.transactions` ambiguous."""
    if path.stem.lower() in _AMBIGUOUS:
        raise ConfigurationError(
            f"A DuckDB file cannot be called {path.name}: DuckDB takes {path.stem} for its catalog, and then "
            f"{SCHEMA}.transactions for a table in it.",
            "choose another name, such as warehouse.duckdb.",
        )


class DuckDBFile:
    """One file, opened when it is used."""

    def __init__(self, path: Path, label: str, connect: Connect | None, wait_seconds: float) -> None:
        self.path = path
        self._label = label
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._door = door_of(path)
        self._written: tuple[int, int] | None = None

    def refuse_another(self) -> None:
        """Raise WarehouseUnavailableError where the file is no longer the one that was written to; it is told once.

        What is committed to a file that somebody removed or replaced meanwhile goes where nobody will look.
        """
        found = None
        if self.path.exists():
            status = self.path.stat()
            found = (status.st_dev, status.st_ino)
        before, self._written = self._written, found
        if before not in {None, found}:
            raise WarehouseUnavailableError(
                f"The {self._label} was removed or replaced while it was written to.",
                "leave the file alone while a run goes on, and run this again: what is lacking now is read again.",
            )

    @contextmanager
    def opened(self, *, create: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file, with its folder where it is to be created, and close it in the end.

        Raises WarehouseLockedError after the wait, WarehouseUnavailableError for what is missing or no database, and
        WarehouseRightsError for what may not be read and written.
        """
        own = self._wait_for_it(create=create)
        try:
            if self._connect is None:
                yield own
                return
            # Ours stays open meanwhile: theirs joins it at once instead of starting a wait of its own, of minutes.
            with ExitStack() as stack:
                with explained(self._label):
                    theirs = stack.enter_context(self._connect())
                stack.callback(theirs.close)
                yield theirs
        finally:
            self._door.leave(own)

    def _wait_for_it(self, *, create: bool) -> duckdb.DuckDBPyConnection:
        deadline, pause = time.monotonic() + self._wait_seconds, _FIRST_PAUSE
        while True:
            try:
                with explained(self._label):
                    return self._open(create=create)
            except WarehouseLockedError:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
            # jitter, so that two who wait do not keep meeting
            time.sleep(min(left, pause * random.uniform(0.5, 1.5)))  # noqa: S311 - not for secrets
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _open(self, *, create: bool) -> duckdb.DuckDBPyConnection:
        if not self.path.exists():
            if not create:
                raise WarehouseUnavailableError(
                    f"The {self._label} does not exist.", "check TASTY_WAREHOUSE_URL, or run a sync, which creates it."
                )
            self._create()
        connection = self._door.enter(DUCKDB_CONFIG)
        try:
            if self.path.stat().st_size >= _LARGE:
                connection.execute(_LOG_BESIDE)
        except BaseException:
            self._door.leave(connection)
            raise
        return connection

    def _create(self) -> None:
        """Put a new, empty database in place in one step: opened half-made by another process, it would be damaged."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # not the process's number: in a container every start has the same, and would find what a killed one left
        unfinished = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex[:12]}.new")
        try:
            with duckdb.connect(":memory:") as creator:
                creator.execute(f"ATTACH {quoted(unfinished)} AS created ({STORAGE})")
                creator.execute("DETACH created")
            try:
                self.path.hardlink_to(unfinished)
            except FileExistsError:
                return  # another process was faster
            except OSError:
                unfinished.rename(self.path)  # a file system without hard links
        finally:
            unfinished.unlink(missing_ok=True)


def quoted(value: object) -> str:
    """Write a path or another value as a SQL string."""
    return "'" + str(value).replace("'", "''") + "'"


@contextmanager
def explained(label: str) -> Iterator[None]:
    """Turn DuckDB's and the file system's errors into the taxonomy; errors of our own statements pass as they are."""
    try:
        yield
    except (duckdb.ParserException, duckdb.BinderException):
        raise
    except (duckdb.Error, OSError) as error:
        raise _meaning(error, label) from error


def _meaning(error: duckdb.Error | OSError, label: str) -> TastyError:
    text = str(error).partition("\n")[0]
    if any(sign in text for sign in _HELD):
        return _locked(text, label)
    # before the error's class: a full disk during COMMIT comes as a TransactionException
    for kind, what, remedy, signs in _SIGNS:
        if any(sign in text for sign in signs):
            return kind(f"The {label} {what} ({text}).", remedy)
    if isinstance(error, duckdb.TransactionException):
        return _locked(text, label)
    if isinstance(error, duckdb.ConstraintException):
        return AuditError(
            f"The {label} refused rows that break a rule of their table ({text}).",
            "nothing was written; report it with this text, the rows should have been refused earlier.",
        )
    return WarehouseError(
        f"The {label} could not be used ({text}).", "nothing was written; mend it and run this again."
    )


def _locked(text: str, label: str) -> WarehouseLockedError:
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", text)
    if holder:
        return WarehouseLockedError(
            f"The {label} is held open by process {holder[2]} ({holder[1]}).",
            "close the program with that PID (a shell, a notebook or another run), or wait until it is done, and run "
            "this again; readers can use the published copy, which nobody needs to lock.",
        )
    return WarehouseLockedError(
        f"The {label} is in use in a way that excludes ours ({text}).",
        "close other connections to it in this process and run this again.",
    )


# (class, what happened, what to do, any of which words DuckDB or the system used for it)
_SIGNS: tuple[tuple[type[WarehouseError], str, str, tuple[str, ...]], ...] = (
    (
        WarehouseRightsError,
        "or its folder may not be written",
        "let the pipeline's user write the file and its folder, or set TASTY_WAREHOUSE_URL to another place.",
        ("Permission denied", "Read-only file system", "Operation not permitted"),
    ),
    (
        WarehouseError,
        "could not be written because the disk is full",
        "make room and run this again; what was committed before is intact.",
        ("No space left", "File too large", "quota exceeded"),
    ),
    (
        WarehouseUnavailableError,
        "was written by a newer DuckDB than the one installed here",
        "upgrade the package duckdb.",
        ("Trying to read a database file with version number", "older version of DuckDB"),
    ),
    (
        WarehouseUnavailableError,
        "and the .wal beside it are not of one moment",
        "put back the pair that belongs together, or move the .wal away: what is lacking then is read again.",
        ("WAL does not match", "WAL was created for"),
    ),
    (
        WarehouseUnavailableError,
        "cannot be read together with the .wal beside it",
        "restore a backup of both, or move the .wal away: what is lacking then is read again.",
        ("Failure while replaying WAL",),
    ),
    (
        WarehouseUnavailableError,
        "is damaged or is not a DuckDB database",
        "check TASTY_WAREHOUSE_URL; restore a backup, or move the file away and sync the whole history anew.",
        (
            "not a valid DuckDB database file",
            "Could not read enough bytes",
            "Corrupt database file",
            "checksum",
            "Is a directory",
            "Not a directory",
            "File exists",
        ),
    ),
    (
        WarehouseError,
        "has no such table",
        "run a sync or `tasty-pipeline doctor`: the tables are made on first use.",
        ("Catalog Error: Table with name",),
    ),
)
