"""Who has a DuckDB file open: one process at a time, and in it one thread at a time opens or closes.

DuckDB locks the file itself, and that is not enough, for what it does before (seen in 2.0: the system calls of one
`connect`). It reads the file's headers by a descriptor without a lock, closes that, and only then opens and locks the
file; it does not read the headers again. So who opens while another process is about to close works on with the state
before that one's commit, and the commit is lost without a word. And a process loses all its locks on a file with the
first descriptor of it that any of its threads closes: a thread that opens lets other processes in where another thread
is still closing. Both happened here; after some of it no program could open the file again.

Here belongs only the door; opening, waiting and what errors mean belong to `duckdb_file.py`. A program that is not the
pipeline takes no notice of it and has DuckDB's own lock only.
"""

import contextlib
import fcntl
import os
import threading
from pathlib import Path

import duckdb


class Door:
    """The door of one file, for all threads of this process. Its lock is on a file of its own, `NAME.lock`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = path.with_name(f"{path.name}.lock")
        self._turn = threading.Lock()
        self._inside = 0
        self._key = -1

    def enter(self, config: dict[str, str | bool | int | float | list[str]]) -> duckdb.DuckDBPyConnection:
        """Open the file. Raises `BlockingIOError` where another process is inside, and DuckDB's errors."""
        with self._turn:
            if not self._inside:
                self._take()
            try:
                connection = duckdb.connect(str(self._path), config=config)
            except BaseException:
                self._give_back()
                raise
            self._inside += 1
            return connection

    def leave(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Close the file."""
        with self._turn:
            try:
                connection.close()
            finally:
                self._inside -= 1
                self._give_back()

    def _take(self) -> None:
        # this lock too would go with any descriptor that is closed: there is never more than the one
        key = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(key, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(key, 20).decode(errors="replace").strip()
            os.close(key)
            # in DuckDB's own words for the same
            said = f'Could not set lock on file "{self._path}": Conflicting lock is held in another run (PID {holder})'
            raise BlockingIOError(said) from error
        self._key = key
        # only to be told: a disk that is full does not keep anybody out
        with contextlib.suppress(OSError):
            os.ftruncate(key, 0)
            os.pwrite(key, f"{os.getpid()}\n".encode(), 0)

    def _give_back(self) -> None:
        if not self._inside:
            os.close(self._key)


_DOORS: dict[Path, Door] = {}
_DOORS_GUARD = threading.Lock()


def door_of(path: Path) -> Door:
    """Return the one door of a file, given by its absolute path."""
    with _DOORS_GUARD:
        return _DOORS.setdefault(path, Door(path))
