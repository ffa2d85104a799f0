"""The example monolith: a Postgres of its own, its Django project as in production, and the whole of it running."""

import contextlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.tradingdays import new_york_day

EXAMPLE = Path(__file__).parents[2] / "examples" / "monolith"
PREPARING = runpy.run_path(str(EXAMPLE / "preparing.py"))
POSTGRES = runpy.run_path(str(EXAMPLE / "postgres.py"))
_OTHERS = ("MONOLITH_", "DJANGO_", "TASTY_TEST_")


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a machine that knows nothing of the project, and these variables."""
    rest = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, "DAGSTER_HOME"}}
    rest = {name: value for name, value in rest.items() if not name.startswith(_OTHERS)}
    return {**rest, "COLUMNS": "200", "NO_COLOR": "1", **variables}


def manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the example's `manage.py` to its end."""
    command = [sys.executable, str(EXAMPLE / "manage.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The three doors to databases on a server of their own, as `make monolith` makes them."""
    with POSTGRES["serve"](tmp_path_factory.mktemp("postgres"), kept=False) as server:
        yield PREPARING["make_databases"](server, "pass-word", given=False)


@pytest.fixture(scope="session")
def production(databases: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the Django project in production, behind a proxy that speaks HTTPS, with its tables made."""
    environment = clean_environment(
        MONOLITH_SECRET_KEY="a key of the tests, with more than fifty different characters: 0123456789 xyz",
        MONOLITH_DATABASE_URL=databases.application,
        MONOLITH_TASTY_URL=databases.tasty,
        MONOLITH_HOSTS="monolith.example",
        MONOLITH_BEHIND_PROXY="1",
        MONOLITH_STATIC_ROOT=str(tmp_path_factory.mktemp("static")),
    )
    for arguments in (["migrate", "--verbosity", "0"], ["collectstatic", "--no-input", "--verbosity", "0"]):
        done = manage(environment, *arguments)
        assert done.returncode == 0, done.stderr
    return environment


class Monolith:
    """The running example: the addresses that it prints, its brokerage's controls, and its tables."""

    def __init__(self, url: str, brokerage: str, folder: Path) -> None:
        self.url, self.brokerage = url, brokerage
        self._folder = folder

    def control(self, what: str, how: str = "POST", /, **content: Any) -> Any:
        """Do something to the brokerage by hand, or ask for its state."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.brokerage}/__control__/{what}", json.dumps(content).encode(), method=how
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def rows(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the pipeline's database as its administrator."""
        # its fifth line is the folder of its socket
        socket_folder = (self._folder / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[4]
        with psycopg.connect(host=socket_folder, user="postgres", dbname="tasty") as connection:
            return connection.execute(query, parameters).fetchall()

    def daemons(self) -> list[int]:
        """The processes of the Dagster daemon."""
        return [number for number, command in processes_of(self._folder).items() if "dagster._daemon" in command]


def processes_of(folder: Path) -> dict[int, str]:
    """All processes that were started for a folder, whoever is their parent now."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_text().replace("\0", " ")
                if str(folder) in command or str(folder).encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = command
    return found


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def monolith(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monolith]:
    """`make monolith` on three weeks of history, ended with Ctrl-C after the file: nothing of it is left then."""
    folder, port, dagster_port = tmp_path_factory.mktemp("monolith"), free_port(), free_port()
    first, log = new_york_day(datetime.now(UTC)) - timedelta(days=21), folder / "log"
    command = [sys.executable, str(EXAMPLE / "run.py"), "--port", str(port), "--dagster-port", str(dagster_port)]
    command += ["--folder", str(folder / "data"), "--from", str(first)]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=clean_environment(), stdout=output, stderr=output) as running,  # noqa: S603
    ):
        try:
            yield _opened(running, log, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{dagster_port}", folder / "data")
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0, _said(log)
    assert processes_of(folder) == {}


def _opened(running: "subprocess.Popen[bytes]", log: Path, pages: str, dagster: str, folder: Path) -> Monolith:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and running.poll() is None:
        brokerage = re.search(r"SIMULATED brokerage at (http://127\.0\.0\.1:\d+)", log.read_text())
        if brokerage and all(map(_answers, (f"{pages}/login/", f"{dagster}/server_info"))):
            return Monolith(pages, brokerage[1], folder)
        time.sleep(0.2)
    pytest.fail(f"the example did not open:\n{_said(log)}")


def _said(log: Path) -> str:
    rest = log.parent / "data" / "log"
    return log.read_text() + (rest.read_text()[-4000:] if rest.exists() else "")


def _answers(address: str) -> bool:
    with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(address, timeout=5):  # noqa: S310
        return True
    return False
