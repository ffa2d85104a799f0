"""The doctor: one line for what is well, and for what is not, what happened and what to do; never a credential."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tasty_pipeline.cli import doctor, main
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve

from .conftest import YESTERDAY

Patch = pytest.MonkeyPatch
Visit = Callable[..., str]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with serve(SimulatorConfig(accounts=2, start=YESTERDAY, trades_per_day=0)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "warehouse.duckdb"
    open_warehouse(f"duckdb:///{path}").migrate()
    return path


@pytest.fixture
def visit(
    sim: Simulator, tables: Path, tmp_path: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> Visit:
    """Everything is well; the function asks the doctor, checks the exit status and returns the report."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    sim.brokerage.faults.clear()
    sim.brokerage.restore_grant()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TT_SECRET", sim.client_secret)
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    monkeypatch.setenv("TASTY_API_URL", sim.url)
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", f"duckdb:///{shutil.copy(tables, tmp_path / 'warehouse.duckdb')}")
    monkeypatch.setattr(doctor, "_PATIENCE_SECONDS", 0.5)

    def ask(failures: int = 1) -> str:
        status = main(["doctor"])
        report = capsys.readouterr().out
        assert status == (1 if failures else 0), report
        assert report.count("FAIL") == report.count("To do: ") == failures, report
        for canary in (sim.client_secret, sim.refresh_token, "simulator-access-token", "c4nary"):
            assert canary not in report
        return report

    return ask


def file_of(patch: Patch) -> Path:
    return Path(os.environ["TASTY_WAREHOUSE_URL"].removeprefix("duckdb:///"))


def test_all_is_well(visit: Visit) -> None:
    report = visit(failures=0)
    assert "the credentials are there" in report
    assert "it lists 2 accounts" in report
    assert "its schema version is" in report
    assert "nothing was synchronised yet" in report
    assert "All is well." in report


def test_a_database_that_does_not_exist_yet_is_no_fault(visit: Visit, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", f"duckdb:///{tmp_path}/new/warehouse.duckdb")
    assert "the first sync makes" in visit(failures=0)
    assert not (tmp_path / "new").exists()


def unset(*names: str) -> Callable[[Simulator, Patch], None]:
    def spoil(_: Simulator, patch: Patch) -> None:
        for name in names:
            patch.delenv(name)

    return spoil


def set_to(name: str, value: str) -> Callable[[Simulator, Patch], None]:
    return lambda _, patch: patch.setenv(name, value)


def fault(kind: str, **options: object) -> Callable[[Simulator, Patch], None]:
    def spoil(sim: Simulator, _: Patch) -> None:
        sim.brokerage.faults.add(Fault(kind, **options))  # type: ignore[arg-type]

    return spoil


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (unset("TT_SECRET", "TT_REFRESH"), "No credentials are set", "set TT_SECRET"),
        (unset("TT_SECRET"), "Only TT_REFRESH is set", "set TT_SECRET"),
        (lambda sim, _: sim.brokerage.revoke_grant(), "refresh token was revoked", "make a new refresh token"),
        (set_to("TT_REFRESH", "of-the-sandbox"), "not valid for this environment", "production or sandbox"),
        (set_to("TT_SECRET", "of-another"), "client secret was refused", "set TT_SECRET"),
        (set_to("TASTY_API_URL", "http://127.0.0.1:1"), "cannot be reached", "check the network"),
        (set_to("TASTY_API_URL", "api.tastyworks.com"), "not a web address", "give it as https://"),
        (fault("html", path="oauth", status=200), "a page of HTML", "check the address"),
        (fault("status", path="oauth", status=404), "knows no login", "check the address"),
        (fault("not_permitted", path="accounts"), "403", "scope 'read'"),
        (set_to("TASTY_WAREHOUSE_URL", "mysql://me:c4nary@x/y"), "neither a DuckDB nor", "use duckdb:///"),
        (
            set_to("TASTY_WAREHOUSE_URL", "postgresql://me:c4nary@127.0.0.1:1/y"),
            "cannot be reached",
            "start the server",
        ),
        (set_to("TASTY_HISTORY_START", "yesterday"), "is not a date", "YYYY-MM-DD"),
        (set_to("TASTY_SANDBOX", "maybe"), "neither 1 nor 0", "set TASTY_SANDBOX=1"),
    ],
)
def test_each_fault_is_one_line_with_what_to_do(
    visit: Visit,
    sim: Simulator,
    monkeypatch: Patch,
    spoil: Callable[[Simulator, Patch], None],
    what: str,
    remedy: str,
) -> None:
    spoil(sim, monkeypatch)
    report = visit()
    assert what in report
    assert remedy in report.partition("To do: ")[2]


def test_a_damaged_file_is_found(visit: Visit, monkeypatch: Patch) -> None:
    file_of(monkeypatch).write_bytes(b"no database" * 1000)
    assert "is damaged or is not a DuckDB database" in visit()


def test_tables_of_a_newer_version_are_found(visit: Visit, monkeypatch: Patch) -> None:
    version = sa.table("schema_version", sa.column("version_num"), schema="tasty")
    with open_warehouse(f"duckdb:///{file_of(monkeypatch)}").write() as writer:
        writer.execute(sa.update(version).values(version_num="9999"))
    report = visit()
    assert "9999" in report
    assert "update tasty-pipeline" in report


HOLD = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


def test_a_file_that_another_process_holds_is_found(visit: Visit, monkeypatch: Patch) -> None:
    command = [sys.executable, "-c", HOLD, str(file_of(monkeypatch))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: S603 - our own
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        report = visit()
        holder.kill()
    assert f"held open by process {holder.pid}" in report


def test_a_file_that_may_not_be_written_is_found(
    visit: Visit, monkeypatch: Patch, unprivileged: list[str], tmp_path: Path
) -> None:
    path = file_of(monkeypatch)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        done = subprocess.run(  # noqa: S603 - our own
            [*unprivileged, sys.executable, "-m", "tasty_pipeline.cli", "doctor"],
            check=False,
            capture_output=True,
            text=True,
        )
    finally:
        tmp_path.chmod(0o755)
        path.chmod(0o644)
    assert done.returncode == 1
    assert "may not be written" in done.stdout
    assert "To do: let the pipeline's user write" in done.stdout


def test_postgres_is_examined_too(visit: Visit, postgres_database: str, monkeypatch: Patch) -> None:
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", postgres_database)
    assert "no tables yet" in visit(failures=0)
    open_warehouse(postgres_database).migrate()
    assert "can be read; its schema version is" in visit(failures=0)
