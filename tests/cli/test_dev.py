"""`dev`: three processes that come up together, say plainly what they read, and leave nobody behind."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import COMMAND, clean_environment, run

PATIENCE_SECONDS = 60


def processes_of(folder: Path) -> dict[int, str]:
    """All processes that were started for a folder, whoever is their parent now: DAGSTER_HOME is inherited by all."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if f"DAGSTER_HOME={folder}".encode() in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    return found


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dev(
    request: pytest.FixtureRequest, tmp_path: Path, port: int, month_ago: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A `dev` started as a shell script starts a command in the background: with SIGINT ignored.

    Its parameter, where it has one, are variables of its environment.
    """
    command = [*COMMAND, "dev", "--port", str(port), "--from", month_ago]
    home = {"DAGSTER_HOME": str(tmp_path / "data" / "dagster"), **getattr(request, "param", {})}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own
            command,
            cwd=tmp_path,
            env=clean_environment(**home),
            stdout=log,
            stderr=log,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - no threads here
        ) as started,
    ):
        yield started
        started.kill()
    for number in processes_of(tmp_path):
        os.kill(number, signal.SIGKILL)


def test_it_says_that_it_simulates_and_ctrl_c_ends_all_its_processes(
    dev: "subprocess.Popen[bytes]", tmp_path: Path, port: int
) -> None:
    until(lambda: answers(f"http://127.0.0.1:{port}/server_info") or dev.poll() is not None, "the UI")
    until(lambda: any("grpc" in each for each in processes_of(tmp_path).values()), "the code server")
    said = (tmp_path / "log").read_text()
    brokerage = re.search(r"SIMULATED brokerage at (http://127\.0\.0\.1:\d+): no credentials are set", said)
    assert brokerage, said
    assert answers(f"{brokerage[1]}/__control__/state")
    assert f"http://127.0.0.1:{port}" in said
    assert "invented" in said
    assert "REAL API" not in said
    running = " ".join(processes_of(tmp_path).values())
    assert all(part in running for part in ("tasty_pipeline.simulator", "dagster_webserver", "dagster._daemon"))
    dev.send_signal(signal.SIGINT)
    assert dev.wait(PATIENCE_SECONDS) == 0
    until(lambda: not processes_of(tmp_path), f"the end of {processes_of(tmp_path)}")
    assert not answers(f"http://127.0.0.1:{port}/server_info")


def test_half_credentials_are_refused_and_never_taken_for_a_wish_to_simulate(tmp_path: Path, port: int) -> None:
    done = run(tmp_path, "dev", "--port", str(port), TT_REFRESH="c4nary")
    assert done.returncode == 1
    assert done.stderr.startswith("tasty-pipeline dev: ")
    assert "What to do: set TT_SECRET" in done.stderr
    assert "SIMULATED" not in done.stdout
    assert "c4nary" not in done.stdout + done.stderr


@pytest.mark.parametrize("dev", [{"TT_SECRET": "c4nary"}, {"TASTY_API_URL": "http://127.0.0.1:1"}], indirect=True)
def test_without_a_refresh_token_it_reads_what_is_stored(dev: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    log = tmp_path / "log"
    until(lambda: "Dagster UI" in log.read_text() or dev.poll() is not None, "the start")
    said = log.read_text()
    assert "REAL API" in said
    assert "TT_REFRESH is not set: only stored connections are synchronised" in said
    assert "SIMULATED" not in said
    assert "c4nary" not in said
    until(lambda: "dagster_webserver" in " ".join(processes_of(tmp_path).values()), "the UI")
    dev.send_signal(signal.SIGTERM)
    assert dev.wait(PATIENCE_SECONDS) == 0


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "dev", "--port", str(port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "choose another port" in done.stderr
    assert not list(tmp_path.iterdir())
