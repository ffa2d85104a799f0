"""The sensor `sync_requests`: what an application asks for becomes one run that tells how far it has come."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.test_utils import create_run_for_test

from tasty_pipeline import sensors
from tasty_pipeline.assets.progress import REQUEST_TAG
from tasty_pipeline.core import connections, requests, schema
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import Ticker

pytestmark = pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")

TABLES = {"accounts", "positions", "balances", "balance_snapshots", "transactions"}
BOBS = {"5WT00702", "5WT00703"}
Tables = dict[str, dict[str, Any]]


@pytest.fixture
def store(environment: Simulator, postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A Postgres warehouse with bob's connection; the environment has the application's secret alone."""
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", postgres_database)
    monkeypatch.setenv("TASTY_SEALING_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("TT_REFRESH")
    made = open_warehouse(postgres_database)
    made.migrate()
    connections.make_key(made, tmp_path / "keys")
    connections.add(made, "bobs", Secrets(environment.logins["bob"]), owner="7")
    return made


@pytest.fixture
def tick(store: Warehouse, ticker: Callable[[str], Ticker]) -> Ticker:
    return ticker("sync_requests")


@pytest.fixture
def run(
    store: Warehouse, repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> Callable[[dg.RunRequest], dg.DagsterRun]:
    """Do what the daemon does with a request: the run names no steps, which means all of its job's."""

    def execute(request: dg.RunRequest) -> dg.DagsterRun:
        job = repository.get_job("sync_request")
        tags = {**request.tags, "dagster/partition": str(request.partition_key)}
        made = instance.create_run_for_job(job, run_config=request.run_config, tags=tags)
        execute_run(InMemoryJob(job), made._replace(step_keys_to_execute=None), instance)
        ended = instance.get_run_by_id(made.run_id)
        assert ended is not None
        return ended

    return execute


def ask(store: Warehouse, request_id: str = "r1", owner: str = "7") -> None:
    """Write what an application writes."""
    row = {"request_id": request_id, "owner": owner, "requested_at": datetime.now(UTC), "state": "queued"}
    with store.write() as writer:
        writer.insert(schema.sync_requests, [row])


def told(store: Warehouse, request_id: str = "r1") -> dict[str, Any]:
    table = schema.sync_requests
    with store.read() as reader:
        return reader.rows(sa.select(table).where(table.c.request_id == request_id))[0]


def test_a_request_becomes_one_run_for_that_users_connections(store: Warehouse, tick: Ticker, run: Any) -> None:
    assert tick()[0] == []
    ask(store)
    ((request,), _) = tick()
    assert (request.run_key, request.tags[REQUEST_TAG]) == ("r1", "r1")
    assert request.run_config["ops"]["transactions"]["config"]["connections"] == ["bobs"]
    # asked again until it begins, under the same key: Dagster starts it once
    ((again,), _) = tick()
    assert again.run_key == "r1"
    result = run(request)
    assert result.is_success
    assert tick()[0] == []
    done = told(store)
    assert (done["state"], done["error"], done["run_id"]) == ("done", None, result.run_id)
    assert done["requested_at"] <= done["started_at"] <= done["ended_at"]
    assert set(done["progress"]) == TABLES
    assert {part["state"] for part in done["progress"].values()} == {"done"}
    assert done["progress"]["accounts"] == {"state": "done", "rows_read": 2, "rows_written": 2}
    with store.read() as reader:
        rows = reader.rows(sa.select(schema.transactions.c.account_number, schema.transactions.c.transaction_date))
    assert {row["account_number"] for row in rows} == BOBS
    # an account that is new brings its whole history, not only the last days
    assert min(row["transaction_date"] for row in rows) < datetime.now(UTC).date() - timedelta(days=20)


def test_progress_is_written_while_the_run_works(
    environment: Simulator, store: Warehouse, tick: Ticker, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tables] = []
    report = requests.report

    def watching(*arguments: Any, **more: Any) -> None:
        report(*arguments, **more)
        seen.append(told(store)["progress"])

    monkeypatch.setattr(requests, "report", watching)
    ask(store)
    assert run(tick()[0][0]).is_success
    assert {name: part["state"] for name, part in seen[0].items()} == {**dict.fromkeys(TABLES, "queued")} | {
        "accounts": "running"
    }
    numbers = [each["transactions"]["rows_read"] for each in seen if each["transactions"]["state"] == "running"]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 3  # none, one account's, both accounts'


def test_an_account_that_fails_is_told_with_its_reason(
    environment: Simulator, store: Warehouse, tick: Ticker, run: Any
) -> None:
    environment.brokerage.faults.add(Fault("not_permitted", path="/accounts/5WT00703/positions"))
    ask(store)
    assert not run(tick()[0][0]).is_success
    failed = told(store)
    assert failed["state"] == "failed"
    assert failed["error"].startswith("[5WT00703] ")
    assert failed["progress"]["positions"]["state"] == "failed"
    assert failed["progress"]["transactions"]["state"] == "done"
    assert tick()[0] == []


def test_a_revoked_grant_is_told_and_a_second_request_does_not_try_it_again(
    environment: Simulator, store: Warehouse, tick: Ticker, run: Any
) -> None:
    environment.brokerage.revoke_grant("bob")
    for number in (1, 2):
        ask(store, f"r{number}")
        assert not run(tick()[0][0]).is_success
        failed = told(store, f"r{number}")
        assert failed["state"] == "failed"
        assert "revoked" in failed["error"]
    assert environment.brokerage.tokens.attempts_of("bob") == 1


def test_a_user_without_a_connection_is_told_so(store: Warehouse, tick: Ticker) -> None:
    ask(store, owner="8")
    assert tick()[0] == []
    assert told(store)["state"] == "failed"
    assert "connect one first" in told(store)["error"]


def test_a_run_that_was_killed_fails_its_request(store: Warehouse, tick: Ticker, instance: dg.DagsterInstance) -> None:
    ask(store)
    job = build_defs().resolve_job_def("sync_request")
    dead = create_run_for_test(instance, job.name, tags={REQUEST_TAG: "r1"}, status=dg.DagsterRunStatus.FAILURE)
    requests.begin(store, "r1", dead.run_id, ["accounts"])
    assert tick()[0] == []
    assert told(store)["state"] == "failed"
    assert "did not come to its end" in told(store)["error"]
    # a run that is only waiting is none of them
    ask(store, "r2")
    create_run_for_test(instance, job.name, tags={REQUEST_TAG: "r2"}, status=dg.DagsterRunStatus.NOT_STARTED)
    assert [request.run_key for request in tick()[0]] == ["r2"]
    assert told(store, "r2")["state"] == "queued"


def test_a_request_whose_run_dagster_no_longer_knows_fails_and_its_owner_may_ask_again(
    store: Warehouse, tick: Ticker
) -> None:
    ask(store)
    requests.begin(store, "r1", "run-of-a-lost-instance", ["accounts"])
    assert tick()[0] == []
    lost = told(store)
    assert (lost["state"], lost["run_id"]) == ("failed", "run-of-a-lost-instance")
    assert "Dagster no longer knows the run" in lost["error"]
    assert "What to do: ask for the synchronisation again" in lost["error"]
    ask(store, "r2")
    # this one has no run either, because none began yet
    for _ in range(2):
        assert [request.run_key for request in tick()[0]] == ["r2"]
    assert told(store, "r2")["state"] == "queued"


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_request_whose_run_is_under_way_is_left_alone(
    store: Warehouse, tick: Ticker, instance: dg.DagsterInstance, status: dg.DagsterRunStatus
) -> None:
    ask(store)
    made = create_run_for_test(instance, "sync_request", tags={REQUEST_TAG: "r1"}, status=status)
    requests.begin(store, "r1", made.run_id, ["accounts"])
    assert tick()[0] == []
    assert (told(store)["state"], told(store)["error"]) == ("running", None)


def test_a_request_is_not_done_where_a_login_was_left_out(
    environment: Simulator, store: Warehouse, tick: Ticker, run: Any
) -> None:
    connections.add(store, "alices", Secrets(environment.logins["alice"]), owner="7")
    environment.brokerage.revoke_grant("alice")
    ask(store)
    assert not run(tick()[0][0]).is_success
    ask(store, "r2")
    # the run leaves out what was refused before, which is no failure of its own
    assert run(tick()[0][0]).is_success
    ended = told(store, "r2")
    assert ended["state"] == "failed"
    assert ended["error"] == "[login alices] It needs reauthorisation and was left out: connect it again."
    # the others' accounts were read, and say so
    assert {part["state"] for part in ended["progress"].values()} == {"done"}
    assert ended["progress"]["accounts"]["rows_read"] == len(BOBS)
    assert environment.brokerage.tokens.attempts_of("alice") == 1


def test_an_ended_request_never_changes_again(store: Warehouse, tick: Ticker) -> None:
    ask(store)
    requests.begin(store, "r1", "run", ["accounts", "positions"])
    requests.report(store, "r1", "accounts", "done")
    requests.fail(store, "r1", "first")
    requests.fail(store, "r1", "second")
    requests.begin(store, "r1", "another", ["accounts"])
    requests.report(store, "r1", "positions", "done")
    ended = told(store)
    assert (ended["state"], ended["error"], ended["run_id"]) == ("failed", "first", "run")
    assert ended["progress"]["positions"]["state"] == "queued"


def test_a_database_that_is_down_is_a_reason_to_skip(
    store: Warehouse, tick: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", "postgresql://me:canary-password@127.0.0.1:1/tasty")
    monkeypatch.setattr(sensors, "WAIT_SECONDS", 0.1)
    runs, reason = tick()
    assert not runs
    assert "127.0.0.1:1" in reason
    assert "canary" not in reason


def test_a_duckdb_warehouse_has_no_requests(environment: Simulator, ticker: Callable[[str], Ticker]) -> None:
    assert "Postgres" in ticker("sync_requests")()[1]
    assert not Path(os.environ["TASTY_WAREHOUSE_URL"].removeprefix("duckdb:///")).exists()
