"""Bad input as the operator meets it: the run fails with one sentence of what happened and what to do; nothing is lost.

That every kind of it is found and worded is proven where it is found (tests/broker, tests/warehouse); here, that it
reaches the run's page as it is.
"""

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.errors import DagsterUnknownPartitionError
from warehouse.users import member_of

from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.resources import BrokerResource, WarehouseResource
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import Launcher, Rows, failures, first_day, today, whole_content

IMPATIENT = {"broker": BrokerResource(retry_budget_seconds=0), "warehouse": WarehouseResource(wait_seconds=0.5)}
Patch = pytest.MonkeyPatch


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def keep_open() -> Callable[[Path], object]:
    """Keep no file open: here it is the file itself that is held, damaged or forbidden."""
    return lambda _: None


@pytest.fixture
def said(synced: Launcher) -> Iterator[Callable[..., str]]:
    """Launches `transactions` of today, which must fail; returns the sentence. The tables are as before afterwards."""
    url = os.environ["TASTY_WAREHOUSE_URL"]
    before = whole_content(url)

    def launch(**options: object) -> str:
        options.setdefault("days", (today(), today()))
        result = synced("transactions", resources=IMPATIENT, **options)  # type: ignore[arg-type]
        assert not result.success
        told = failures(result)
        assert set(told) == {"transactions"}
        sentence = str(told["transactions"].description)
        facts = {name: str(value.value) for name, value in told["transactions"].metadata.items()}
        assert facts["what happened"] in sentence
        assert sentence.endswith(facts["what to do"])
        assert sentence.count("What to do: ") == 1
        assert not synced.instance.get_materialized_partitions(dg.AssetKey("transactions"))
        return sentence

    yield launch
    assert whole_content(url) == before


def no_credentials(_: Simulator, patch: Patch) -> None:
    patch.delenv("TT_SECRET")
    patch.setenv("TT_REFRESH", "")


def half_credentials(_: Simulator, patch: Patch) -> None:
    patch.delenv("TT_REFRESH")


def a_revoked_token(sim: Simulator, _: Patch) -> None:
    sim.brokerage.revoke_grant()


def a_token_of_another_environment(_: Simulator, patch: Patch) -> None:
    patch.setenv("TT_REFRESH", "a-token-of-the-sandbox")


def another_applications_secret(_: Simulator, patch: Patch) -> None:
    patch.setenv("TT_SECRET", "of-another-application")


def a_page_of_html(sim: Simulator, _: Patch) -> None:
    sim.brokerage.faults.add(Fault("html", path="oauth", status=200))


def an_address_without_a_login(sim: Simulator, _: Patch) -> None:
    sim.brokerage.faults.add(Fault("status", path="oauth", status=404))


def an_address_that_is_no_url(_: Simulator, patch: Patch) -> None:
    patch.setenv("TASTY_API_URL", "api.tastyworks.com")


def a_warehouse_of_another_kind(_: Simulator, patch: Patch) -> None:
    patch.setenv("TASTY_WAREHOUSE_URL", "mysql://127.0.0.1/tasty")


@pytest.mark.parametrize(
    ("spoil", "what", "remedy"),
    [
        (no_credentials, "No credentials are set", "set TT_SECRET"),
        (half_credentials, "Only TT_SECRET is set", "and TT_REFRESH"),
        (a_revoked_token, "refresh token was revoked", "make a new refresh token"),
        (a_token_of_another_environment, "not valid for this environment", "production or sandbox"),
        (another_applications_secret, "client secret was refused", "set TT_SECRET"),
        (a_page_of_html, "a page of HTML", "check the address of the API"),
        (an_address_without_a_login, "knows no login at", "check the address of the API"),
        (an_address_that_is_no_url, "not a web address", "give it as https://"),
        (a_warehouse_of_another_kind, "neither a DuckDB nor a Postgres URL", "use duckdb:///"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_wrong_setting_or_login_fails_the_run_with_what_to_do(
    said: Callable[..., str],
    environment: Simulator,
    monkeypatch: Patch,
    spoil: Callable[[Simulator, Patch], None],
    what: str,
    remedy: str,
) -> None:
    spoil(environment, monkeypatch)
    sentence = said()
    assert what in sentence
    assert remedy in sentence.partition("What to do: ")[2]


def test_a_refused_login_is_asked_for_once_by_a_run_of_all_assets(environment: Simulator, synced: Launcher) -> None:
    environment.brokerage.revoke_grant()
    result = synced("positions", "transactions", "balance_snapshots")
    assert set(failures(result)) == {"portfolio", "transactions", "balance_snapshots"}
    assert environment.brokerage.tokens.attempts == 1


def test_an_api_that_nobody_serves_cannot_be_reached(said: Callable[..., str], monkeypatch: Patch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("TASTY_API_URL", f"http://127.0.0.1:{port}")
        assert f"127.0.0.1:{port} cannot be reached" in said()


def test_an_account_that_the_login_does_not_see_is_named_with_those_it_sees(said: Callable[..., str]) -> None:
    sentence = said(config={"transactions": {"accounts": ["5WT00701", "5WX99999"]}})
    assert "does not see the account 5WX99999" in sentence
    assert "5WT00701, 5WT00702" in sentence


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ((first_day() - timedelta(days=30), first_day()), "before the history's start"),
        ((today(), today() + timedelta(days=9)), "after today"),
        ((today() + timedelta(days=8), today() + timedelta(days=9)), "after today"),
    ],
    ids=["before", "over_today", "future"],
)
def test_days_beyond_the_history_are_refused_with_those_that_there_are(
    said: Callable[..., str], environment: Simulator, days: tuple[date, date], words: str
) -> None:
    sentence = said(days=days)
    assert words in sentence
    assert f"choose days from {first_day()} to {today()}" in sentence
    assert not environment.requests


def test_dagster_itself_refuses_a_single_partition_that_does_not_exist(synced: Launcher) -> None:
    for day in (first_day() - timedelta(days=1), today() + timedelta(days=1)):
        with pytest.raises(DagsterUnknownPartitionError, match=str(day)):
            synced("transactions", day=day)


def file_of_the_warehouse() -> Path:
    return Path(os.environ["TASTY_WAREHOUSE_URL"].removeprefix("duckdb:///"))


HOLD = "import sys, duckdb; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"


def test_a_file_that_another_process_holds_is_named_with_the_process(said: Callable[..., str]) -> None:
    command = [sys.executable, "-c", HOLD, str(file_of_the_warehouse())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:  # noqa: S603 - our own
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        sentence = said()
        holder.kill()
    assert f"held open by process {holder.pid}" in sentence
    assert "close the program" in sentence


def test_a_damaged_file_is_refused_and_left_as_it_is(said: Callable[..., str]) -> None:
    path = file_of_the_warehouse()
    good = path.read_bytes()
    bad = b"no database" * 1000
    path.write_bytes(bad)
    try:
        assert "is damaged or is not a DuckDB database" in said()
        assert path.read_bytes() == bad
    finally:
        path.write_bytes(good)


def set_version(version: str) -> None:
    with open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).write() as writer:
        writer.execute(
            sa.update(sa.table("schema_version", sa.column("version_num"), schema="tasty")).values(version_num=version)
        )


def test_tables_of_a_newer_version_are_not_touched(said: Callable[..., str]) -> None:
    version = str(open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).version())
    set_version("9999")
    try:
        sentence = said()
    finally:
        set_version(version)
    assert "9999" in sentence
    assert "upgrade" in sentence.partition("What to do: ")[2]


def test_a_full_disk_fails_the_run_and_loses_nothing(said: Callable[..., str], environment: Simulator) -> None:
    environment.brokerage.trade("5WT00701")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        sentence = said()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the disk is full" in sentence
    assert "make room" in sentence


READ_ONLY_RUN = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
import dagster as dg
from orchestration.conftest import Launcher, failures, today
with dg.DagsterInstance.ephemeral() as instance:
    told = failures(Launcher(instance)("transactions", days=(today(), today())))
print(json.dumps({name: failure.description for name, failure in told.items()}))
"""


def test_a_file_that_may_not_be_written_fails_the_run(
    synced: Launcher, environment: Simulator, unprivileged: list[str]
) -> None:
    path = file_of_the_warehouse()
    before: dict[str, Rows] = whole_content()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        command = [*unprivileged, sys.executable, "-c", READ_ONLY_RUN, str(Path(__file__).parents[1])]
        done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own
        assert done.returncode == 0, done.stderr
    finally:
        path.parent.chmod(0o755)
        path.chmod(0o644)
    sentence = json.loads(done.stdout.splitlines()[-1])["transactions"]
    assert "may not be written" in sentence
    assert "let the pipeline's user write" in sentence
    assert whole_content() == before


def test_a_postgres_that_is_down_is_named_without_its_password(said: Callable[..., str], monkeypatch: Patch) -> None:
    with closed_port() as port:
        monkeypatch.setenv("TASTY_WAREHOUSE_URL", f"postgresql://me:c4nary@127.0.0.1:{port}/tasty")
        sentence = said()
    assert f"Postgres 127.0.0.1:{port}/tasty cannot be reached" in sentence
    assert "start the server" in sentence
    assert "c4nary" not in sentence


def test_a_postgres_role_without_rights_is_told_what_it_needs(
    said: Callable[..., str], postgres_database: str, monkeypatch: Patch
) -> None:
    with member_of(postgres_database, password="c4nary") as url:
        monkeypatch.setenv("TASTY_WAREHOUSE_URL", url)
        sentence = said()
    assert "permission denied" in sentence
    assert "have an administrator grant" in sentence
    assert "c4nary" not in sentence
