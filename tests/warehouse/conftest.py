"""What the tests of the warehouse share: rows that are valid transactions, and programs run beside the test."""

import datetime as dt
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Merge, Warehouse

from .files import warehouse_at
from .users import KINDS, Session, fill, member_of, session

READ_AT = dt.datetime(2026, 3, 6, 21, 30, 0, 123456, tzinfo=dt.UTC)

MakeRow = Callable[..., dict[str, Any]]
MergeRows = Callable[..., Merge]
AllRows = Callable[[Warehouse], list[dict[str, Any]]]
Python = Callable[..., "subprocess.Popen[str]"]
As = Callable[..., Session]


@pytest.fixture
def transaction() -> MakeRow:
    """Makes a transaction with this id; keywords replace columns."""

    def make(number: int, **columns: Any) -> dict[str, Any]:
        return {
            "transaction_id": number,
            "account_number": "5WX00001",
            "transaction_type": "Trade",
            "transaction_sub_type": "Buy to Open",
            "executed_at": READ_AT,
            "transaction_date": dt.date(2026, 3, 6),
            "symbol": "SPY   260320C00500000",
            "value": Decimal("-27.74"),
            "net_value": Decimal("-28.87"),
            "synced_at": READ_AT,
            "run_id": "run-1",
            **columns,
        }

    return make


@pytest.fixture
def merged() -> MergeRows:
    """Merges rows into `transactions` in one transaction of their own."""

    def merge(warehouse: Warehouse, rows: list[dict[str, Any]], **how: bool) -> Merge:
        with warehouse.write() as writer:
            return writer.merge(schema.transactions, writer.stage(schema.transactions, rows), **how)

    return merge


@pytest.fixture
def stored() -> AllRows:
    """Reads all of `transactions`, by id."""

    def read(warehouse: Warehouse) -> list[dict[str, Any]]:
        with warehouse.read() as reader:
            return reader.rows(sa.select(schema.transactions).order_by(schema.transactions.c.transaction_id))

    return read


@pytest.fixture
def python() -> Python:
    """Starts a Python program with arguments, `prefix` before the interpreter."""

    def start(program: str, *arguments: object, prefix: list[str] | None = None) -> "subprocess.Popen[str]":
        command = [*(prefix or []), sys.executable, "-c", program, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)  # noqa: S603 - our own

    return start


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of a migrated warehouse."""
    path = tmp_path / "data" / "warehouse.duckdb"
    warehouse_at(path).migrate()
    return path


@pytest.fixture
def keep_open() -> Callable[[Path], object]:
    """Keep no file open: here it counts that what was written is in the file once it is closed."""
    return lambda _: None


@pytest.fixture(scope="session")
def two_users(postgres_url: str) -> Iterator[str]:
    """A database with two users and a row of everything, for tests that leave it as it is."""
    name = f"users_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy".encode())
        url = postgres_url.rpartition("/")[0] + f"/{name}"
        fill(url)
        yield url
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def logins(two_users: str) -> Iterator[dict[str, str]]:
    """The database's URL for a member of each role, and for somebody who is a member of none."""
    with ExitStack() as stack:
        kinds = ("tasty_pipeline", *KINDS)
        yield {kind: stack.enter_context(member_of(two_users, kind)) for kind in kinds} | {
            "owner": two_users,
            "stranger": stack.enter_context(member_of(two_users)),
        }


@pytest.fixture
def acting(logins: dict[str, str]) -> Iterator[As]:
    """Opens a session of a member of a role that acts as a user."""
    with ExitStack() as stack:
        yield lambda kind, user=None: stack.enter_context(session(logins[kind], user))
