"""Canary credentials in every place that they can enter, runs of every kind, and a search of all that these left.

Here belong the canaries, the spellings that they are looked for in, and where anything that was told or kept is found:
outputs, log records, warnings, errors with all that hangs on them, every file, every table, Dagster's databases.
"""

import base64
import contextlib
import functools
import io
import json
import logging
import os
import sqlite3
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from urllib.parse import quote, quote_plus

import dagster as dg
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sealing import keys_if_any
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.warehouse import open_warehouse

# of loggers, the ones that could tell most; the rest are asked through the root
LOUD = ("httpx2", "httpcore2", "httpcore2.http11", "httpcore2.connection", "tastytrade", "asyncio", "psycopg")


@dataclass
class Canaries:
    """Credentials by what they are."""

    known: dict[str, str] = field(default_factory=dict)

    def found(self, text: str) -> list[str]:
        """Which of them a text holds, plainly or in another spelling."""
        return [name for name, value in self.known.items() if any(each in text for each in spellings(value))]


@functools.cache
def spellings(value: str) -> set[str]:
    """How a text may hold a value: as it is, as in a URL, in JSON, in hexadecimal, in base64 wherever it begins."""
    plain = value.encode()
    coded = {base64.b64encode(b"." * shift + plain).decode()[4 if shift else 0 :][:-4] for shift in range(3)}
    coded |= {each.replace("+", "-").replace("/", "_") for each in coded}
    return {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], plain.hex(), *coded}


class Listening(logging.Handler):
    """Keeps every record, with its arguments and its exception."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.told += [record.getMessage(), str(vars(record)), *(all_of(error) if error else [])]


def all_of(error: BaseException) -> list[str]:
    """Everything that hangs on an error, shown or suppressed."""
    told, seen = ["".join(traceback.format_exception(error))], set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        told += [str(each), repr(each), repr(vars(each)), *getattr(each, "__notes__", ())]
        waiting += [each.__cause__, each.__context__]
    return told


@contextlib.contextmanager
def overheard(told: list[str]) -> Iterator[None]:
    """Add to `told` what is printed, by this process or its children, logged and warned of."""
    listening, root, out, err = Listening(), logging.getLogger(), io.StringIO(), io.StringIO()
    loggers = [root, *map(logging.getLogger, LOUD)]
    levels = [each.level for each in loggers]
    root.addHandler(listening)
    for each in loggers:
        each.setLevel(logging.DEBUG)
    with tempfile.TemporaryFile() as file, contextlib.ExitStack() as stack:
        kept = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        warned = stack.enter_context(warnings.catch_warnings(record=True))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            yield
        finally:
            for number, before in kept:
                os.dup2(before, number)
                os.close(before)
            root.removeHandler(listening)
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
            file.seek(0)
            told += [file.read().decode(errors="replace"), out.getvalue(), err.getvalue(), *listening.told]
            told += [str(each.message) for each in warned]


def kept_in(folder: Path, *, without: Path | None = None) -> Iterator[tuple[str, str]]:
    """Every file below a folder as text; a SQLite file also row by row, as its pages cut long texts in pieces."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != without:
            name = str(path.relative_to(folder))
            yield name, path.read_bytes().decode(errors="replace")
            if path.suffix == ".db":
                with contextlib.closing(sqlite3.connect(path)) as database:
                    yield name, "\n".join(database.iterdump())


def tables_of(url: str) -> Iterator[tuple[str, str]]:
    """Every table of a warehouse as text."""
    with open_warehouse(url).read() as reader:
        for table in schema.METADATA.sorted_tables:
            yield f"table {table.name}", str(reader.rows(sa.select(table)))


def told_by_dagster(instance: dg.DagsterInstance) -> Iterator[tuple[str, str]]:
    """Every run with its configuration and tags, and every event of it with its metadata."""
    for run in instance.get_runs():
        yield "a run", f"{run} {run.run_config} {run.tags}"
        for event in instance.all_logs(run.run_id):
            yield "an event", f"{event} {event.dagster_event!r}"


@dataclass
class Watch:
    """One folder in which commands and runs leave what they leave; `leaks` are those that were found so far."""

    folder: Path
    canaries: Canaries
    keys: Path
    leaks: list[str] = field(default_factory=list)
    searched: int = 0

    def search(self, what: str, found: Iterator[tuple[str, str]]) -> None:
        """Look for every canary in texts, each with the name of its place."""
        for pair in keys_if_any(self.keys) if self.keys.exists() else ():
            self.canaries.known[f"private key {pair.key_id}"] = pair.private.hex()
            self.canaries.known[f"private key {pair.key_id} in base64"] = base64.b64encode(pair.private).decode()
        for place, text in found:
            self.searched += len(text)
            for name in self.canaries.found(text):
                leak = f"{what}: the {name} in {place}"
                if leak not in self.leaks:
                    self.leaks.append(leak)

    def during(self, what: str, action: Callable[[], object], **variables: str) -> object:
        """Do something with only these variables set, and search what it told and kept; an error of ours is told."""
        told: list[str] = []
        answer: object = None
        environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        with contextlib.chdir(self.folder), patch.dict(os.environ, environment | variables, clear=True):
            try:
                with overheard(told):
                    answer = action()
            except (TastyError, SystemExit) as error:
                told += all_of(error)
                answer = error
        self.search(what, iter([("what was told", "\n".join(told))]))
        return answer

    def ended(self, url: str) -> None:
        """Search what is left in the end: every file, and every table of the warehouse."""
        self.search("afterwards", kept_in(self.folder, without=self.keys))
        self.search("afterwards", tables_of(url))
