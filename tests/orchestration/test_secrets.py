"""No credential leaves: not into events, logs, metadata, run config, Dagster's files or the tables."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.resources import BrokerResource, WarehouseResource
from tasty_pipeline.simulator import Fault, Simulator
from tasty_pipeline.simulator.config import CLIENT_SECRET, REFRESH_TOKEN

from .conftest import Launcher, stored, today

PASSWORD = "c4nary-password"
CANARIES = (CLIENT_SECRET, REFRESH_TOKEN, "simulator-access-token", PASSWORD)
TABLES = ("sync_log", "rejected_rows", "accounts", "transactions", "connections", "access_tokens")
IMPATIENT = {
    "broker": BrokerResource(retry_budget_seconds=0),
    "warehouse": WarehouseResource(wait_seconds=1),
}


@pytest.fixture
def keep_open() -> Callable[[Path], object]:
    """Keep no file open: here it counts what is in the files after each run."""
    return lambda _: None


def runs(launch: Launcher, sim: Simulator) -> Iterator[dg.ExecuteInProcessResult]:
    """A good run, and failures of every kind that could quote a credential."""
    yield launch("accounts", "transactions", checks=[("transactions", "complete")], days=(today(), today()))
    faults = [
        Fault("status", path="oauth", status=400, message=f"bad secret {CLIENT_SECRET} {REFRESH_TOKEN}"),
        Fault("html", path="oauth", status=401),
        Fault("revoked_grant", description=f"grant {REFRESH_TOKEN}"),
        Fault("status", path="accounts", status=500, message=f"Bearer {CLIENT_SECRET}"),
        Fault("drop_connection", path="accounts"),
    ]
    for fault in faults:
        forget_the_refusal()
        sim.brokerage.expire_tokens()
        sim.brokerage.faults.add(fault)
        yield launch("accounts", "transactions", days=(today(), today()), resources=IMPATIENT)
        sim.brokerage.faults.clear()
    for url in (f"postgresql://me:{PASSWORD}@127.0.0.1:1/tasty", f"mysql://me:{PASSWORD}@127.0.0.1/tasty"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TASTY_WAREHOUSE_URL", url)
            yield launch("accounts", checks=[("accounts", "unique_keys")], resources=IMPATIENT)


def forget_the_refusal() -> None:
    """A login that was refused is not tried again: without this only the first of several refusals would be seen."""
    with open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).write() as writer:
        writer.execute(sa.update(schema.connections).values(refused_login=None))


def test_no_credential_is_in_events_logs_files_or_tables(
    environment: Simulator,
    synced: Launcher,
    stored_instance: dg.DagsterInstance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    outcomes = []
    told = []
    for result in runs(Launcher(stored_instance), environment):
        outcomes.append(result.success)
        told += [str(event) for event in stored_instance.all_logs(result.run_id)]
        run = stored_instance.get_run_by_id(result.run_id)
        told += [str(run), str(run.run_config if run else "")]
    assert outcomes == [True] + [False] * 7
    told += [record.getMessage() for record in caplog.records]
    told += [str(stored(name)) for name in TABLES]
    with contextlib.suppress(ValueError):  # not while Dagster captures
        told += list(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in files)
    for canary in CANARIES:
        assert not [text for text in told if canary in text]
        assert not [path for path in files if canary.encode() in path.read_bytes()]
