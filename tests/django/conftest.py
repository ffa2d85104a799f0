"""A Django project for the tests: its settings, its database beside the pipeline's tables, users and their rows.

One database for the session holds the tables that the pipeline's migrations made and Django's own. The alias `tasty`
logs in as a role that may what `tasty_app` may. Each test that asks for `site` begins with empty tables.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
django.setup()

from books import Books  # noqa: E402 - what is imported from here on wants Django to be set up
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402
from scene import PASSWORD, People, Site  # noqa: E402
from site_settings import database  # noqa: E402

from tasty_pipeline.core import schema  # noqa: E402
from tasty_pipeline.core.warehouse import open_warehouse  # noqa: E402


@pytest.fixture(scope="session")
def _site(postgres_url: str) -> Iterator[Site]:
    name, role, password = (f"site_{uuid.uuid4().hex[:12]}" for _ in range(3))
    parts = urlsplit(postgres_url)
    owner_url = urlunsplit(parts._replace(path=f"/{name}"))
    host = parts.netloc.rpartition("@")[2]
    app_url = urlunsplit(parts._replace(path=f"/{name}", netloc=f"{role}:{password}@{host}"))
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy".encode())
        open_warehouse(owner_url).migrate()
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE tasty_app".encode())
        # the handler's settings are these very dictionaries; nothing has connected yet
        settings.DATABASES["default"].update(database(owner_url))
        settings.DATABASES["tasty"].update(database(app_url))
        setup_test_environment()
        call_command("migrate", verbosity=0)
        yield Site(owner_url, app_url, role)
        teardown_test_environment()
        connections.close_all()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
        admin.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def site(_site: Site) -> Iterator[Site]:
    """The project with empty tables."""
    with psycopg.connect(_site.owner_url, options="-c lock_timeout=5s") as connection:
        for table in schema.METADATA.tables:
            connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608 - our own names
        for table in ("django_admin_log", "django_session", "auth_user_user_permissions", "auth_user"):
            connection.execute(f"DELETE FROM {table}".encode())  # noqa: S608
    yield _site
    for connection in connections.all(initialized_only=True):
        connection.close()


@pytest.fixture
def people(site: Site) -> People:
    """Four users with the password PASSWORD."""

    def make(name: str, **more: Any) -> User:
        user: User = User.objects.create_user(name, password=PASSWORD, **more)
        return user

    root = make("root", is_staff=True, is_superuser=True)
    return People(make("alice"), make("bob"), make("carol"), root)


@pytest.fixture
def books(site: Site, people: People) -> Books:
    """The usual scene (see `Books.fill`), and more rows as a test wants them."""
    books = Books(open_warehouse(site.owner_url))
    books.fill(people.alice.pk, people.bob.pk)
    return books


@pytest.fixture
def client_of() -> Callable[[User | None], Client]:
    """Browsers, each logged in as a user, or as nobody."""

    def make(user: User | None) -> Client:
        client = Client()
        if user is not None:
            client.force_login(user)
        return client

    return make
