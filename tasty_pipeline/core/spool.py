"""Where typed rows wait until they are published: in memory, or in files of a temporary folder when they are many.

Here belongs only the waiting. The rows of one reading go in together under a number, can be taken out again by it (to
compare a second reading, or to read them anew), and all of them leave together as `Rows`. What rows mean, and how a
database takes them, belongs elsewhere.
"""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasty_pipeline.core.errors import WarehouseError

READING = "reading"  # the column of a file that holds the number of each row's reading


@dataclass(frozen=True)
class File:
    """A Parquet file of rows with their `reading`; those of the readings in `dropped` are not wanted any more."""

    path: Path
    num_rows: int  # without those that are dropped
    dropped: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Rows:
    """Typed rows of one schema, in memory (`tables`) and in files, which are there as long as their spool is open."""

    schema: pa.Schema
    tables: tuple[pa.Table, ...] = ()
    files: tuple[File, ...] = ()

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return sum(part.num_rows for part in (*self.tables, *self.files))

    def plus(self, table: pa.Table) -> "Rows":
        """Return these rows and some more, which stay in memory. Raises ValueError for another schema."""
        return replace(self, tables=(*self.tables, _same(self.schema, table)))

    def batches(self) -> Iterator[pa.Table]:
        """Yield all rows, never much more of a file at a time than a spool keeps in memory."""
        yield from self.tables
        for file in self.files:
            with pq.ParquetFile(file.path) as opened:
                for number in range(opened.num_row_groups):
                    yield _without(opened.read_row_group(number, use_threads=False), file.dropped)


class Spool:
    """A context manager that keeps up to `rows_in_memory` rows in memory and writes more into a private folder.

    The folder is made when it is needed, and gone at the end whatever happens. Any number of threads may use it.
    """

    def __init__(self, schema: pa.Schema, rows_in_memory: int = 5_000) -> None:
        self._schema = schema
        self._rows_in_memory = rows_in_memory
        self._lock = threading.Lock()
        self._last = 0
        self._waiting: dict[int, pa.Table] = {}
        self._num_waiting = 0
        self._files: list[tuple[Path, dict[int, int]]] = []  # with the rows of each reading that is still wanted
        self._dropped: dict[Path, set[int]] = {}
        self._closing = ExitStack()
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def add(self, rows: pa.Table) -> int:
        """Keep the rows of one reading; return its number.

        Raises ValueError for another schema, WarehouseError where the temporary folder cannot be written.
        """
        with self._lock:
            self._last += 1
            self._waiting[self._last] = _same(self._schema, rows)
            self._num_waiting += rows.num_rows
            if self._num_waiting > self._rows_in_memory:
                self._write()
            return self._last

    def get(self, number: int) -> pa.Table:
        """Return the rows of a reading. Raises KeyError for one that is not kept, or not any more."""
        with self._lock:
            if number in self._waiting:
                return self._waiting[number]
            path = next((path for path, wanted in self._files if number in wanted), None)
            if path is None:
                raise KeyError(number)
        return pq.read_table(path, columns=self._schema.names, filters=[(READING, "=", number)], use_threads=False)

    def drop(self, number: int) -> None:
        """Forget a reading. Raises KeyError for one that is not kept, or not any more."""
        with self._lock:
            if number in self._waiting:
                self._num_waiting -= self._waiting.pop(number).num_rows
                return
            path, wanted = next((each for each in self._files if number in each[1]), (None, {number: 0}))
            if path is None:
                raise KeyError(number)
            del wanted[number]
            self._dropped.setdefault(path, set()).add(number)

    def rows(self) -> Rows:
        """Return all that was added and not dropped."""
        with self._lock:
            files = (
                File(path, sum(wanted.values()), frozenset(self._dropped.get(path, ())))
                for path, wanted in self._files
                if wanted
            )
            return Rows(self._schema, tuple(self._waiting.values()), tuple(files))

    def _write(self) -> None:
        """Move what waits in memory to one file, as one row group."""
        numbered = [
            table.append_column(READING, pa.repeat(pa.scalar(number, pa.int64()), table.num_rows))
            for number, table in self._waiting.items()
        ]
        whole = pa.concat_tables(numbered)
        try:
            if self._folder is None:
                # only its owner can enter such a folder
                self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="tasty-rows-")))
            path = self._folder / f"{len(self._files)}.parquet"
            # opened here: where the disk is full, pyarrow would keep its own file open, and the room with it
            with pa.OSFile(str(path), "wb") as file:
                pq.write_table(whole, file, row_group_size=max(whole.num_rows, 1), **_AS_IT_IS)
        except OSError as error:
            raise WarehouseError(
                f"Rows that wait to be published could not be written to {tempfile.gettempdir()} ({error}).",
                "make room there, or set TMPDIR to another folder, and run this again; nothing was published.",
            ) from error
        self._files.append((path, {number: table.num_rows for number, table in self._waiting.items()}))
        self._waiting, self._num_waiting = {}, 0


# read once and thrown away: what takes longer to write than it saves is left out
_AS_IT_IS = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}


def _same(schema: pa.Schema, rows: pa.Table) -> pa.Table:
    if not rows.schema.equals(schema):
        raise ValueError(f"rows of another schema: {rows.schema} instead of {schema}")
    return rows


def _without(rows: pa.Table, dropped: frozenset[int]) -> pa.Table:
    if dropped:
        rows = rows.filter(pc.invert(pc.is_in(rows[READING], pa.array(sorted(dropped), pa.int64()))))
    return rows.drop_columns([READING])
