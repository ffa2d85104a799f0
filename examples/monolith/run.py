"""`make monolith`: the whole circle on one machine, from a simulated brokerage to a Django application's pages.

It starts Postgres (unless TASTY_WAREHOUSE_URL names a server), the simulated brokerage, the pipeline and the Django
project beside this file, each with the rights it needs and no more, and ends them together. All that it keeps is in
data/monolith. Everything in it is invented, and nothing of it is reachable from another machine.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import FrameType

import preparing
from monolith.people import OPERATOR, USERS, password_of
from postgres import PostgresError, serve
from rich.console import Console

from tasty_pipeline.cli import main as pipeline
from tasty_pipeline.cli import simulated
from tasty_pipeline.cli.dev import dagster_processes, simulator_process
from tasty_pipeline.cli.home import create_storage, prepare_home
from tasty_pipeline.cli.processes import Process, free_port, refuse_taken, run_all
from tasty_pipeline.core.connections import key_state
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.simulator.config import CLIENT_SECRET

HOST = "127.0.0.1"


def main() -> int:
    """Run until interrupted; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=8000, help="port of the Django application")
    parser.add_argument("--dagster-port", type=int, default=3000, help="port of the Dagster UI")
    parser.add_argument("--folder", type=Path, default=Path("data/monolith"), help="where everything is kept")
    parser.add_argument("--from", dest="start", metavar="YYYY-MM-DD", help="first simulated day of a new folder")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options)
    except (TastyError, PostgresError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"make monolith: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0


def _run(options: argparse.Namespace) -> int:
    refuse_taken("The application", HOST, options.port, "make monolith MONOLITH_PORT=8001")
    refuse_taken("The Dagster UI", HOST, options.dagster_port, "make monolith PORT=3001")
    folder, console = options.folder.absolute(), Console()
    with preparing.alone(folder), contextlib.ExitStack() as stack:
        kept = preparing.kept(folder, simulated.first_day(options.start) if options.start else None)
        console.print("Preparing databases, roles, keys and users ...")
        given = read_settings().warehouse_url
        is_given = given.startswith(("postgres://", "postgresql://"))
        server = given if is_given else stack.enter_context(serve(folder / "postgres"))
        databases = preparing.make_databases(server, kept.password, given=is_given)
        application = preparing.application_environment(databases, kept.secret_key)
        preparing.manage(application, "migrate", "--verbosity", "0")
        preparing.manage(application, "make_people")
        brokerage = replace(simulated.simulator_config(kept.first_day, free_port()), journal=folder / "simulator.jsonl")
        url, dagster = f"http://{HOST}:{brokerage.port}", f"http://{HOST}:{options.dagster_port}"
        _set_environment(folder, databases.pipeline, url, kept.first_day, dagster)
        if _lacks_key(databases.pipeline) and pipeline(["keygen"]):
            return 1
        create_storage()
        log = folder / "log"
        _say_what_to_do(console, f"http://{HOST}:{options.port}", url, dagster, log)
        processes = [simulator_process(brokerage), *dagster_processes(HOST, options.dagster_port)]
        pages = Process(_gunicorn(options.port), application)
        return run_all([*(replace(each, log=log) for each in processes), pages])


def _lacks_key(url: str) -> bool:
    with open_warehouse(url).read() as reader:
        state = key_state(reader, read_settings().sealing_keys)
    return state.current not in state.held


def _set_environment(folder: Path, warehouse: str, brokerage: str, first: date, dagster: str) -> None:
    """Set the pipeline's environment: no login of its own, so that it reads stored connections only."""
    os.environ.update(simulated.environment(brokerage, CLIENT_SECRET, "", first))
    os.environ["TASTY_WAREHOUSE_URL"] = warehouse
    os.environ["TASTY_SEALING_KEYS"] = str(folder / "sealing-keys")
    os.environ["TASTY_UI_URL"] = dagster
    os.environ["DAGSTER_HOME"] = str(folder / "dagster")
    prepare_home(simulated=True)


def _gunicorn(port: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "monolith.wsgi", "--chdir", str(preparing.PROJECT)]
    command += ["--bind", f"{HOST}:{port}", "--workers", "2", "--threads", "4", "--log-level", "warning"]
    return [*command, "--no-control-socket"]


def _say_what_to_do(console: Console, pages: str, brokerage: str, dagster: str, log: Path) -> None:
    people = ", ".join(f"[bold]{name}[/] (password {password_of(name)})" for name in (*USERS, OPERATOR))
    console.print(
        f"""
[bold yellow]SIMULATED brokerage[/] at {brokerage}: every account, price and password here is invented.

  1. Open [bold]{pages}[/] and log in: {people}.
  2. On the page Connections connect with the refresh token [bold]simulator-refresh-alice[/] (bob: ...-bob).
  3. Press [bold]Sync now[/] and watch.
  4. Trade by hand, and sync again:
     [bold].venv/bin/tasty-pipeline simulate trade --login alice --symbol AMD --url {brokerage}[/]
  5. Refuse a login, as a revoked grant would be, and undo it:
     .venv/bin/tasty-pipeline simulate revoke --login alice --url {brokerage}

Dagster UI: {dagster}   the operator's admin: {pages}/admin/   Ctrl-C ends everything.
What the brokerage and the pipeline say stands in {log}, what the application says here.""",
        soft_wrap=True,
        highlight=False,
    )


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
