"""Where a warehouse can be put back as it was and looked at as a crash has left it: a DuckDB file, a Postgres server.

Here belongs only copying, starting and stopping; what is run in a warehouse, and what must be true of it, does not.
"""

import runpy
import shutil
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import duckdb
import psycopg

from tasty_pipeline.core.warehouse import DUCKDB_CONFIG

_POSTGRES = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "monolith" / "postgres.py"))
_FILE, _COPY = "warehouse.duckdb", "copy.duckdb"
_EXPECTED = {_FILE, f"{_FILE}.wal", _COPY}
# a commit is told only when it is the operating system's
_COMMITS = "-c synchronous_commit=on"
_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"


class Bed(Protocol):
    """One warehouse. Whatever was done to it, `put_back` makes it what it was at `keep`; without that, nothing."""

    copy: str
    cluster: str

    @property
    def url(self) -> str:
        """The URL of the warehouse."""

    def keep(self) -> None:
        """Let what is there be the old state."""

    def put_back(self) -> None:
        """Make it the old state again."""

    def revive(self, *, crashed: bool) -> None:
        """Start what a crash has stopped; of a file, lay a copy aside, since reading it can mend it."""

    @property
    def left(self) -> str:
        """The URL of what the crash has left, for reading only."""

    def kept_open(self, url: str) -> AbstractContextManager[object]:
        """Keep a file open in this process, of which the first then finds what a crash has left, and nobody later."""

    def files(self) -> list[tuple[str, int]]:
        """Return what a crash has left of files, each with its size."""

    def litter(self) -> list[str]:
        """Return the files that do not belong there."""


class FileBed:
    """A folder with a DuckDB file, its log and its published copy."""

    cluster = ""

    def __init__(self, folder: Path) -> None:
        self._place, self._kept, self._aside = (folder / name for name in ("place", "kept", "aside"))
        self._place.mkdir(parents=True)
        self.url = f"duckdb:///{self._place / _FILE}"
        self.copy = str(self._place / _COPY)
        self.left = f"duckdb:///{self._aside / _FILE}"
        self.keep()

    def keep(self) -> None:
        _replace(self._place, self._kept)

    def put_back(self) -> None:
        _replace(self._kept, self._place)

    def revive(self, *, crashed: bool) -> None:  # noqa: ARG002 - a file has no server
        _replace(self._place, self._aside)

    def kept_open(self, url: str) -> AbstractContextManager[object]:
        path = Path(url.removeprefix("duckdb:///"))
        # the first sync's crash may have left none
        return duckdb.connect(str(path), config=DUCKDB_CONFIG) if path.exists() else nullcontext()

    def files(self) -> list[tuple[str, int]]:
        # the size of a lock is the length of a process's number
        return sorted((each.name, each.stat().st_size) for each in self._aside.iterdir() if each.suffix != ".lock")

    def litter(self) -> list[str]:
        # a file that was just being made (`.new`, empty, or the warehouse's second name) is left: nobody can tell
        # whether its maker is alive; and a `.lock` belongs there
        names = (each.name for each in self._place.iterdir() if each.suffix not in {".new", ".lock"})
        return sorted(name for name in names if name not in _EXPECTED)


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


class ServerBed:
    """A Postgres server of its own, in a folder, with a database that is made anew from a template.

    It does not wait for the disk: what a killed process wrote is the operating system's already, and only a loss of
    power could take it.
    """

    copy = ""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self.cluster = str(folder / "data")
        self._server = stack.enter_context(ExitStack())
        self._numbers = count()
        self._template, self._name = "template0", ""
        self._start()
        self.put_back()

    @property
    def url(self) -> str:
        return str(urlunsplit(urlsplit(self._admin)._replace(path=f"/{self._name}")))

    @property
    def left(self) -> str:
        return self.url

    def keep(self) -> None:
        self._template, self._name = self._name, ""

    def put_back(self) -> None:
        with psycopg.connect(self._admin, autocommit=True) as admin:
            if self._name:
                admin.execute(f"DROP DATABASE {self._name} WITH (FORCE)".encode())
            self._name = f"warehouse_{next(self._numbers)}"
            admin.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._template} STRATEGY file_copy".encode())
            self._before = self._checkpointer(admin)  # it changes when the server recovers

    def revive(self, *, crashed: bool) -> None:
        """Wait until no session of a killed run is left, and where the server lost a process, until it is up anew."""
        while True:
            try:
                with psycopg.connect(self._admin, autocommit=True) as admin:
                    if crashed and self._checkpointer(admin) == self._before:
                        continue
                    if admin.execute(_SESSIONS, (self._name,)).fetchone() == (0,):
                        return
            except psycopg.OperationalError as error:
                if "refused" in str(error):
                    self._server.close()
                    self._start()

    def kept_open(self, url: str) -> AbstractContextManager[object]:  # noqa: ARG002 - there is no file
        return nullcontext()

    def files(self) -> list[tuple[str, int]]:
        return []

    def litter(self) -> list[str]:
        return []

    def _start(self) -> None:
        self._admin = self._server.enter_context(_POSTGRES["serve"](self._folder, kept=False, options=_COMMITS))

    @staticmethod
    def _checkpointer(admin: psycopg.Connection[Any]) -> Any:
        return admin.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'").fetchone()
