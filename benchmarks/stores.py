"""The databases of the benchmark: a DuckDB file or a database in a Postgres server, new for each way, and their count.

The server is the one that the example starts; nothing autovacuums in the middle of a measurement: what it would do is
done between two.
"""

import contextlib
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "monolith"))

import duckdb
import psycopg
from contestants import DUCKDB, POSTGRES
from postgres import serve

_HBA = "host all all 127.0.0.1/32 trust\nlocal all all trust\n"
_OPTIONS = "-c autovacuum=off"
_MIGRATE = "import sys; from tasty_pipeline.core.warehouse import open_warehouse; open_warehouse(sys.argv[1]).migrate()"


@dataclass(frozen=True)
class Store:
    """One database: its URL, how to ask it one question, and how to bring it to rest."""

    url: str
    ask: Callable[[str], tuple[int, Decimal]]
    rest: Callable[[], None]

    def migrate(self) -> None:
        """Make the pipeline's tables, in a process of its own."""
        subprocess.run([sys.executable, "-c", _MIGRATE, self.url], check=True, cwd="/")  # noqa: S603


StoreOf = Callable[[str], contextlib.AbstractContextManager[Store]]


@contextlib.contextmanager
def servers(folder: Path, databases: list[str]) -> Iterator[StoreOf]:
    """What makes a new database of a kind, with the server running if one is wanted."""
    with contextlib.ExitStack() as stack:
        server = ""
        if POSTGRES in databases:
            server = stack.enter_context(serve(folder / "postgres", hba=_HBA, options=_OPTIONS))
        yield lambda kind: _file(folder) if kind == DUCKDB else _database(server)


@contextlib.contextmanager
def _file(folder: Path) -> Iterator[Store]:
    place = folder / uuid.uuid4().hex
    place.mkdir()
    path = place / "warehouse.duckdb"

    def ask(question: str) -> tuple[int, Decimal]:
        with duckdb.connect(str(path), read_only=True) as connection:
            return _pair(connection.execute(question).fetchone())

    yield Store(f"duckdb:///{path}", ask, lambda: None)
    shutil.rmtree(place)


@contextlib.contextmanager
def _database(server: str) -> Iterator[Store]:
    name = f"bench_{uuid.uuid4().hex[:12]}"
    url = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())

        def ask(question: str) -> tuple[int, Decimal]:
            with psycopg.connect(url) as connection:
                return _pair(connection.execute(question.encode()).fetchone())

        def rest() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(b"VACUUM (ANALYZE)")
            admin.execute(b"CHECKPOINT")

        yield Store(url, ask, rest)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _pair(row: tuple[object, ...] | None) -> tuple[int, Decimal]:
    rows, total = row or (0, None)
    return int(str(rows)), Decimal(str(total or 0))
