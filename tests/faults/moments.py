"""Where a run touches what is outside of it: every request, every statement, every file that it renames or removes.

Here belongs how these are noticed, in a process that is thrown away afterwards; nothing is put back. What happens at a
moment is up to `runs.py`.
"""

import asyncio
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from tasty_pipeline.core.broker import transport

_SHOWN = 70
Moment = Callable[[str], None]


class Watched:
    """Calls `moment` with words before and after each of them; `backend` is the newest session's process at Postgres.

    A commit is called `COMMIT`, one of a transaction that only reads `COMMIT of a reader`.
    """

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._only_reads = False
        self._asked = ""
        self._session: psycopg.Connection[Any] | None = None
        self._watch_requests()
        self._watch_files()
        self._watch_duckdb()
        self._watch_postgres()

    @property
    def backend(self) -> int | None:
        """The process that serves the open session, if one is open."""
        if self._session is None or self._session.closed:
            return None
        return self._session.info.backend_pid

    @contextmanager
    def _around(self, what: str) -> Iterator[None]:
        self._moment(f"before {what}")
        yield
        self._moment(f"after {what}")

    def _wrap(self, owner: Any, name: str, words: Callable[..., str]) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def called(*arguments: Any, **named: Any) -> Any:
            with self._around(words(*arguments)):
                return real(*arguments, **named)

        @functools.wraps(real)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            with self._around(words(*arguments)):
                return await real(*arguments, **named)

        setattr(owner, name, awaited if asyncio.iscoroutinefunction(real) else called)

    def _watch_requests(self) -> None:
        self._wrap(
            transport.ReadingTransport,
            "handle_async_request",
            lambda _, request: f"{request.method} {request.url.path}",
        )

    def _watch_files(self) -> None:
        for name in ("hardlink_to", "rename", "replace", "unlink"):
            self._wrap(Path, name, lambda path, *_, name=name: f"{name} {path.name}")
        self._wrap(os, "fsync", lambda _: "fsync")

    def _watch_duckdb(self) -> None:
        connection, relation = duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation
        self._wrap(duckdb, "connect", lambda path="a file": f"opening {Path(path).name}")
        self._wrap(connection, "close", lambda _: "closing")
        self._one_by_one(connection)
        real_sql, real_fetch = connection.sql, relation.to_arrow_table

        def sql(session: Any, text: str, **named: Any) -> Any:
            self._asked = _short(text)
            self._moment(f"before {self._asked}")
            return real_sql(session, text, **named)

        def fetch(found: Any) -> Any:
            rows = real_fetch(found)  # only here it is run
            self._moment(f"after {self._asked}")
            return rows

        connection.sql, relation.to_arrow_table = sql, fetch  # type: ignore[assignment, method-assign]

    def _watch_postgres(self) -> None:
        real_connect, real_copy = psycopg.connect, psycopg.Cursor.copy

        def connect(**settings: Any) -> Any:
            with self._around("connecting"):
                self._session = real_connect(**settings)
            return self._session

        @contextmanager
        def copy(cursor: Any, sql: Any, *rest: Any) -> Iterator[Any]:
            self._moment(f"before {_short(sql)}")
            with real_copy(cursor, sql, *rest) as stream:
                self._moment("while copying")
                yield stream
                self._moment("before the end of the copy")
            self._moment(f"after {_short(sql)}")

        psycopg.connect, psycopg.Cursor.copy = connect, copy  # type: ignore[assignment, method-assign]
        self._one_by_one(psycopg.Cursor)
        self._wrap(psycopg.Copy, "write", lambda *_: "a part of the copy")
        connection = psycopg.Connection
        self._wrap(connection, "commit", lambda session: f"COMMIT{' of a reader' if session.read_only else ''}")
        self._wrap(connection, "rollback", lambda _: "ROLLBACK")
        self._wrap(connection, "close", lambda _: "closing")

    def _one_by_one(self, owner: Any) -> None:
        """Watch `execute`; several statements in one text, as of the migrations, are run one after the other."""
        real = owner.execute

        @functools.wraps(real)
        def execute(session: Any, sql: Any, *rest: Any, **named: Any) -> Any:
            done = session
            for each in [sql] if any(rest) else statements(sql):
                if _short(each).startswith("BEGIN"):
                    self._only_reads = _short(each).endswith("READ ONLY")
                reads = self._only_reads and _short(each) == "COMMIT"
                with self._around(f"{_short(each)}{' of a reader' if reads else ''}"):
                    done = real(session, each, *rest, **named)
            return done

        owner.execute = execute


def statements(sql: str | bytes) -> list[str | bytes]:
    """Take a text apart where a semicolon ends a statement: outside of quotes and of a function's body."""
    text = sql if isinstance(sql, str) else sql.decode()
    found, part = [], ""
    for piece in text.split(";"):
        part += f"{piece};"
        if part.count("'") % 2 == 0 and part.count("$$") % 2 == 0:
            found.append(part.removesuffix(";").strip())
            part = ""
    found = [each for each in found if each]
    return [sql] if len(found) == 1 else [each if isinstance(sql, str) else each.encode() for each in found]


def _short(sql: str | bytes) -> str:
    text = sql if isinstance(sql, str) else sql.decode()
    lines = (line for line in text.splitlines() if not line.startswith("--"))
    return " ".join(" ".join(lines).split())[:_SHOWN]
