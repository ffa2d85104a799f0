"""What docs/monolith.md says is done to a project that Django has just made: every snippet of the page runs."""

import contextlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig

from .conftest import POSTGRES, clean_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "monolith.md").read_text(encoding="utf-8")
CROWD = runpy.run_path(str(ROOT / "benchmarks" / "crowd.py"))
ACCOUNT = "9WT00000"
# begins each program that stands for the project's own code
SET_UP = """
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
user = User.objects.get(username="alice")
refresh_token = "simulator-refresh-alice"
"""


def snippets(section: str, language: str) -> list[str]:
    """The page's snippets in one language under one heading."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@dataclass(frozen=True)
class Site:
    """A project with the app in it, and the server of the pipeline's tables."""

    folder: Path
    server: str
    environment: dict[str, str]

    def shell(self, script: str) -> str:
        """Run a snippet as at a prompt; returns what it prints."""
        done = subprocess.run(  # noqa: S603
            ["/bin/sh", "-ec", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, script: str) -> str:
        """Run a snippet as the project's code; returns what it prints."""
        program = self.folder / "snippet.py"
        program.write_text(SET_UP + script, encoding="utf-8")
        return self.shell("python snippet.py")

    def sql(self, script: str, user: str) -> list[tuple[Any, ...]]:
        """Run a snippet in the pipeline's database; returns the rows of the last query, if it was one."""
        with psycopg.connect(self.server, dbname="tasty", user=user) as connection:
            for statement in filter(str.strip, script.split(";")):
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The page's first steps, done one after the other to what `django-admin startproject` makes."""
    folder = tmp_path_factory.mktemp("site")
    simulator = Simulator(SimulatorConfig(start=date(2026, 11, 2), trades_per_day=1))
    simulator.start()
    with POSTGRES["serve"](folder / "postgres", kept=False) as server, contextlib.ExitStack() as stack:
        stack.callback(simulator.stop)
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute("CREATE DATABASE tasty")
        socket_folder = server.partition("host=")[2]
        environment = clean_environment(
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            TASTY_WAREHOUSE_URL=f"postgresql://postgres@/tasty?host={socket_folder}",
            TASTY_API_URL=simulator.url,
            TT_SECRET=simulator.client_secret,
            DJANGO_SETTINGS_MODULE="mysite.settings",
        )
        made = Site(folder, server, environment)
        install, keygen, check = snippets("Ten minutes from your project to the first page", "sh")
        assert install == "pip install 'tasty-pipeline[django]'\n"
        made.shell("django-admin startproject mysite .")
        made.shell(keygen)
        (role,) = snippets("Ten minutes from your project to the first page", "sql")
        made.sql(role, "postgres")
        settings, urls = snippets("Ten minutes from your project to the first page", "python")
        _append(folder / "mysite" / "settings.py", settings.replace("db.example", socket_folder))
        _append(folder / "mysite" / "urls.py", f"from django.urls import include\n{urls}")
        made.shell("python manage.py migrate --verbosity 0")
        (folder / "token.txt").write_text("simulator-refresh-alice\n")
        _fill(made)
        assert "no issues" in made.shell(check)
        yield made


def _append(file: Path, text: str) -> None:
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{text}", encoding="utf-8")


def _fill(made: Site) -> None:
    """Give alice an account with a history, and the feed something to tell."""
    program = "import django; django.setup(); from django.contrib.auth.models import User"
    made.shell(f"""python -c "{program}; User(pk=1000, username='alice').save()" """)
    url = made.environment["TASTY_WAREHOUSE_URL"]
    accounts = CROWD["accounts_of"](["1000"], 200)
    CROWD["fill"](open_warehouse(url), accounts)

    class Once(Event):
        asked = 0

        def is_set(self) -> bool:
            self.asked += 1
            return self.asked > 1

    CROWD["publish_without_pause"](url, accounts, Once(), 1_000_001)


def test_the_first_page_shows_the_users_account(site: Site) -> None:
    text = site.python(
        "client = Client(SERVER_NAME='127.0.0.1')\nclient.force_login(user)\n"
        "answer = client.get('/portfolio/')\nprint(answer.status_code, answer.getvalue().decode())"
    )
    assert text.startswith("200 ")
    assert ACCOUNT in text


def test_the_snippets_for_models_status_and_actions_run_and_hold_the_users_rows(site: Site) -> None:
    models, together, status, asking = snippets("Models and querysets", "python")
    count = (
        "print(Account.objects.for_user(user).open().count(), Position.objects.for_user(user).count(), "
        "Transaction.objects.for_user(user).count(), Transaction.objects.for_user(User(pk=2)).count())\n"
    )
    counted, told = site.python(f"{models}\n{count}\n{together}\n{status}\n{asking}").splitlines()
    assert counted.split() == ["1", "24", "205", "0"]
    assert "2026" in told


def test_the_feed_is_followed_in_python_and_read_to_its_end(site: Site) -> None:
    (snippet,) = snippets("The change feed", "python")
    told = site.python(
        f"{snippet}\nclass Enough(Exception): pass\nheard = []\ndef react(*change):\n    heard.append(change)\n"
        "    if len(heard) == 30: raise Enough\ntry:\n    follow(0, react)\nexcept Enough:\n    print(heard[0])\n"
    )
    assert told.splitlines()[0] == "30 30"
    assert ACCOUNT in told.splitlines()[1]


def test_the_feed_is_shown_live_in_a_terminal(site: Site) -> None:
    (command,) = snippets("The change feed", "sh")
    with subprocess.Popen(  # noqa: S603
        command.split(), cwd=site.folder, env=site.environment, stdout=subprocess.PIPE, text=True
    ) as showing:
        assert showing.stdout is not None
        first = showing.stdout.readline()
        showing.terminate()
    assert first.startswith("1 ")
    assert ACCOUNT in first


def test_the_feed_is_read_in_sql_and_thinned_out_but_for_its_newest_row(site: Site) -> None:
    read, thin = snippets("The change feed", "sql")
    assert [row[0] for row in site.sql(read, "monolith")] == list(range(1, 31))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        site.sql(thin, "monolith")
    site.sql(thin.replace("90 days", "0 days"), "postgres")
    assert [row[0] for row in site.sql(read, "monolith")] == [30]


def test_row_security_shows_the_current_users_rows_only(site: Site) -> None:
    (python,), (sql,) = (snippets("Who sees what", language) for language in ("python", "sql"))
    imports = "from tasty_django.models import Transaction\n"
    assert site.python(imports + python).strip() == "205"
    assert site.python(imports + python.replace("user.pk", "2")).strip() == "0"
    assert site.sql(sql, "monolith") == [(0,)]
    assert site.sql(sql.replace("'1'", "'1000'"), "monolith") == [(205,)]


def test_the_operators_commands_add_list_check_and_remove_a_connection(site: Site) -> None:
    (script,) = snippets("Connections", "sh")
    told = site.shell(script)
    assert "family" in told
    assert "family is disconnected" in told
    assert "simulator-refresh" not in told


def test_the_key_is_rotated(site: Site) -> None:
    assert "`tasty-pipeline keygen --rotate`" in PAGE
    site.shell("tasty-pipeline connections remove c1000")  # of the crowd, whose credentials nobody has
    assert "sealed anew" in site.shell("tasty-pipeline keygen --rotate")


def test_the_figures_of_the_load_were_taken() -> None:
    assert "FIGURES" not in PAGE
