"""One measurement: a way as a process of its own, what it reports, and whether its table is right afterwards.

Also here: the fake API as a process, and what is asked of it. In which order things are measured belongs to `bench.py`.
"""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from cases import Case, Measurement
from contestants import Way
from fake_rows import FIRST_DAY, LATE_DAYS
from stores import Store

HERE = Path(__file__).parent
MOST_SECONDS = 3600


class FakeApi:
    """The running fake API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.expected = self.ask("expected")
        self.account = str(self.expected["account"])
        self.today = date.fromisoformat(self.expected["last-day"])

    def ask(self, what: str) -> Any:
        """Tell it something, see `fake_api.Control`."""
        with urllib.request.urlopen(f"{self.url}/bench/{what}") as answer:  # noqa: S310 - loopback
            return json.load(answer)


@contextlib.contextmanager
def fake_api(rows: int) -> Iterator[FakeApi]:
    """Serve so many rows."""
    command = [sys.executable, str(HERE / "fake_api.py"), "--rows", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            yield FakeApi(address)
        finally:
            process.terminate()


def measure(way: Way, case: Case, scenario: str, api: FakeApi, store: Store, folder: Path, python: str) -> Measurement:
    """Synchronise once and look at what came of it."""
    before = api.ask("counts")
    done = subprocess.run(  # noqa: S603
        [python, str(HERE / "ways" / f"{way.name}.py"), json.dumps(_task(case, scenario, api, store, folder))],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
        cwd=folder,
        env={**os.environ, **way.environment},
    )
    after = api.ask("counts")
    counted = {name: after[name] - before[name] for name in ("requests", "throttled", "bytes")}
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        return Measurement(way.name, case, scenario, wrong=f"failed: {' '.join(said)[:200]}", **counted)
    answer = json.loads(done.stdout.splitlines()[-1])
    answer.pop("said")
    wrong = _flaw(way, api, store)
    return Measurement(way.name, case, scenario, wrong=wrong, **counted, **answer)


def _task(case: Case, scenario: str, api: FakeApi, store: Store, folder: Path) -> dict[str, Any]:
    whole = scenario != "late"
    start = FIRST_DAY if whole else api.today - timedelta(days=LATE_DAYS - 1)
    days = {"start": start.isoformat(), "end": api.today.isoformat(), "today": api.today.isoformat()}
    place = {"api": api.url, "database": store.url, "account": api.account, "folder": str(folder)}
    return {**place, **days, "rate": case.rate, "whole": whole}


def _flaw(way: Way, api: FakeApi, store: Store) -> str:
    expected = api.ask("expected")
    rows, net = store.ask(way.count)
    if rows != expected["rows"]:
        return f"{rows} rows instead of {expected['rows']}"
    if net != Decimal(expected["net"]):
        return f"the net values sum up to {net} instead of {expected['net']}"
    return ""
