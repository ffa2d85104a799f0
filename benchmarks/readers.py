"""`make readers`: 100 readers of the example's pages, on a million transactions, while a publisher publishes.

It fills a Postgres of its own, counts each page's queries and looks at their plans, then serves the example with its
production settings by gunicorn and lets the readers turn pages over HTTP: first with pauses as people make them, then
without any. It ends with 1 if a page failed, showed another's rows, or read a growing table from end to end.
"""

import argparse
import contextlib
import multiprocessing
import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "monolith"))

import crowd
import load
import preparing
import psycopg
from postgres import serve

from tasty_pipeline.cli.processes import free_port
from tasty_pipeline.core.warehouse import open_warehouse

WORKERS, THREADS = 2, 4


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30, help="of each of the two loads")
    parser.add_argument("--pause", type=float, default=10, help="mean seconds between two pages of one reader")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, serve(Path(folder) / "postgres") as server:
        databases = preparing.make_databases(server, secrets.token_urlsafe(16), given=False)
        environment = _production(databases, Path(folder))
        preparing.manage(environment, "migrate", "--verbosity", "0")
        preparing.manage(environment, "collectstatic", "--no-input", "--verbosity", "0")
        os.environ.update(environment)
        readers = _fill(server, databases.pipeline, options.readers, options.rows)
        bad = _show_plans(readers)
        with _served(environment) as port:
            for pause in (options.pause, 0.0):
                bad += _measure(port, databases.pipeline, readers, options, pause)
    return 1 if bad else 0


def _production(databases: preparing.Databases, folder: Path) -> dict[str, str]:
    environment = preparing.application_environment(databases, secrets.token_urlsafe(50))
    del environment["MONOLITH_DEVELOPMENT"]
    hosts = {"MONOLITH_HOSTS": "127.0.0.1", "MONOLITH_BEHIND_PROXY": "1"}
    return environment | hosts | {"MONOLITH_STATIC_ROOT": str(folder / "static")}


def _fill(server: str, warehouse: str, count: int, rows: int) -> list[tuple[Any, load.Reader]]:
    """Make the users and their rows; return each user with the reader that is logged in as that user."""
    import django  # noqa: PLC0415 - its settings are in the environment only now

    django.setup()
    from django.conf import settings  # noqa: PLC0415
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from tasty_django.models import Transaction  # noqa: PLC0415
    from tasty_django.paging import Cursor  # noqa: PLC0415

    began = time.monotonic()
    users = User.objects.bulk_create(User(username=f"reader{number}") for number in range(count))
    accounts = crowd.accounts_of([str(user.pk) for user in users], rows)
    crowd.fill(open_warehouse(warehouse), accounts)
    with psycopg.connect(server.replace("/postgres?", "/tasty?"), autocommit=True) as admin:
        admin.execute("VACUUM (ANALYZE)")
    print(f"{rows:,} transactions of {count} users in {time.monotonic() - began:.0f} s\n")
    readers = []
    for user, account in zip(users, accounts, strict=True):
        client = Client()
        client.force_login(user)
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        row = Transaction.objects.filter(account_id=account.number, transaction_date=crowd.MIDDLE).newest_first()[0]
        readers.append((user, load.Reader(cookie, account.number, str(Cursor.at(row, newer=False)))))
    return readers


def _pages() -> load.Pages:
    from django.urls import reverse  # noqa: PLC0415

    rows = reverse("tasty:transactions")
    return {
        "portfolio": lambda _: reverse("tasty:portfolio"),
        "transactions": lambda _: rows,
        "filtered": lambda _: f"{rows}?symbol=AMD&type=Trade&start=2025-03-01&end=2026-03-01",
        "in the middle": lambda reader: f"{rows}?after={reader.middle}",
        "filtered, in the middle": lambda reader: f"{rows}?symbol=SPY&after={reader.middle}",
    }


def _show_plans(readers: list[tuple[Any, load.Reader]]) -> int:
    import plans  # noqa: PLC0415 - needs Django set up

    bad = 0
    print(f"{'page':<24}{'queries':>8}  of them to the application's own tables; indexes of the growing tables")
    for name, address in _pages().items():
        user, reader = readers[0]
        asked = plans.asked_by(user, address(reader))
        refused = plans.refused(user, asked.tasty)
        found = {
            scan
            for query in asked.tasty
            if query.lstrip("( ").startswith("SELECT")
            for scan in plans.scans(user, query)
        }
        used = sorted({index for _, table, index in found if index and table in {*plans.GROWING, ""}})
        print(f"{name:<24}{len(asked.tasty) + asked.own:>8}  {asked.own}; {', '.join(used)}")
        for query in refused:
            print(f"    READS A GROWING TABLE FROM END TO END: {query}")
        bad += len(refused)
    print()
    return bad


@contextlib.contextmanager
def _served(environment: dict[str, str]) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "monolith.wsgi", "--chdir", str(preparing.PROJECT)]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(WORKERS), "--threads", str(THREADS)]
    command += ["--log-level", "warning", "--no-control-socket", "--keep-alive", "75"]
    with subprocess.Popen(command, env=environment) as server:  # noqa: S603
        try:
            _wait_for(f"http://127.0.0.1:{port}/login/")
            yield port
        finally:
            server.terminate()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 60
    request = urllib.request.Request(address, headers={"X-Forwarded-Proto": "https"})  # noqa: S310 - loopback
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(request):  # noqa: S310
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing answers at {address}")


def _measure(
    port: int, warehouse: str, readers: list[tuple[Any, load.Reader]], options: argparse.Namespace, pause: float
) -> int:
    spawning = multiprocessing.get_context("spawn")
    with spawning.Manager() as manager, ProcessPoolExecutor(1, mp_context=spawning) as pool:
        stop: Event = manager.Event()  # type: ignore[assignment]  # a proxy of one
        first_id = options.rows + 1 + int(time.time()) * 1000
        accounts = [crowd.Account(reader.account, str(user.pk), 0) for user, reader in readers]
        pool.submit(crowd.accounts_of, ["1"], 1).result()  # it has started and imported everything
        publishing = pool.submit(crowd.publish_without_pause, warehouse, accounts, stop, first_id)
        measured = load.read(port, [reader for _, reader in readers], _pages(), options.seconds, pause)
        stop.set()
        publications, written = publishing.result()
    turning = f"each a page every {pause:g} s" if pause else "each without a pause"
    print(f"{len(readers)} readers, {turning}, {WORKERS} workers of {THREADS} threads, {options.seconds:g} s")
    print("\n".join(load.table(measured, options.seconds)))
    print(f"meanwhile {publications} publications wrote {written:,} rows\n")
    for error in measured.errors[:5]:
        print(f"    {error}")
    return len(measured.errors)


if __name__ == "__main__":
    sys.exit(main())
