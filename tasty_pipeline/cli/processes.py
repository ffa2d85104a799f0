"""Several processes that live and end together, and the ports that they listen on.

Here belongs what `dev` and the example monolith share: starting, watching, and ending without orphans. What is started
belongs to the commands.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasty_pipeline.core.errors import ConfigurationError

_POLL_SECONDS = 0.3
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Process:
    """A command, its whole environment if that is not ours, and a file for what it says if that is not our terminal."""

    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    log: Path | None = None


def run_all(processes: Sequence[Process]) -> int:
    """Run until SIGINT or SIGTERM (0 then), or until one of the processes ends; return its exit status.

    All are ended before it returns, with whatever they started in their sessions.
    """
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: stopped.append(got))
    children = [_start(each) for each in processes]
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


def _start(process: Process) -> "subprocess.Popen[bytes]":
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(process.log.open("ab")) if process.log else None
        # sessions of their own: the terminal's Ctrl-C reaches us alone, and we end them in order
        return subprocess.Popen(  # noqa: S603
            process.command,
            env=process.environment,
            stdout=log,
            stderr=log,
            preexec_fn=_default_signals,  # noqa: PLW1509 - no threads here
            start_new_session=True,
        )


def _default_signals() -> None:
    # a shell that starts us in the background ignores SIGINT, and Dagster copies that to SIGTERM
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def refuse_taken(what: str, host: str, port: int, remedy: str) -> None:
    """Raise ConfigurationError if something listens there already; `remedy` is an example of choosing another port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{what} cannot listen on {host}:{port} ({error.strerror}).",
                f"end what runs there, or choose another port: {remedy}.",
            ) from None


def free_port() -> int:
    """Return a port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_group(leader: int, number: signal.Signals) -> bool:
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return False
    return True
