"""What has to be there before the example's processes start: databases, roles, tables, keys, users.

Here belongs what an administrator does once to open a warehouse to an application; all of it may be done again. The
order of things is in `run.py`.
"""

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import open_warehouse

PROJECT = Path(__file__).parent
APPLICATION = "tasty_monolith"
HISTORY_DAYS = 180


@dataclass(frozen=True)
class Kept:
    """What is decided once and kept in a file that only its owner may read: the books begin with their first day."""

    first_day: date
    secret_key: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class Databases:
    """The three doors: the pipeline's, the application's to the pipeline's tables, and the application's own."""

    pipeline: str = field(repr=False)
    tasty: str = field(repr=False)
    application: str = field(repr=False)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder for oneself; raises `ConfigurationError` where another example runs on it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"Another `make monolith` runs on {folder}.", "end that one first.") from None
        yield


def kept(folder: Path, first_day: date | None) -> Kept:
    """Return what this folder keeps, decided at the first call; raises `ConfigurationError` for another first day."""
    path = folder / "kept.json"
    if not path.exists():
        chosen = first_day or new_york_day(datetime.now(UTC)) - timedelta(days=HISTORY_DAYS)
        drawn = {"secret_key": secrets.token_urlsafe(50), "password": secrets.token_urlsafe(24)}
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"first_day": str(chosen)} | drawn, file)
    content = json.loads(path.read_text(encoding="utf-8"))
    found = Kept(date.fromisoformat(content["first_day"]), content["secret_key"], content["password"])
    if first_day not in {None, found.first_day}:
        raise ConfigurationError(
            f"The books in {folder} begin on {found.first_day}.", "leave --from out, or choose another --folder."
        )
    return found


def make_databases(server: str, password: str, *, given: bool) -> Databases:
    """Make the tables, three login roles and the application's database; a `given` URL is the warehouse's own.

    The pipeline's role is a member of tasty_pipeline and the application's of tasty_app: neither owns a table. Raises
    `ConfigurationError` where the URL's role may not make roles and databases.
    """
    warehouse = server if given else _url(server, database="tasty")
    try:
        with psycopg.connect(server, autocommit=True) as admin:
            if not given:
                _make_database(admin, "tasty")
            open_warehouse(warehouse).migrate()
            roles = {"tasty_pipeline": f"{APPLICATION}_pipeline", "tasty_app": f"{APPLICATION}_tasty"}
            for group, login in roles.items():
                _make_login(admin, login, password)
                admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login)))
            _make_login(admin, APPLICATION, password)
            admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(APPLICATION)))
            _make_database(admin, APPLICATION, owner=APPLICATION)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"The role of TASTY_WAREHOUSE_URL may not set up the example: {error}".strip(),
            "give a role with CREATEROLE and CREATEDB, or leave TASTY_WAREHOUSE_URL unset.",
        ) from None
    return Databases(
        _url(warehouse, roles["tasty_pipeline"], password),
        _url(warehouse, roles["tasty_app"], password),
        _url(warehouse, APPLICATION, password, APPLICATION),
    )


def application_environment(databases: Databases, secret_key: str) -> dict[str, str]:
    """Return the environment of the Django project: nothing of the pipeline's is in it."""
    pipelines = ("TASTY_", "TT_", "DAGSTER_", "MONOLITH_", "DJANGO_")
    rest = {name: value for name, value in os.environ.items() if not name.startswith(pipelines)}
    return rest | {
        "DJANGO_SETTINGS_MODULE": "monolith.settings",
        "MONOLITH_DEVELOPMENT": "1",
        "MONOLITH_SECRET_KEY": secret_key,
        "MONOLITH_DATABASE_URL": databases.application,
        "MONOLITH_TASTY_URL": databases.tasty,
    }


def manage(environment: Mapping[str, str], *arguments: str) -> None:
    """Run a command of the Django project; raises `subprocess.CalledProcessError` after it has said why."""
    subprocess.run([sys.executable, str(PROJECT / "manage.py"), *arguments], env=environment, check=True)  # noqa: S603


def _make_login(admin: psycopg.Connection, name: str, password: str) -> None:
    if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
        admin.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
    change = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    admin.execute(change.format(sql.Identifier(name), sql.Literal(password)))


def _make_database(admin: psycopg.Connection, name: str, owner: str | None = None) -> None:
    if not admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
        made = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        admin.execute(made + sql.SQL(" OWNER {}").format(sql.Identifier(owner)) if owner else made)


def _url(url: str, user: str | None = None, password: str = "", database: str | None = None) -> str:
    """Return a URL like another one, for somebody else or another database."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    netloc = f"{user}:{password}@{where}" if user else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))
