"""A simulated brokerage on today's clock, the project pointed at it, and a place that records alerts."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tasty_pipeline import sensors
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

VARIABLES = (
    "TASTY_SANDBOX",
    "TASTY_PUBLISH_COPY",
    "TASTY_ALERT_WEBHOOK",
    "TASTY_ALERT_COMMAND",
    "TASTY_ALERT_EMAIL",
    "TASTY_SMTP_URL",
)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    start = date.today() - timedelta(days=40)  # noqa: DTZ011 - any day some weeks ago
    with serve(SimulatorConfig(seed=7, start=start, accounts=4, closed_after_days=20, trades_per_day=1.0)) as simulator:
        yield simulator


@pytest.fixture
def environment(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """Point the project at the simulator and an empty warehouse."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TT_SECRET", sim.client_secret)
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    monkeypatch.setenv("TASTY_API_URL", sim.url)
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", f"duckdb:///{tmp_path}/warehouse.duckdb")
    monkeypatch.setenv("TASTY_HISTORY_START", (date.today() - timedelta(days=30)).isoformat())  # noqa: DTZ011
    monkeypatch.setattr(sensors, "RETRY_SECONDS", 0.0)
    return sim


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def repository(environment: Simulator) -> dg.RepositoryDefinition:
    repository = build_defs().get_repository_def()
    assert isinstance(repository, dg.RepositoryDefinition)
    return repository


class Ticker:
    """Ticks one sensor as the daemon does, keeping the cursor as the daemon does."""

    def __init__(self, repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, name: str) -> None:
        self._repository = repository
        self._instance = instance
        self._sensor = repository.get_sensor_def(name)
        self.cursor: str | None = None

    def __call__(self) -> tuple[Sequence[dg.RunRequest], str]:
        """Tick once; return the requested runs and the reason to skip."""
        context = dg.build_sensor_context(self._instance, self.cursor, repository_def=self._repository)
        with context:
            ticked = self._sensor.evaluate_tick(context)
        self.cursor = ticked.cursor  # after an exception the daemon keeps the old one, and so does this
        return ticked.run_requests or [], ticked.skip_message or ""


@pytest.fixture
def ticker(repository: dg.RepositoryDefinition, instance: dg.DagsterInstance) -> Callable[[str], Ticker]:
    return lambda name: Ticker(repository, instance, name)


@pytest.fixture
def execute(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance
) -> Callable[..., dg.ExecuteInProcessResult]:
    """Run a job, of its assets only those named, as the daemon would after a request."""

    def run(job: str, *assets: str, **options: Any) -> dg.ExecuteInProcessResult:
        if assets:
            options["asset_selection"] = [dg.AssetKey(name) for name in assets]
        return repository.get_job(job).execute_in_process(instance=instance, raise_on_error=False, **options)

    return run


class Webhook:
    """A real HTTP server that keeps what it was sent; `status` is what it answers."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.status = 204
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.status == 204:
                    outer.alerts.append(json.loads(body))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook/very-secret-path"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    made = Webhook()
    monkeypatch.setenv("TASTY_ALERT_WEBHOOK", made.url)
    yield made
    made.stop()
