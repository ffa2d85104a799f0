"""The definitions are a description: loading them asks nobody, opens nothing and needs no credential."""

import os
import subprocess
import sys
from pathlib import Path

# every connection, name look-up and file opened for writing is refused while the module is loaded
LOAD = """
import os, sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.mkdir"):
        raise RuntimeError(f"{event} {arguments}")
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not str(arguments[0]).startswith("/dev/"):
            raise RuntimeError(f"{event} {arguments}")

import dagster, tastytrade
sys.addaudithook(refuse)
from tasty_pipeline.definitions import defs
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
made = defs(DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION))
repository = made.get_repository_def()
print(sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()))
print(len(repository.asset_graph.asset_check_keys))
print(sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")))
"""


def test_the_definitions_load_without_credentials_network_or_disk(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", LOAD], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == [
        "['accounts', 'balance_snapshots', 'balances', 'positions', 'transactions']",
        "29",
        "['check_freshness', 'sync_activity', 'sync_history', 'sync_portfolio', 'sync_request']",
    ]
    assert not list(tmp_path.iterdir())
