"""`manage.py check` finds what does not fit, and says what to do."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.db import connections
from django.test import override_settings
from scene import Site
from site_settings import database

from tasty_django import checks
from tasty_pipeline import migrations
from tasty_pipeline.core.warehouse import open_warehouse


def _found() -> list[CheckMessage]:
    found = run_checks(databases=["default", "tasty"])
    return [each for each in found if str(each.id).startswith("tasty_django.")]


def _told(found: list[CheckMessage]) -> str:
    return "\n".join(map(str, found))


def _version(number: str) -> str:
    return f"UPDATE tasty.schema_version SET version_num = '{number}'"  # noqa: S608 - our own


def _right(verb: str, what: str, link: str) -> str:
    return f"{verb} SELECT ON {what} {link} tasty_app"


@contextmanager
def _changed(site: Site, there: str, back: str) -> Iterator[None]:
    """Change the real database for the block."""
    with psycopg.connect(site.owner_url, autocommit=True) as admin:
        admin.execute(there.encode())
        try:
            yield
        finally:
            admin.execute(back.encode())


@pytest.fixture
def alias(site: Site) -> Iterator[Any]:
    """Point the alias elsewhere."""
    known = connections.settings["tasty"]
    before = dict(known)

    def point(**columns: Any) -> None:
        connections["tasty"].close()
        del connections["tasty"]
        known.update(columns)

    yield point
    point(**before)


def test_the_real_tables_fit(site: Site) -> None:
    assert _found() == []


def test_the_models_know_the_pipelines_newest_schema_version() -> None:
    assert checks.OLDEST <= migrations.head() <= checks.NEWEST


def test_the_database_is_only_asked_when_it_is_to_be_checked(site: Site, alias: Any) -> None:
    alias(PORT="1")
    assert not [each for each in run_checks() if str(each.id).startswith("tasty_django.")]
    assert not [each for each in run_checks(databases=["default"]) if str(each.id).startswith("tasty_django.")]


def test_a_database_that_cannot_be_reached_is_told(site: Site, alias: Any) -> None:
    alias(PORT="1")
    (found,) = _found()
    assert found.id == "tasty_django.E010"
    assert "cannot be reached" in found.msg
    assert "DATABASES" in str(found.hint)


def test_a_database_without_the_tables_is_a_warning_that_says_how_they_come(
    site: Site, alias: Any, postgres_database: str
) -> None:
    alias(**database(postgres_database))
    (found,) = _found()
    assert (found.id, found.is_serious()) == ("tasty_django.W011", False)
    assert "has no schema 'tasty_v1'" in found.msg
    assert "TASTY_WAREHOUSE_URL" in str(found.hint)


def test_an_older_and_a_newer_version_are_told_apart(site: Site) -> None:
    back = _version(migrations.head())
    for version, number, serious in (("0001", "E012", True), ("9999", "W013", False)):
        with _changed(site, _version(version), back):
            (found,) = _found()
        assert (found.id, found.is_serious()) == (f"tasty_django.{number}", serious)
        assert f"schema version {version}" in found.msg
    put_back = "INSERT INTO tasty.schema_version VALUES ('0000'); " + _version(migrations.head())  # noqa: S608
    with _changed(site, "DELETE FROM tasty.schema_version", put_back):
        assert "schema version none" in _found()[0].msg


def test_a_missing_view_is_named(site: Site) -> None:
    with _changed(
        site, "ALTER VIEW tasty_v1.positions RENAME TO hidden", "ALTER VIEW tasty_v1.hidden RENAME TO positions"
    ):
        (found,) = _found()
    assert found.id == "tasty_django.E015"
    assert 'The view "tasty_v1"."positions" is missing' in str(found)
    assert "same version of tasty-pipeline" in str(found.hint)


def test_a_missing_column_and_one_of_another_type_are_named(site: Site, alias: Any, postgres_database: str) -> None:
    rename = "ALTER VIEW tasty_v1.positions RENAME COLUMN {} TO {}".format
    with _changed(site, rename("quantity", "amount"), rename("amount", "quantity")):
        (found,) = _found()
    assert found.id == "tasty_django.E016"
    assert str(found).startswith("tasty_django.Position: (tasty_django.E016) The column quantity is missing.")

    open_warehouse(postgres_database).migrate()
    with psycopg.connect(postgres_database, autocommit=True) as admin:
        admin.execute("DROP VIEW tasty_v1.sealing_keys")
        admin.execute(
            "CREATE VIEW tasty_v1.sealing_keys AS SELECT key_id, 1::float AS public_key, created_at, retired_at "
            "FROM tasty.sealing_keys"
        )
    alias(**database(postgres_database))
    told = _told(_found())
    assert (
        "tasty_django.SealingKey: (tasty_django.E016) The column public_key is double precision and not text." in told
    )


def test_missing_rights_name_the_role_and_the_grant(site: Site) -> None:
    grant = f'GRANT tasty_app TO "{site.role}"'
    with _changed(site, f"REVOKE tasty_app FROM {site.role}", grant):
        (found,) = _found()
        assert found.id == "tasty_django.E014"
        assert f"The role '{site.role}' may not use the schemas 'tasty_v1' and 'tasty'" in found.msg
        assert grant in str(found.hint)
        assert "SELECT tasty.make_roles();" in str(found.hint)
    # a view reads with the rights of who asks, also on the table behind it
    for what in ("tasty.transactions", "tasty_v1.transactions", "tasty_v1.schema_version"):
        with _changed(site, _right("REVOKE", what, "FROM"), _right("GRANT", what, "TO")):
            found_there = _found()
        assert {each.id for each in found_there} == {"tasty_django.E014"}
        assert "permission denied" in _told(found_there)
        assert grant in _told(found_there)
    assert _found() == []


def test_a_role_that_only_reads_fits_too(site: Site) -> None:
    with _changed(
        site,
        f"REVOKE tasty_app FROM {site.role}; GRANT tasty_reader TO {site.role}",
        f"REVOKE tasty_reader FROM {site.role}; GRANT tasty_app TO {site.role}",
    ):
        connections["tasty"].close()
        assert _found() == []


def test_a_role_that_row_security_does_not_bind_is_warned_of(site: Site, alias: Any) -> None:
    alias(**database(site.owner_url))
    (found,) = _found()
    assert found.id == "tasty_django.W018"
    assert "is exempt from row security" in found.msg
    connections["tasty"].close()
    with override_settings(MIDDLEWARE=[]):
        assert _found() == []


def test_another_database_than_postgres_is_warned_of(site: Site, alias: Any) -> None:
    alias(ENGINE="django.db.backends.sqlite3", NAME=":memory:")
    (found,) = _found()
    assert found.id == "tasty_django.W002"
    assert "The alias 'tasty' is sqlite; the pipeline's tables can only be read in PostgreSQL" in found.msg
    assert "TASTY_DJANGO['DATABASE']" in str(found.hint)


def test_settings_that_do_not_fit_are_told_without_a_connection(site: Site, alias: Any) -> None:
    def found() -> list[str | None]:
        return [each.id for each in run_checks() if str(each.id).startswith("tasty_django.")]

    with override_settings(TASTY_DJANGO={"DATABASE": "elsewhere"}):
        (told,) = (each for each in run_checks() if each.id == "tasty_django.E001")
        assert "one of 'default', 'tasty'" in str(told.hint)
    with override_settings(USE_TZ=False):
        assert found() == ["tasty_django.E003"]
    names = list(settings.MIDDLEWARE)
    with override_settings(MIDDLEWARE=[names[-1], *names[:-1]]):
        assert found() == ["tasty_django.E004"]
    alias(DISABLE_SERVER_SIDE_CURSORS=True)
    assert found() == ["tasty_django.W005"]


def test_the_command_prints_it_and_ends_with_an_error(site: Site) -> None:
    command = [sys.executable, "-m", "django", "check", "--database", "tasty"]

    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command, env=site.environment, check=False, capture_output=True, text=True)  # noqa: S603 - our own

    done = run()
    assert (done.returncode, done.stdout) == (0, "System check identified no issues (0 silenced).\n")
    back = _version(migrations.head())
    with _changed(site, _version("0001"), back):
        done = run()
    assert done.returncode == 1
    assert "The tables have the schema version 0001; the models need 0002 at least." in done.stderr
    assert "let it run once with TASTY_WAREHOUSE_URL" in done.stderr
