"""The storage that dagster.yaml names: the same files as Dagster's own, whoever wrote them, and nothing lost."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import BATCH_WRITABLE_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from tasty_pipeline.cli.home import prepare_home
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.eventlog import BATCH_SIZE, OPEN_FILES, EventLog
from tasty_pipeline.simulator import Simulator

from .conftest import ASSETS, Launcher, all_days

HISTORY = ("transactions", "balance_snapshots")
# what Dagster stamps by itself, and a text that says the same again
TIMES = {"create_timestamp", "migration_completed"}
STORE = """
import os, sys
import dagster as dg
with dg.DagsterInstance.get() as instance:
    for day in range(5):
        instance.report_runless_asset_event(dg.AssetMaterialization("killed", partition=str(day)))
    print("stored", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def environment(environment: Simulator, tables: None) -> Simulator:
    """The project pointed at the brokerage and at empty tables."""
    return environment


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME as the commands make it."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    # the storage sets it for its process
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
    return prepare_home(simulated=True)


@pytest.fixture
def ours(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as made:
        yield made


@contextlib.contextmanager
def stock(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's own storage on the same folder, as with a dagster.yaml that names no other."""
    settings = home / "dagster.yaml"
    ours = settings.read_text()
    settings.write_text("telemetry: {enabled: false}")
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    finally:
        settings.write_text(ours)


def tables(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Everything in a file, but the moments that Dagster stamps it with."""
    with sqlite3.connect(file) as connection:
        connection.row_factory = sqlite3.Row
        names = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        content = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in names}  # noqa: S608
    connection.close()
    return {
        name: [{key: each for key, each in dict(row).items() if key not in TIMES} for row in content[name]]
        for name in names
    }


def entries(instance: dg.DagsterInstance, run_id: str) -> list[EventLogEntry]:
    return list(instance.all_logs(run_id))


def statuses(instance: dg.DagsterInstance, *names: str) -> dict[str, tuple[set[str], set[str], set[str]]]:
    """What the UI shows of each asset's days: materialized, failed, under way."""
    graph = build_defs().resolve_asset_graph()
    found = {}
    for name in names or HISTORY:
        days = graph.get(dg.AssetKey(name)).partitions_def
        assert days is not None
        cached = get_and_update_asset_status_cache_value(instance, dg.AssetKey(name), days)
        assert cached is not None
        found[name] = (
            set(cached.deserialize_materialized_partition_subsets(days).get_partition_keys()),
            set(cached.deserialize_failed_partition_subsets(days).get_partition_keys()),
            set(cached.deserialize_in_progress_partition_subsets(days).get_partition_keys()),
        )
    return found


def test_the_same_events_leave_the_same_rows_as_in_dagsters_own_storage(
    environment: Simulator, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    some_days = all_days()[-3:]  # Dagster's own takes a while for each event
    result = Launcher(instance)(*ASSETS, checks=None, days=(some_days[0], some_days[-1]))
    assert result.success
    told = entries(instance, result.run_id)
    theirs, ours = SqliteEventLogStorage(str(tmp_path / "theirs")), EventLog(str(tmp_path / "ours"))
    for storage in (theirs, ours):
        storage.register_instance(instance)
    for each in told:
        theirs.store_event(each)
    for batchable, some in groupby(told, key=lambda each: each.dagster_event_type in BATCH_WRITABLE_EVENTS):
        batch = list(some)
        if batchable and len(batch) > 1:
            ours.store_event_batch(batch)
        else:
            for each in batch:
                ours.store_event(each)
    ours.dispose()
    for name in (result.run_id, "index"):
        want, got = (tables(tmp_path / folder / f"{name}.db") for folder in ("theirs", "ours"))
        assert want == got
        assert len(want["event_logs"]) > 2 * len(some_days)
    assert {path.name for path in (tmp_path / "ours").iterdir()} == {f"{result.run_id}.db", "index.db"}


def test_a_run_over_many_days_plans_them_for_assets_that_have_days_and_marks_each(
    environment: Simulator, ours: dg.DagsterInstance
) -> None:
    result = Launcher(ours)(*ASSETS, checks=None)
    assert result.success
    told = [each.dagster_event for each in entries(ours, result.run_id) if each.dagster_event]
    planned = Counter(
        str(each.asset_key.path[0]) for each in told if each.asset_key and each.is_asset_materialization_planned
    )
    assert planned == {name: len(all_days()) if name in HISTORY else 1 for name in ASSETS}
    every = {day.isoformat() for day in all_days()}
    assert statuses(ours) == {name: (every, set(), set()) for name in HISTORY}
    with sqlite3.connect(Path(ours.root_directory) / "history" / "runs" / "index.db") as connection:
        rows = connection.execute("SELECT execution_status, count(*) FROM asset_check_executions GROUP BY 1").fetchall()
    connection.close()
    assert rows == [("SUCCEEDED", 29)]


def test_dagsters_own_storage_goes_on_where_ours_ended_and_the_other_way_round(
    environment: Simulator, home: Path
) -> None:
    seen = []
    for turn in range(3):
        with stock(home) if turn == 1 else dg.DagsterInstance.get() as instance:
            storage = instance.get_ref().storage_data
            assert storage is not None
            assert storage.class_name == ("DagsterSqliteStorage" if turn == 1 else "SqliteStorage")
            result = Launcher(instance)("transactions", days=(all_days()[turn], all_days()[turn]))
            assert result.success
            assert instance.get_runs_count() == turn + 1
            marked = instance.get_materialized_partitions(dg.AssetKey("transactions"))
            assert marked == {day.isoformat() for day in all_days()[: turn + 1]}
            assert statuses(instance, "transactions")["transactions"] == (marked, set(), set())
            seen.append(result.run_id)
            assert all(entries(instance, run_id) for run_id in seen)


def test_a_run_that_fails_shows_its_days_as_failed(environment: Simulator, ours: dg.DagsterInstance) -> None:
    result = Launcher(ours)("transactions", config={"transactions": {"accounts": ["5WX00000"]}})
    assert not result.success
    every = {day.isoformat() for day in all_days()}
    assert statuses(ours, "transactions")["transactions"] == (set(), every, set())


def test_a_page_that_watches_a_run_sees_every_event_while_the_runs_file_is_open(
    environment: Simulator, ours: dg.DagsterInstance
) -> None:
    watching = EventLog(str(Path(ours.root_directory) / "history" / "runs"))
    watching.register_instance(ours)
    run = ours.create_run_for_job(build_defs().resolve_job_def("sync_portfolio"))
    seen: list[EventLogEntry] = []
    all_there = threading.Event()

    def see(entry: EventLogEntry, _: str) -> None:
        seen.append(entry)
        if entry.message == "the last":
            all_there.set()

    watching.watch(run.run_id, None, see)
    for number in range(20):
        ours.report_engine_event("the last" if number == 19 else f"number {number}", run)
    assert all_there.wait(20)
    watching.dispose()
    assert [each.message for each in seen] == [each.message for each in entries(ours, run.run_id)]


def test_what_a_process_stored_is_there_after_it_was_killed(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:  # noqa: S603
        assert killed.stdout
        assert killed.stdout.readline() == b"stored\n"
        os.kill(killed.pid, signal.SIGKILL)
    for open_it in (dg.DagsterInstance.get, lambda: stock(home)):
        with open_it() as instance:
            assert instance.get_materialized_partitions(dg.AssetKey("killed")) == set("01234")


def test_events_are_stored_after_another_process_has_removed_all_runs(
    environment: Simulator, home: Path, ours: dg.DagsterInstance
) -> None:
    job, run_id = build_defs().resolve_job_def("sync_portfolio"), str(uuid.uuid4())
    for message in ("before", "after"):
        run = ours.create_run_for_job(job, run_id=run_id)
        ours.report_engine_event(message, run)
        assert [each.message for each in entries(ours, run_id) if each.message][-1:] == [message]
        if message == "before":
            with stock(home) as other:
                other.wipe()
    assert "before" not in [each.message for each in entries(ours, run_id)]


def test_a_process_keeps_few_files_open(tmp_path: Path) -> None:
    storage = EventLog(str(tmp_path))
    for number in range(OPEN_FILES * 2):
        assert not storage.get_logs_for_run(f"run{number}")
    files = {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()}
    assert len([name for name in files if name.startswith(str(tmp_path)) and name.endswith(".db")]) == OPEN_FILES
    storage.dispose()
