"""The example's own parts: settings that are fit for production, and preparations that may be repeated."""

import contextlib
import http.client
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasty_pipeline.core.errors import ConfigurationError

from .conftest import EXAMPLE, POSTGRES, PREPARING, free_port, manage

HTTPS = {"Host": "monolith.example", "X-Forwarded-Proto": "https"}


def test_djangos_deployment_check_finds_nothing(production: dict[str, str]) -> None:
    databases = ["--database", "default", "--database", "tasty"]
    done = manage(production, "check", "--deploy", "--fail-level", "INFO", *databases)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "TASTY_URL", "HOSTS"])
def test_what_is_not_set_is_named_and_nothing_starts_with_a_default(production: dict[str, str], name: str) -> None:
    done = manage(production | {f"MONOLITH_{name}": ""}, "check")
    assert done.returncode != 0
    assert f"Set MONOLITH_{name}" in done.stderr


@pytest.fixture(scope="module")
def served(production: dict[str, str]) -> Iterator[int]:
    """The project served by gunicorn, as in production; yields the port."""
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "monolith.wsgi", "--chdir", str(EXAMPLE), "--no-control-socket"]
    with subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}", "--log-level", "error"], env=production) as server:  # noqa: S603
        deadline = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield port
        server.terminate()


def get(port: int, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer, text


def test_plain_http_is_sent_to_https(served: int) -> None:
    answer, _ = get(served, "/login/", {"Host": "monolith.example"})
    assert (answer.status, answer.headers["Location"]) == (301, "https://monolith.example/login/")


def test_another_host_is_refused(served: int) -> None:
    assert get(served, "/login/", HTTPS | {"Host": "another.example"})[0].status == 400


def test_a_page_forbids_foreign_and_inline_scripts_and_its_cookies_travel_over_https_alone(served: int) -> None:
    answer, text = get(served, "/login/", HTTPS)
    assert answer.status == 200
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]
    assert all("; Secure" in cookie for cookie in answer.headers.get_all("Set-Cookie", []))
    assert "<script>" not in text
    assert "style=" not in text


def test_its_static_files_are_served_under_names_that_may_be_kept_for_ever(served: int) -> None:
    _, text = get(served, "/login/", HTTPS)
    address = text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer, style = get(served, address, HTTPS)
    assert (answer.status, answer.headers["Content-Type"]) == (200, 'text/css; charset="utf-8"')
    assert "immutable" in answer.headers["Cache-Control"]
    assert "{" in style


@pytest.mark.parametrize("path", ["/", "/transactions/", "/connections/"])
def test_nobody_sees_a_page_without_logging_in(served: int, path: str) -> None:
    answer, _ = get(served, path, HTTPS)
    assert (answer.status, answer.headers["Location"]) == (302, f"/login/?next={path}")


def test_an_error_shows_nothing_of_the_code(served: int) -> None:
    answer, text = get(served, "/nowhere/", HTTPS)
    assert answer.status == 404
    assert "Traceback" not in text
    assert "urlpatterns" not in text


def test_the_application_owns_nothing_of_the_pipelines(databases: Any) -> None:
    for url, group in ((databases.tasty, "tasty_app"), (databases.pipeline, "tasty_pipeline")):
        with psycopg.connect(url) as connection:
            (owned,) = connection.execute(
                "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
            ).fetchone() or (None,)
            (member,) = connection.execute("SELECT pg_has_role(%s, 'member')", (group,)).fetchone() or (None,)
            assert (owned, member) == (0, True)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DROP TABLE tasty.transactions")


def test_preparing_twice_changes_nothing_and_keeps_what_is_there(tmp_path: Path) -> None:
    for known in (0, 1):
        with POSTGRES["serve"](tmp_path / "postgres") as server:
            made = PREPARING["make_databases"](server, "pass-word", given=False)
            with psycopg.connect(made.application) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
                assert (connection.execute("SELECT count(*) FROM kept").fetchone() or ())[0] == known
                connection.execute("INSERT INTO kept VALUES ('still here')")


def test_a_server_that_was_left_behind_is_taken_over(tmp_path: Path) -> None:
    code = "import sys, time\nfrom pathlib import Path\nfrom postgres import serve\n"
    code += "with serve(Path(sys.argv[1])):\n    print('up', flush=True)\n    time.sleep(60)\n"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=EXAMPLE, stdout=subprocess.PIPE, text=True) as killed:  # noqa: S603
        assert killed.stdout is not None
        assert killed.stdout.readline() == "up\n"
        killed.send_signal(signal.SIGKILL)
    with POSTGRES["serve"](tmp_path) as server, psycopg.connect(server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_books_of_a_folder_keep_their_first_day(tmp_path: Path) -> None:
    first = PREPARING["kept"](tmp_path, date(2026, 3, 2))
    assert PREPARING["kept"](tmp_path, None) == first
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600
    with pytest.raises(ConfigurationError, match="begin on 2026-03-02"):
        PREPARING["kept"](tmp_path, date(2026, 3, 3))


def test_by_itself_the_books_begin_half_a_year_ago(tmp_path: Path) -> None:
    age = datetime.now(UTC).date() - PREPARING["kept"](tmp_path, None).first_day
    assert timedelta(days=178) < age < timedelta(days=182)


def test_two_on_one_folder_are_refused(tmp_path: Path) -> None:
    refused = pytest.raises(ConfigurationError, match="end that one first")
    with PREPARING["alone"](tmp_path), refused, PREPARING["alone"](tmp_path):
        pytest.fail("both run")
