"""`tasty-pipeline dev`: the Dagster UI and its daemon, on the simulator unless there is a real API to read."""

import os
import sys
from pathlib import Path

from rich.console import Console

from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.home import create_storage, prepare_home
from tasty_pipeline.cli.processes import Process, free_port, refuse_taken, run_all
from tasty_pipeline.core.broker import BrokerConfig
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.simulator.config import CLIENT_SECRET, REFRESH_TOKEN, SimulatorConfig

WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"


def dev(host: str, port: int, start: str | None = None) -> int:
    """Run until interrupted, or until one of the processes ends; return its exit status.

    `start` is the first day of the simulated history; with a real API TASTY_HISTORY_START says it.
    """
    console = Console()
    settings = read_settings()
    refuse_taken("The UI", host, port, "make dev PORT=3001")
    home = prepare_home(simulated=simulated.wanted(settings))
    processes: list[Process] = []
    if simulated.wanted(settings):
        simulator_port = free_port()
        url = f"http://127.0.0.1:{simulator_port}"
        first = simulated.first_day(start)
        config = simulated.simulator_config(first, port=simulator_port)
        processes.append(simulator_process(config))
        os.environ.update(simulated.environment(url, CLIENT_SECRET, REFRESH_TOKEN, first))
        if not os.environ.get("TASTY_WAREHOUSE_URL"):
            os.environ["TASTY_WAREHOUSE_URL"] = simulated.WAREHOUSE_URL
        console.print(
            f"[bold yellow]SIMULATED brokerage[/] at {url}: no credentials are set. Every account and price is "
            f"invented. Trade in it with: [bold].venv/bin/tasty-pipeline simulate trade --url {url}[/]"
        )
    else:
        if settings.refresh_token:
            settings.credentials()  # refuses half of them
        BrokerConfig(url=settings.api_url)  # refuses an address with a password in it before it is shown
        console.print(
            f"[bold green]REAL API[/]: {settings.api_url or ('sandbox' if settings.sandbox else 'production')}"
        )
        if not settings.refresh_token:
            console.print(
                "TT_REFRESH is not set: only stored connections are synchronised. See them, and add some, with "
                "[bold]tasty-pipeline connections[/]."
            )
    os.environ.setdefault("TASTY_UI_URL", f"http://{host}:{port}")
    create_storage()
    processes += dagster_processes(host, port)
    console.print(f"Dagster UI: [bold]http://{host}:{port}[/]   (Ctrl-C ends it; runs are kept in {home})")
    return run_all(processes)


def dagster_processes(host: str, port: int) -> list[Process]:
    """Return the UI and the daemon."""
    dagster = [sys.executable, "-m"]
    return [
        Process([*dagster, "dagster_webserver", "-w", str(WORKSPACE), "-h", host, "-p", str(port)]),
        Process([*dagster, "dagster._daemon", "run", "-w", str(WORKSPACE)]),
    ]


def simulator_process(config: SimulatorConfig) -> Process:
    """Return the server of a simulated brokerage."""
    now = config.now.isoformat() if config.now else ""
    command = [sys.executable, "-m", "tasty_pipeline.simulator", "--port", str(config.port)]
    return Process([*command, "--start", config.start.isoformat(), "--now", now, "--journal", str(config.journal)])
