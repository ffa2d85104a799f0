"""What a backend has to be able to do inside one transaction; all else is written once, in terms of it.

Here belongs only the list. `duckdb.py` and `postgres.py` do it, `writer.py` uses it.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import pyarrow as pa
import sqlalchemy as sa

from tasty_pipeline.core.spool import Rows


class Session(Protocol):
    """One open transaction of one backend. Its methods raise the taxonomy of `core.errors`."""

    dialect: sa.Dialect

    def fetch(self, sql: str, parameters: Any = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a query; return the names of its columns and its rows."""

    def fetch_arrow(self, sql: str, parameters: Any, schema: pa.Schema) -> pa.Table:
        """Run a query whose columns are named and typed by `schema`; return its answer, JSON in any spelling."""

    def run(self, sql: str, parameters: Any = None) -> int:
        """Run one statement; return the number of rows it changed."""

    def script(self, sql: str) -> None:
        """Run several statements without parameters."""

    def stage(self, stage: sa.Table, rows: Rows, constants: Mapping[str, pa.Scalar]) -> None:
        """Make typed rows readable as the temporary table or view `stage`, until the end of the transaction.

        `constants` gives more columns one value for all rows; the columns that are left are NULL.
        """

    def lock(self, name: str) -> None:
        """Hold a lock from here to the end of the transaction; nothing to do where there is one writer anyway."""

    def notify(self, channel: str, text: str) -> None:
        """Tell whoever listens in this database, at the commit; nothing to do where nobody can listen."""
