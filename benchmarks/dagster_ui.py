"""The Dagster UI with its daemon, asked through GraphQL as the UI asks it: a click, and when its run has ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasty_pipeline.cli.processes import free_port

PATIENCE_SECONDS = 900.0
_LAUNCH = """mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
    status stats { ... on RunStatsSnapshot { launchTime startTime endTime } } } } }"""
_UNDER_WAY = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) {
    ... on Runs { results { runId } } } }"""
_SENSORS = """{ sensorsOrError(repositorySelector: {repositoryName: "__repository__",
    repositoryLocationName: "tasty_pipeline"}) { ... on Sensors { results { id name } } } }"""
_STOP = "mutation($id: String!) { stopSensor(id: $id) { __typename } }"
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


class Ui:
    """A running UI and daemon."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a query or mutation; raises RuntimeError if it is refused."""
        content = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", content, {"content-type": "application/json"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            told = json.load(answer)
        if "errors" in told:
            raise RuntimeError(str(told["errors"]))
        return dict(told["data"])

    def rest(self) -> None:
        """Turn the sensors off and wait until no run is under way."""
        for sensor in self.ask(_SENSORS)["sensorsOrError"]["results"]:
            self.ask(_STOP, id=sensor["id"])
        until(lambda: not self.ask(_UNDER_WAY)["runsOrError"]["results"], "the end of the sensors' runs")

    def click(self, job: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, float]:
        """Launch a run; return the seconds from the click to its end, and of those the run's own.

        Raises RuntimeError for a run that fails.
        """
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "tasty_pipeline",
            "pipelineName": job,
        }
        told = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        asked = {"selector": selector, "runConfigData": config, "mode": "default", "executionMetadata": told}
        began = time.perf_counter()
        launched = self.ask(_LAUNCH, p=asked)["launchPipelineExecution"]
        if launched["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(str(launched))
        run = launched["run"]["runId"]
        ended: dict[str, Any] = until(lambda: self._ended(run), f"the end of run {run}")
        took = time.perf_counter() - began
        if ended["status"] != "SUCCESS":
            raise RuntimeError(f"Run {run} ended as {ended['status']}.")
        stats = ended["stats"]
        return {"click to done": took, "run itself": stats["endTime"] - stats["startTime"]}

    def _ended(self, run: str) -> dict[str, Any] | None:
        found: dict[str, Any] = self.ask(_RUN, id=run)["runOrError"]
        return found if found["status"] in _ENDED else None


def until(done: Callable[[], Any], what: str) -> Any:
    """Ask again until there is an answer that counts; raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := done()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.1)
    return answer


@contextlib.contextmanager
def opened(folder: Path, environment: Mapping[str, str]) -> Iterator[Ui]:
    """Run `tasty-pipeline dev` in a folder, and end it."""
    port = free_port()
    command = [sys.executable, "-m", "tasty_pipeline.cli", "dev", "--port", str(port)]
    with (
        (folder / "dev.log").open("w") as log,
        subprocess.Popen(command, cwd=folder, env={**os.environ, **environment}, stdout=log, stderr=log) as dev,  # noqa: S603
    ):
        try:
            ui = Ui(f"http://127.0.0.1:{port}")
            until(lambda: dev.poll() is not None or _answers(ui), "the opening of the UI")
            yield ui
        finally:
            dev.send_signal(signal.SIGTERM)


def _answers(ui: Ui) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError, KeyError):
        return bool(ui.ask(_SENSORS)["sensorsOrError"]["results"])
    return False
