"""`tasty-pipeline dev`: the Dagster UI and its daemon, on the simulator unless there is a real API to read."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.home import create_storage, prepare_home
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.simulator.config import CLIENT_SECRET, REFRESH_TOKEN, SimulatorConfig

WORKSPACE = Path(__file__).parents[2] / "workspace.yaml"
_POLL_SECONDS = 0.3
_GRACE_SECONDS = 2.0


def dev(host: str, port: int, start: str | None = None) -> int:
    """Run until interrupted, or until one of the processes ends; return its exit status.

    `start` is the first day of the simulated history; with a real API TASTY_HISTORY_START says it.
    """
    console = Console()
    settings = read_settings()
    _refuse_taken(host, port)
    home = prepare_home(simulated=simulated.wanted(settings))
    commands: list[list[str]] = []
    if simulated.wanted(settings):
        simulator_port = _free_port()
        url = f"http://127.0.0.1:{simulator_port}"
        first = simulated.first_day(start)
        config = simulated.simulator_config(first, port=simulator_port)
        commands.append(_simulator(config))
        os.environ.update(simulated.environment(url, CLIENT_SECRET, REFRESH_TOKEN, first))
        if not os.environ.get("TASTY_WAREHOUSE_URL"):
            os.environ["TASTY_WAREHOUSE_URL"] = simulated.WAREHOUSE_URL
        console.print(
            f"[bold yellow]SIMULATED brokerage[/] at {url}: no credentials are set. Every account and price is "
            f"invented. Trade in it with: [bold].venv/bin/tasty-pipeline simulate trade --url {url}[/]"
        )
    else:
        settings.credentials()
        console.print(
            f"[bold green]REAL API[/]: {settings.api_url or ('sandbox' if settings.sandbox else 'production')}"
        )
    os.environ.setdefault("TASTY_UI_URL", f"http://{host}:{port}")
    create_storage()
    dagster = [sys.executable, "-m"]
    commands.append([*dagster, "dagster_webserver", "-w", str(WORKSPACE), "-h", host, "-p", str(port)])
    commands.append([*dagster, "dagster._daemon", "run", "-w", str(WORKSPACE)])
    console.print(f"Dagster UI: [bold]http://{host}:{port}[/]   (Ctrl-C ends it; runs are kept in {home})")
    return _run_all(commands)


def _simulator(config: SimulatorConfig) -> list[str]:
    now = config.now.isoformat() if config.now else ""
    command = [sys.executable, "-m", "tasty_pipeline.simulator", "--port", str(config.port)]
    return [*command, "--start", config.start.isoformat(), "--now", now, "--journal", str(config.journal)]


def _run_all(commands: list[list[str]]) -> int:
    def default_signals() -> None:
        # a shell that starts us in the background ignores SIGINT, and Dagster copies that to SIGTERM
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    # sessions of their own: the terminal's Ctrl-C reaches us alone, and we end them in order
    children = [
        subprocess.Popen(command, preexec_fn=default_signals, start_new_session=True)  # noqa: S603, PLW1509
        for command in commands
    ]
    while not stopped and all(child.poll() is None for child in children):
        time.sleep(_POLL_SECONDS)
    ended = next((child.returncode for child in children if child.returncode is not None), 0)
    for child in reversed(children):
        child.terminate()
    for child in children:
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            _end_group(child.pid, signal.SIGKILL)
    # a run under way is a process of the code server, which leaves it behind
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [child for child in children if _end_group(child.pid, number)]
        if left:
            time.sleep(_GRACE_SECONDS)
    return 0 if stopped else ended


def _end_group(leader: int, number: signal.Signals) -> bool:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True


def _refuse_taken(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"The UI cannot listen on {host}:{port} ({error.strerror}).",
                "end what runs there, or choose another port: make dev PORT=3001.",
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
