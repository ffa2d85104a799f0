"""The change feed misses nothing, tells nothing twice, and goes on after whatever happens to its connection."""

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from books import A1, B1, SHARED, Books
from scene import People, Site

from tasty_django.feed import changes, listen, newest

# far longer than a test: what comes, comes by notification
NEVER = 60.0


def _publish(site: Site, *rows: tuple[int, str]) -> None:
    """Write changes and notify in one transaction, as a publication does."""
    with psycopg.connect(site.owner_url) as session:
        for sequence, number in rows:
            session.execute(
                "INSERT INTO tasty.changes VALUES (%s, 'transactions', %s, "
                "jsonb_build_object('transaction_id', %s::bigint), 'insert', '2026-03-06 17:00:00+00', 'run-1')",
                (sequence, number, sequence),
            )
        session.execute("SELECT pg_notify('tasty_changes', '{}')")


def _wait_for_a_listener(site: Site) -> None:
    """Return once a session of the application does nothing but listen."""
    with psycopg.connect(site.owner_url, autocommit=True) as session:
        for _ in range(2000):
            idle = "SELECT 1 FROM pg_stat_activity WHERE usename = %s AND query LIKE 'LISTEN%%' AND state = 'idle'"
            if session.execute(idle, (site.role,)).fetchone():
                return
            session.execute("SELECT pg_sleep(0.005)")
    pytest.fail("nobody listens")


def _kill(site: Site) -> None:
    with psycopg.connect(site.owner_url, autocommit=True) as session:
        sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
        assert session.execute(sql, (site.role,)).fetchall()


@contextmanager
def _meanwhile(*steps: Callable[[], object]) -> Iterator[None]:
    """Do something while the block waits; fail if it failed."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for step in steps:
                step()
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not errors


def _numbers(batch: list[Any]) -> list[int]:
    return [change.sequence for change in batch]


def test_changes_come_in_order_from_any_number(site: Site, books: Books) -> None:
    _publish(site, *((number, A1) for number in range(1, 8)))
    assert [_numbers(batch) for batch in changes(size=3)] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [_numbers(batch) for batch in changes(after=5)] == [[6, 7]]
    assert list(changes(after=7)) == []
    assert newest() == 7
    (batch,) = changes(after=6)
    assert (batch[0].row_key, batch[0].kind, batch[0].table_name) == ({"transaction_id": 7}, "insert", "transactions")


def test_a_user_is_told_of_his_own_accounts_only(site: Site, books: Books, people: People) -> None:
    _publish(site, (1, A1), (2, B1), (3, SHARED), (4, B1))
    assert [_numbers(batch) for batch in changes(user=people.alice)] == [[1, 3]]
    assert [_numbers(batch) for batch in changes(user=people.bob, size=2)] == [[2, 3], [4]]
    assert list(changes(user=people.carol)) == []


def test_an_empty_feed_ends_at_nothing(books: Books) -> None:
    assert newest() == 0
    assert list(changes()) == []


def test_a_listener_hears_at_once_what_is_published(site: Site, books: Books) -> None:
    _publish(site, (1, A1), (2, A1))
    with closing(listen(after=1, poll_seconds=NEVER)) as feed:
        assert _numbers(next(feed)) == [2]
        with _meanwhile(lambda: _wait_for_a_listener(site), lambda: _publish(site, (3, A1), (4, B1))):
            assert _numbers(next(feed)) == [3, 4]
        # published before it looked again: nothing to wait for
        _publish(site, (5, A1))
        assert _numbers(next(feed)) == [5]


def test_a_listener_begins_now_unless_it_is_told_a_number(site: Site, books: Books) -> None:
    _publish(site, (1, A1))
    with (
        closing(listen(poll_seconds=NEVER)) as feed,
        _meanwhile(lambda: _wait_for_a_listener(site), lambda: _publish(site, (2, A1))),
    ):
        assert _numbers(next(feed)) == [2]


def test_a_change_without_a_notification_is_found_by_looking_again(books: Books) -> None:
    books.change(1)
    with closing(listen(after=0, poll_seconds=0.05)) as feed:
        next(feed)
        with _meanwhile(lambda: books.change(2)):
            assert _numbers(next(feed)) == [2]


def test_a_listener_outlives_its_connection_and_misses_nothing(
    site: Site, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    _publish(site, (1, A1))
    with closing(listen(after=0, poll_seconds=NEVER)) as feed, caplog.at_level(logging.WARNING):
        assert _numbers(next(feed)) == [1]
        with _meanwhile(
            lambda: _wait_for_a_listener(site), lambda: _kill(site), lambda: _publish(site, (2, A1), (3, A1))
        ):
            assert _numbers(next(feed)) == [2, 3]
        with _meanwhile(lambda: _wait_for_a_listener(site), lambda: _publish(site, (4, A1))):
            assert _numbers(next(feed)) == [4]
    assert "The change feed lost the database" in caplog.text


@pytest.fixture
def command(site: Site, books: Books) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start `manage.py tasty_changes` with arguments."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        line = [sys.executable, "-W", "error", "-m", "django", "tasty_changes", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(line, env=site.environment, stdout=pipe, stderr=pipe, text=True)  # noqa: S603 - our own
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_command_prints_live_and_ends_at_an_interrupt(
    site: Site, command: Callable[..., "subprocess.Popen[str]"]
) -> None:
    _publish(site, (1, A1))
    running = command("--after", "0")
    assert running.stdout is not None
    assert running.stdout.readline() == (f"1 2026-03-06 12:00:00-05:00 insert transactions {A1} transaction_id=1\n")
    _wait_for_a_listener(site)
    _publish(site, (2, B1))
    assert running.stdout.readline().startswith("2 ")
    _wait_for_a_listener(site)
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=30) == ("", "")
    assert running.returncode == 0


def test_the_command_shows_one_user_only_his_own(
    site: Site, people: People, command: Callable[..., "subprocess.Popen[str]"]
) -> None:
    _publish(site, (1, A1), (2, B1))
    running = command("--after", "0", "--user", "bob")
    assert running.stdout is not None
    assert running.stdout.readline().startswith("2 ")
    nobody = command("--user", "mallory")
    assert nobody.communicate(timeout=30)[1] == "CommandError: There is no user 'mallory'.\n"
