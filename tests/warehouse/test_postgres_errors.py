"""Whatever is wrong with a Postgres server or role is one clear error with what to do, and never a password."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import (
    ConfigurationError,
    TastyError,
    WarehouseError,
    WarehouseLockedError,
    WarehouseRightsError,
    WarehouseUnavailableError,
)
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.core.warehouse.postgres_errors import Explain

from .conftest import AllRows, MakeRow, MergeRows
from .users import member_of

TX = schema.transactions
CANARY = "c4nary"
Run = Callable[..., None]


@pytest.fixture
def admin(postgres_database: str) -> Iterator[Run]:
    """Runs statements in the test's database as its owner."""
    with psycopg.connect(postgres_database, autocommit=True) as connection:

        def run(*statements: str) -> None:
            for statement in statements:
                connection.execute(statement.encode())

        yield run


@pytest.fixture
def role(postgres_database: str, postgres_url: str) -> Iterator[str]:
    """A role without any right of its own, with a password, dropped after the test."""
    with member_of(postgres_database, password=CANARY) as url:
        yield str(urlsplit(url).username)


def _url(url: str, *, login: str | None = None, port: int | None = None, path: str | None = None) -> str:
    parts = urlsplit(url)
    user = login or parts.netloc.rpartition("@")[0]
    netloc = f"{user}@{parts.hostname}:{port or parts.port}"
    return urlunsplit(parts._replace(netloc=netloc, path=path or parts.path))


def _error(warehouse: Warehouse) -> TastyError:
    with pytest.raises(TastyError) as caught:
        warehouse.migrate()
    told = [str(caught.value), repr(caught.value), str(caught.value.__cause__)]
    assert CANARY not in " ".join(told)
    return caught.value


def test_a_server_that_is_down_is_unavailable(postgres_url: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        error = _error(open_warehouse(_url(postgres_url, login=f"me:{CANARY}", port=port), wait_seconds=2))
    assert type(error) is WarehouseUnavailableError
    assert f"Postgres 127.0.0.1:{port}/postgres cannot be reached" in str(error)
    assert "start the server" in error.remedy


def test_a_server_that_never_answers_is_unavailable_after_a_bounded_wait(postgres_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = _error(open_warehouse(_url(postgres_url, login=f"me:{CANARY}", port=port), wait_seconds=2))
    assert type(error) is WarehouseUnavailableError
    assert "timeout" in str(error)


def test_a_host_without_an_address_is_unavailable() -> None:
    error = _error(open_warehouse(f"postgresql://me:{CANARY}@no-such-host.invalid/books", wait_seconds=2))
    assert type(error) is WarehouseUnavailableError
    assert "correct the host" in error.remedy


def test_a_database_that_is_not_there_is_unavailable(postgres_url: str) -> None:
    error = _error(open_warehouse(_url(postgres_url, path="/no_such_database")))
    assert type(error) is WarehouseUnavailableError
    assert "create that database" in error.remedy


def test_a_wrong_password_is_unavailable_and_never_shown(
    postgres_database: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    for login in (f"{role}:wrong-{CANARY}", role, f"nobody-of-that-name:{CANARY}"):
        error = _error(open_warehouse(_url(postgres_database, login=login)))
        assert type(error) is WarehouseUnavailableError
        assert "TASTY_WAREHOUSE_URL" in error.remedy


def test_a_password_that_the_driver_repeats_is_blotted_out() -> None:
    with (
        pytest.raises(WarehouseUnavailableError, match=r"\*\*\*") as caught,
        Explain("Postgres db/books", CANARY, 1).connecting(),
    ):
        raise psycopg.OperationalError(f"no such host: {CANARY}@db")
    assert CANARY not in f"{caught.value!r} {caught.value.__cause__}"


def test_too_many_connections_are_unavailable(postgres_database: str, admin: Run, role: str) -> None:
    admin(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    url = _url(postgres_database, login=f"{role}:{CANARY}")
    with psycopg.connect(url):
        error = _error(open_warehouse(url))
    assert type(error) is WarehouseUnavailableError
    assert "connection limit" in error.remedy


def test_a_role_that_may_not_connect_has_no_right(postgres_database: str, admin: Run, role: str) -> None:
    database = urlsplit(postgres_database).path[1:]
    admin(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    error = _error(open_warehouse(_url(postgres_database, login=f"{role}:{CANARY}")))
    assert type(error) is WarehouseRightsError
    assert "GRANT CONNECT" in error.remedy


def test_a_role_that_may_not_create_the_schema_has_no_right(postgres_database: str, role: str) -> None:
    error = _error(open_warehouse(_url(postgres_database, login=f"{role}:{CANARY}")))
    assert type(error) is WarehouseRightsError
    assert "grant the role CREATE" in error.remedy


def test_schemas_that_an_administrator_made_are_enough(postgres_database: str, admin: Run, role: str) -> None:
    admin(f"CREATE SCHEMA tasty AUTHORIZATION {role}", f"CREATE SCHEMA tasty_v1 AUTHORIZATION {role}")
    warehouse = open_warehouse(_url(postgres_database, login=f"{role}:{CANARY}"))
    assert warehouse.migrate() == warehouse.version()


def test_a_role_that_may_only_read_reads_and_cannot_write(
    postgres_database: str, admin: Run, role: str, transaction: MakeRow, merged: MergeRows, stored: AllRows
) -> None:
    open_warehouse(postgres_database).migrate()
    admin(f"GRANT USAGE ON SCHEMA tasty TO {role}", f"GRANT SELECT ON ALL TABLES IN SCHEMA tasty TO {role}")
    warehouse = open_warehouse(_url(postgres_database, login=f"{role}:{CANARY}"))
    assert stored(warehouse) == []
    with pytest.raises(WarehouseRightsError, match="permission denied for table transactions"):
        merged(warehouse, [transaction(1)])


def test_a_database_that_takes_no_writes_is_an_error_of_rights(
    postgres_database: str, admin: Run, transaction: MakeRow, merged: MergeRows
) -> None:
    warehouse = open_warehouse(postgres_database)
    warehouse.migrate()
    admin(f"ALTER DATABASE {urlsplit(postgres_database).path[1:]} SET default_transaction_read_only = on")
    with pytest.raises(WarehouseRightsError, match="read-only"):
        merged(warehouse, [transaction(1)])


def test_rows_that_another_session_keeps_locked_are_waited_for_and_then_given_up(
    postgres_database: str, transaction: MakeRow, merged: MergeRows
) -> None:
    warehouse = open_warehouse(postgres_database, wait_seconds=0.2)
    warehouse.migrate()
    merged(warehouse, [transaction(1)])
    with psycopg.connect(postgres_database) as other:
        other.execute("SELECT 1 FROM tasty.transactions FOR UPDATE")
        with pytest.raises(WarehouseLockedError, match="another session"):
            merged(warehouse, [transaction(1, symbol="X")])


def test_a_server_that_goes_away_in_the_middle_is_unavailable_and_nothing_is_kept(
    postgres_database: str, admin: Run, transaction: MakeRow, stored: AllRows
) -> None:
    warehouse = open_warehouse(postgres_database)
    warehouse.migrate()

    def write(*, go_on: bool) -> None:
        with warehouse.write() as writer:
            writer.insert(TX, [transaction(1)])
            admin(f"SELECT pg_terminate_backend({writer.scalar(sa.select(sa.func.pg_backend_pid()))}, 5000)")
            if go_on:
                writer.scalar(sa.select(sa.func.count()).select_from(TX))

    with pytest.raises(WarehouseUnavailableError, match="look after the server"):
        write(go_on=True)
    with pytest.raises(WarehouseUnavailableError, match="may have happened or not"):
        write(go_on=False)
    assert stored(warehouse) == []


def test_any_other_failure_of_the_server_tells_its_first_line(postgres_database: str, admin: Run) -> None:
    warehouse = open_warehouse(postgres_database)
    admin(f"ALTER DATABASE {urlsplit(postgres_database).path[1:]} SET statement_timeout = '50ms'")
    with pytest.raises(WarehouseError, match="statement timeout") as caught, warehouse.read() as reader:
        reader.scalar(sa.select(sa.func.pg_sleep(5)))
    assert type(caught.value) is WarehouseError
    assert "raise the role's statement_timeout" in caught.value.remedy


def test_a_full_disk_of_the_server_is_named(postgres_database: str, admin: Run) -> None:
    admin("CREATE FUNCTION public.filled() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$")
    with (
        pytest.raises(WarehouseError, match=r"no room left on its disk.*make room on the server's disk"),
        open_warehouse(postgres_database).read() as reader,
    ):
        reader.scalar(sa.select(sa.func.public.filled()))


def test_a_statement_that_makes_no_sense_is_a_bug_and_not_a_state_of_the_warehouse(postgres_database: str) -> None:
    warehouse = open_warehouse(postgres_database)
    with pytest.raises(psycopg.ProgrammingError), warehouse.read() as reader:
        reader.scalar(sa.select(sa.literal_column("no_such_column")))


def test_a_read_only_copy_of_postgres_is_refused(postgres_database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="leave the copy's path unset"):
        open_warehouse(postgres_database).publish_copy(tmp_path / "copy.duckdb")
