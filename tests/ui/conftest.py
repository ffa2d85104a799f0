"""`tasty-pipeline dev` in a folder of its own, asked through GraphQL as the UI asks it.

One server for the file: it takes ten seconds to come up. TASTY_TEST_DAYS is the length of its history (40); with
1830 the same tests backfill five years.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import open_warehouse

DAYS = int(os.environ.get("TASTY_TEST_DAYS", "40"))
PATIENCE = max(90.0, DAYS / 3)
HISTORY = ("transactions", "balance_snapshots")
_LAUNCH_BACKFILL = """mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PartitionKeysNotFoundError { message }
    ... on PythonError { message } } }"""
_LAUNCH_RUN = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
    status stats { ... on RunStatsSnapshot { startTime endTime } } } } }"""


class Ui:
    """A running UI: what its pages ask and do, the brokerage behind it and the tables that it fills."""

    def __init__(self, url: str, brokerage: str, warehouse: str) -> None:
        self.url, self.brokerage = url, brokerage
        self._warehouse = open_warehouse(warehouse)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query or mutation; raises if it is refused."""
        answer = self._post(f"{self.url}/graphql", {"query": query, "variables": variables})
        assert "errors" not in answer, answer["errors"]
        return dict(answer["data"])

    def until(self, done: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Ask again until there is an answer that counts."""
        deadline = time.monotonic() + seconds
        while not (answer := done()):
            assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
            time.sleep(0.2)
        return answer

    def days(self) -> list[str]:
        """The partitions, as the UI's dialogue offers them."""
        asked = self.ask(
            '{ assetNodeOrError(assetKey: {path: ["transactions"]}) { ... on AssetNode { partitionKeys } } }'
        )
        return list(asked["assetNodeOrError"]["partitionKeys"])

    def backfill(self, days: Sequence[str], assets: Sequence[str] = HISTORY) -> dict[str, Any]:
        """Press 'Launch backfill' for these days."""
        keys = [{"path": [name]} for name in assets]
        asked = {"partitionNames": list(days), "assetSelection": keys, "tags": []}
        return dict(self.ask(_LAUNCH_BACKFILL, p=asked)["launchPartitionBackfill"])

    def runs_of(self, backfill: str) -> list[str]:
        """The runs that a backfill has started."""
        found = self.ask(
            "query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results { runId } } } }",
            f={"tags": [{"key": "dagster/backfill", "value": backfill}]},
        )
        return [run["runId"] for run in found["runsOrError"]["results"]]

    def under_way(self) -> bool:
        """Whether any run has not ended."""
        found = self.ask(
            "query($f: RunsFilter) { runsOrError(filter: $f) { ... on Runs { results { runId } } } }",
            f={"statuses": ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]},
        )
        return bool(found["runsOrError"]["results"])

    def materialize(self, *assets: str, **tags: str) -> str:
        """Press 'Materialize', with tags (`_` for `/`) where the launchpad gives some; returns the run's id."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "tasty_pipeline",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in assets],
            "assetCheckSelection": [],
        }
        told = [{"key": name.replace("_", "/", 1), "value": value} for name, value in tags.items()]
        asked = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": told}}
        launched = self.ask(_LAUNCH_RUN, p=asked)
        return str(launched["launchPipelineExecution"]["run"]["runId"])

    def ended(self, run: str) -> str:
        """Wait for the end of a run; returns its status."""

        def status() -> str:
            told = str(self.ask(_RUN, id=run)["runOrError"]["status"])
            return told if told in {"SUCCESS", "FAILURE", "CANCELED"} else ""

        return str(self.until(status, f"the end of run {run}"))

    def seconds(self, run: str) -> float:
        """How long a run took."""
        stats = self.ask(_RUN, id=run)["runOrError"]["stats"]
        return float(stats["endTime"] - stats["startTime"])

    def failure(self, run: str) -> dict[str, str]:
        """What the run's page says of its failed steps."""
        asked = self.ask(
            """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
            ... on ExecutionStepFailureEvent { stepKey failureMetadata { description } } } } } }""",
            id=run,
        )
        events = [event for event in asked["logsForRun"]["events"] if event.get("stepKey")]
        return {event["stepKey"]: (event["failureMetadata"] or {}).get("description", "") for event in events}

    def control(self, what: str, how: str = "POST", /, **content: Any) -> Any:
        """Do something to the brokerage by hand."""
        return self._post(f"{self.brokerage}/__control__/{what}", content, how)

    def stored(self, name: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        table = schema.METADATA.tables[f"{schema.SCHEMA}.{name}"]
        with self._warehouse.read() as reader:
            return reader.rows(sa.select(table).order_by(*table.primary_key.columns))

    def has_transaction(self, number: int) -> bool:
        """Whether a transaction is in the table."""
        key = schema.transactions.c.transaction_id
        with self._warehouse.read() as reader:
            return bool(reader.scalar(sa.select(sa.func.count()).where(key == number)))

    @staticmethod
    def _post(url: str, content: Any, method: str = "POST") -> Any:
        request = urllib.request.Request(  # noqa: S310 - loopback
            url, json.dumps(content).encode(), {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)  # how Dagster refuses a mutation


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The UI on a simulated brokerage, ended with the file: its processes would go on looking for work."""
    folder, port = tmp_path_factory.mktemp("dev"), _free_port()
    first = new_york_day(datetime.now(UTC)) - timedelta(days=DAYS - 1)
    environment = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, "DAGSTER_HOME"}}
    log = folder / "log"
    command = [sys.executable, "-m", "tasty_pipeline.cli", "dev", "--port", str(port), "--from", str(first)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output) as dev,  # noqa: S603
    ):
        try:
            yield _opened(dev, port, log, folder)
        finally:
            dev.send_signal(signal.SIGTERM)
        assert dev.wait(60) == 0, log.read_text()[-2000:]
    deadline = time.monotonic() + 30
    while left := _processes_of(folder):
        assert time.monotonic() < deadline, f"`dev` has ended and left behind: {left}"
        time.sleep(0.1)


def _processes_of(folder: Path) -> list[str]:
    """The processes whose DAGSTER_HOME is in a folder, whoever is their parent now."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"DAGSTER_HOME={folder}".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text().replace("\0", " "))
    return found


def _opened(dev: "subprocess.Popen[bytes]", port: int, log: Path, folder: Path) -> Ui:
    deadline = time.monotonic() + 90
    url = f"http://127.0.0.1:{port}"
    while time.monotonic() < deadline and dev.poll() is None:
        brokerage = re.search(r"SIMULATED brokerage at (http://[\d.:]+)", log.read_text())
        if brokerage:
            opened = Ui(url, brokerage[1].rstrip(":"), f"duckdb:///{folder}/data/demo.duckdb")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, AssertionError, KeyError, TypeError):
                if opened.days():
                    return opened
        time.sleep(0.2)
    pytest.fail(f"the UI did not open:\n{log.read_text()}")


@pytest.fixture(scope="module")
def launched(ui: Ui) -> str:
    """A backfill of the whole history, launched as the UI does."""
    answer = ui.backfill(ui.days())
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


@pytest.fixture(scope="module")
def refused(ui: Ui, launched: str) -> str:
    """A run that failed because the broker refused an account."""
    ui.control("faults", kind="not_permitted", path="5WT00702/positions")
    try:
        run = ui.materialize("positions", "balances")
        assert ui.ended(run) == "FAILURE"
    finally:
        ui.control("faults", "DELETE")
    return run


@pytest.fixture(scope="module")
def history(ui: Ui, launched: str, refused: str) -> str:
    """The one run of that backfill; it has ended well."""
    (run,) = ui.until(lambda: ui.runs_of(launched), "the backfill's run")
    assert ui.ended(run) == "SUCCESS"
    assert ui.runs_of(launched) == [run]
    return str(run)


@pytest.fixture(scope="module")
def repeated(ui: Ui, history: str) -> tuple[str, dict[str, list[dict[str, Any]]]]:
    """The same backfill launched again, and what the tables held before it."""
    ui.until(lambda: not ui.under_way(), "the end of what a trade started")
    before = {name: ui.stored(name) for name in HISTORY}
    return str(ui.backfill(ui.days())["backfillId"]), before
