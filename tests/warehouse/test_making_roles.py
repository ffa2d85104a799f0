"""The three roles belong to the whole server: whoever migrates first makes them, or an administrator does later."""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tasty_pipeline import migrations
from tasty_pipeline.core.warehouse import open_warehouse

from .catalog import SURROUNDINGS, catalog
from .users import fill, member_of, session

ROLES = ("tasty_pipeline", "tasty_reader", "tasty_app")
Database = Callable[[], str]


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    """Makes empty databases of a server that has none of the roles; the server gets its own back in the end."""
    kept = {role: f"{role}_{uuid.uuid4().hex[:8]}" for role in ROLES}
    made: list[str] = []
    with psycopg.connect(postgres_url, autocommit=True) as admin:

        def present() -> list[str]:
            found = admin.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", (list(ROLES),))
            return [name for (name,) in found.fetchall()]

        def make() -> str:
            made.append(f"roles_{uuid.uuid4().hex[:8]}")
            admin.execute(f"CREATE DATABASE {made[-1]} TEMPLATE template0 STRATEGY file_copy".encode())
            return postgres_url.rpartition("/")[0] + f"/{made[-1]}"

        mine = present()
        for role in mine:
            admin.execute(f"ALTER ROLE {role} RENAME TO {kept[role]}".encode())
        try:
            yield make
        finally:
            for name in made:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            for role in present():
                admin.execute(f"DROP ROLE {role}".encode())
            for role in mine:
                admin.execute(f"ALTER ROLE {kept[role]} RENAME TO {role}".encode())


def _roles(url: str) -> set[str]:
    with session(url) as admin:
        return {name for (name,) in admin.ask("SELECT rolname FROM pg_roles")} & set(ROLES)


@contextlib.contextmanager
def _migrator(url: str, *attributes: str) -> Iterator[str]:
    """A login that may create schemas in the database, and has these attributes."""
    with member_of(url) as login, psycopg.connect(url, autocommit=True) as admin:
        name = login.partition("//")[2].partition(":")[0]
        admin.execute(f"GRANT CREATE ON DATABASE {url.rpartition('/')[2]} TO {name}".encode())
        for attribute in attributes:
            admin.execute(f"ALTER ROLE {name} {attribute}".encode())
        yield login


def test_who_may_not_make_roles_migrates_without_and_an_administrator_makes_them_later(database: Database) -> None:
    url = database()
    with _migrator(url) as login:
        assert open_warehouse(login).migrate() == migrations.head()
        assert _roles(url) == set()
        fill(login)
        with psycopg.connect(login, autocommit=True) as connection:
            notices: list[str] = []
            connection.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
            assert connection.execute("SELECT tasty.make_roles()").fetchone() == (False,)
            assert notices == []
        with psycopg.connect(url, autocommit=True) as admin:
            assert admin.execute("SELECT tasty.make_roles()").fetchone() == (True,)
        assert _roles(url) == set(ROLES)
        for role in ROLES:
            with member_of(url, role) as member, session(member, "alice") as who:
                seen = 4 if role == "tasty_pipeline" else 2
                assert len(who.ask("SELECT 1 FROM tasty_v1.accounts")) == seen


@pytest.mark.parametrize("attribute", ["SUPERUSER", "CREATEROLE"])
def test_who_may_make_roles_makes_them_in_the_migration(database: Database, attribute: str) -> None:
    url = database()
    with _migrator(url, attribute) as login:
        open_warehouse(login).migrate()
        assert _roles(url) == set(ROLES)


def test_who_may_not_make_roles_gives_those_that_are_there_their_rights(database: Database) -> None:
    open_warehouse(database()).migrate()
    url = database()
    with _migrator(url) as login:
        open_warehouse(login).migrate()
        fill(login)
        with member_of(url, "tasty_reader") as member, session(member, "bob") as who:
            assert len(who.ask("SELECT 1 FROM tasty_v1.accounts")) == 2


def test_making_the_roles_again_changes_nothing(database: Database) -> None:
    url = database()
    open_warehouse(url).migrate()
    with session(url) as admin:
        before = catalog(admin.ask, SURROUNDINGS)
        assert admin.ask("SELECT tasty.make_roles()") == [(True,)]
        assert catalog(admin.ask, SURROUNDINGS) == before


def test_a_migration_of_another_database_that_makes_the_roles_meanwhile_is_waited_for(database: Database) -> None:
    first, second = database(), database()
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(first) as other,
        psycopg.connect(first, autocommit=True) as admin,
    ):
        other.execute("CREATE ROLE tasty_pipeline NOLOGIN")  # and is not committed yet
        migrating = pool.submit(open_warehouse(second).migrate)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while admin.execute(waiting).fetchone() != (1,):
            assert not migrating.done()
        other.commit()
        assert migrating.result(20) == migrations.head()
    with session(second) as owner:
        privileged = "SELECT has_table_privilege('tasty_pipeline', 'tasty.transactions', 'INSERT')"
        assert owner.ask(privileged) == [(True,)]
