"""The doctor on stored connections: their key, their states, the roles; and what its own login leaves behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa

from tasty_pipeline.cli import doctor, main
from tasty_pipeline.core import connections, schema
from tasty_pipeline.core.errors import AuthenticationError
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import VARIABLES, read_settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from .conftest import YESTERDAY

Patch = pytest.MonkeyPatch
Visit = Callable[..., str]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with serve(SimulatorConfig(accounts=3, start=YESTERDAY, trades_per_day=0)) as simulator:
        yield simulator


@pytest.fixture
def store(duckdb_url: str) -> Warehouse:
    warehouse = open_warehouse(duckdb_url)
    warehouse.migrate()
    return warehouse


@pytest.fixture
def visit(
    sim: Simulator, duckdb_url: str, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> Visit:
    """Only stored connections are meant; the function asks the doctor, checks the status and returns the report."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    sim.brokerage.restore_grant()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TT_SECRET", sim.client_secret)
    monkeypatch.setenv("TASTY_API_URL", sim.url)
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", duckdb_url)
    monkeypatch.setenv("TASTY_SEALING_KEYS", str(tmp_path / "keys"))
    monkeypatch.setattr(doctor, "_PATIENCE_SECONDS", 2.0)

    def ask(failures: int = 0) -> str:
        status = main(["doctor"])
        report = capsys.readouterr().out
        assert status == (1 if failures else 0), report
        assert report.count("FAIL") == report.count("To do: ") == failures, report
        for canary in (sim.client_secret, sim.refresh_token, "simulator-", "c4nary"):
            assert canary not in report
        return report

    return ask


@pytest.fixture
def alice(store: Warehouse, visit: Visit) -> Warehouse:
    assert visit
    connections.make_key(store, read_settings().sealing_keys)
    connections.add(store, "alice", Secrets("simulator-refresh-alice"), owner="1")
    return store


def test_before_the_first_key_the_doctor_says_how_it_is_made(store: Warehouse, visit: Visit) -> None:
    assert store
    assert "`tasty-pipeline keygen` makes it" in visit(failures=1)


def test_stored_connections_need_no_credentials_in_the_environment(alice: Warehouse, visit: Visit) -> None:
    report = visit()
    assert "TT_REFRESH is not set: only stored connections are synchronised, 1 of them" in report
    assert "alice of owner 1 is new" in report
    assert "holds it" in report
    settings = read_settings()
    login = connections.login_of(connections.find_connection(alice, settings, "alice"), settings)
    connections.mark_active(alice, login)
    assert "alice of owner 1 is active" in visit()


def test_one_that_needs_reauthorisation_is_told_and_not_tried(alice: Warehouse, visit: Visit, sim: Simulator) -> None:
    settings = read_settings()
    login = connections.login_of(connections.find_connection(alice, settings, "alice"), settings)
    connections.mark_refused(alice, login, AuthenticationError("The refresh token was revoked.", "mend it."))
    before = sim.brokerage.tokens.attempts
    report = visit(failures=1)
    assert "The login alice needs reauthorisation: The refresh token was revoked." in report
    assert "tasty-pipeline connections check alice" in report
    assert sim.brokerage.tokens.attempts == before


def test_a_key_file_that_is_lost_or_open_to_others_is_told_once(alice: Warehouse, visit: Visit) -> None:
    assert alice
    path = read_settings().sealing_keys
    path.chmod(0o644)
    assert "can be read by others" in visit(failures=1)
    path.unlink()
    report = visit(failures=1)
    assert f"which {path} does not hold" in report
    assert "restore the key file" in report


def test_one_whose_credentials_do_not_open_is_named_and_the_others_are_well(alice: Warehouse, visit: Visit) -> None:
    connections.add(alice, "bob", Secrets("c4nary"), owner="2")
    table = schema.connections
    with alice.write() as writer:
        writer.execute(sa.update(table).where(table.c.connection_id == "alice").values(sealed_credentials="tp1.x"))
    report = visit(failures=1)
    assert "Connection 'alice': The stored credentials are damaged" in report
    assert "bob of owner 2 is new" in report


def test_the_doctors_own_login_is_remembered(
    store: Warehouse, visit: Visit, sim: Simulator, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    settings = read_settings()

    def own() -> connections.Login:
        return connections.login_of(connections.live_connections(store, settings)[0], settings)

    sim.brokerage.revoke_grant()
    visit(failures=1)
    assert connections.refused_before(own()) is not None
    sim.brokerage.restore_grant()
    assert "it lists 3 accounts" in visit()
    assert connections.refused_before(own()) is None
    assert connections.kept_token(own()) is not None


def test_the_roles_are_looked_for_on_postgres(
    visit: Visit, sim: Simulator, postgres_database: str, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", postgres_database)
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    open_warehouse(postgres_database).migrate()
    assert "the roles tasty_pipeline, tasty_reader, tasty_app are there" in visit()
    # roles belong to the whole server, where others need them: a name that nobody made stands for a missing one
    monkeypatch.setattr(doctor, "ROLES", (*doctor.ROLES, "tasty_nobody"))
    report = visit()
    assert "the roles tasty_nobody are missing" in report
    assert "SELECT tasty.make_roles()" in report


def test_a_role_that_may_not_read_what_is_sealed_is_told_so(
    visit: Visit, postgres_database: str, monkeypatch: Patch
) -> None:
    open_warehouse(postgres_database).migrate()
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS doctor_reads")
        admin.execute("CREATE ROLE doctor_reads LOGIN IN ROLE tasty_reader")
    parts = urlsplit(postgres_database)
    reader = urlunsplit(parts._replace(netloc=f"doctor_reads@{parts.hostname}:{parts.port}"))
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", reader)
    try:
        report = visit(failures=2)
    finally:
        with psycopg.connect(postgres_database, autocommit=True) as admin:
            admin.execute("DROP ROLE doctor_reads")
    assert "can be read; its schema version is" in report
    assert "permission denied for table connections" in report
