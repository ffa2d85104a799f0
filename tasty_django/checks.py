"""What `manage.py check` says about this app: its settings always, its tables with `--database ALIAS`.

Each message says what to do. What would also be said of the empty database of a test run (no tables yet, another
database than Postgres) is a warning, since Django lets no test run with an error; everything else is an error. To stop
a deployment at either: `manage.py check --database ALIAS --fail-level WARNING`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, OperationalError, ProgrammingError, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tasty_django import conf

# the schema versions of the pipeline whose views these models fit
OLDEST, NEWEST = "0002", "0003"
_MIDDLEWARE = "tasty_django.middleware.CurrentUserMiddleware"
_AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
_MAKE = (
    "The pipeline makes and updates its tables itself: let it run once with TASTY_WAREHOUSE_URL set to this database "
    "(`tasty-pipeline doctor` says what it finds there)."
)
_UPGRADE = "Install the same version of tasty-pipeline here and where the pipeline runs."


def _grant(role: str) -> str:
    return (
        f'Let the tables\' owner run: GRANT tasty_app TO "{role}"; (tasty_reader, if the application shall only read. '
        "Where these roles do not exist, an administrator makes them with: SELECT tasty.make_roles();)"
    )


@checks.register("tasty_django")
def check_settings(**_kwargs: Any) -> list[checks.CheckMessage]:
    """Check the settings, without a connection."""
    alias = conf.database()
    if alias not in settings.DATABASES:
        hint = f"Set TASTY_DJANGO['DATABASE'] to one of {', '.join(map(repr, settings.DATABASES))}, or add it there."
        return [checks.Error(f"DATABASES has no alias {alias!r}.", hint=hint, id="tasty_django.E001")]
    found: list[checks.CheckMessage] = []
    vendor = connections[alias].vendor
    if vendor != "postgresql":
        hint = "Point TASTY_DJANGO['DATABASE'] to the alias of the Postgres database that the pipeline writes."
        text = f"The alias {alias!r} is {vendor}; the pipeline's tables can only be read in PostgreSQL."
        found.append(checks.Warning(text, hint=hint, id="tasty_django.W002"))
    if not settings.USE_TZ:
        hint = "Set USE_TZ = True."
        found.append(checks.Error("Times would be read without their zone.", hint=hint, id="tasty_django.E003"))
    return found + _middleware(settings.MIDDLEWARE, settings.DATABASES[alias])


def _middleware(names: Sequence[str], database: Mapping[str, Any]) -> list[checks.CheckMessage]:
    if _MIDDLEWARE not in names:
        return []
    if _AUTHENTICATION not in names[: names.index(_MIDDLEWARE)]:
        text = "CurrentUserMiddleware does not know the user before AuthenticationMiddleware."
        hint = f"Put {_MIDDLEWARE!r} below {_AUTHENTICATION!r} in MIDDLEWARE."
        return [checks.Error(text, hint=hint, id="tasty_django.E004")]
    if database.get("DISABLE_SERVER_SIDE_CURSORS"):
        text = "CurrentUserMiddleware sets the user for a session, and a pooler by transaction mixes up sessions."
        hint = (
            "Without server-side cursors this alias seems to go through such a pooler. Let it connect directly, or "
            "through one that pools sessions; if it does, silence this."
        )
        return [checks.Warning(text, hint=hint, id="tasty_django.W005")]
    return []


@checks.register(checks.Tags.database)
def check_tables(*, databases: Sequence[str] | None = None, **_kwargs: Any) -> list[checks.CheckMessage]:
    """Compare the models with the real views, if their database is to be checked."""
    alias = conf.database()
    if alias not in (databases or ()) or connections[alias].vendor != "postgresql":
        return []
    try:
        return list(_tables(connections[alias]))
    except OperationalError as error:
        text = f"The database of the alias {alias!r} cannot be reached: {str(error).strip()}"
        return [checks.Error(text, hint="Check its settings in DATABASES.", id="tasty_django.E010")]


def _tables(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    views, tables = conf.schemas()
    (role, exists, usable), *_ = _ask(
        connection,
        "SELECT current_user, to_regnamespace(%s) IS NOT NULL, "
        "coalesce(has_schema_privilege(to_regnamespace(%s), 'USAGE'), false)"
        " AND coalesce(has_schema_privilege(to_regnamespace(%s), 'USAGE'), false)",
        (views, views, tables),
    )
    if not exists:
        text = f"The database of the alias {connection.alias!r} has no schema {views!r}."
        yield checks.Warning(text, hint=_MAKE, id="tasty_django.W011")
        return
    if not usable:
        text = f"The role {role!r} may not use the schemas {views!r} and {tables!r}."
        yield checks.Error(text, hint=_grant(role), id="tasty_django.E014")
        return
    yield from _version(connection, role)
    yield from _columns(connection, role)
    yield from _row_security(connection, role)


def _version(connection: BaseDatabaseWrapper, role: str) -> Iterator[checks.CheckMessage]:
    try:
        rows = _ask(connection, f"SELECT version FROM {conf.view('schema_version')}")  # noqa: S608 - a checked name
    except ProgrammingError as error:
        yield checks.Error(f"The schema version cannot be read: {error}", hint=_grant(role), id="tasty_django.E014")
        return
    version = rows[0][0] if rows else ""
    if version < OLDEST:
        text = f"The tables have the schema version {version or 'none'}; the models need {OLDEST} at least."
        yield checks.Error(text, hint=_MAKE, id="tasty_django.E012")
    elif version > NEWEST:
        text = f"The tables have the schema version {version}; the models know those up to {NEWEST}."
        yield checks.Warning(text, hint=_UPGRADE, id="tasty_django.W013")


def _columns(connection: BaseDatabaseWrapper, role: str) -> Iterator[checks.CheckMessage]:
    real = _real_columns(connection)
    for model in apps.get_app_config("tasty_django").get_models():
        columns = real.get(model._meta.db_table)
        if columns is None:
            text = f"The view {model._meta.db_table} is missing."
            yield checks.Error(text, hint=_UPGRADE, obj=model, id="tasty_django.E015")
            continue
        wrong = dict(_differences(connection, model, columns))
        for name, text in wrong.items():
            yield checks.Error(f"The column {name} {text}.", hint=_UPGRADE, obj=model, id="tasty_django.E016")
        if not wrong:
            yield from _readable(connection, model, role)


def _differences(
    connection: BaseDatabaseWrapper, model: type[models.Model], columns: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for field in model._meta.concrete_fields:
        wanted = str(field.db_type(connection)).replace(" ", "")
        found = columns.get(str(field.column))
        if found is None:
            yield str(field.column), "is missing"
        elif found.replace(" ", "") != wanted:
            yield str(field.column), f"is {found} and not {field.db_type(connection)}"


def _readable(connection: BaseDatabaseWrapper, model: type[models.Model], role: str) -> Iterator[checks.CheckMessage]:
    # asked of the view itself: it reads with the rights of who asks, down to the columns of its tables
    try:
        with transaction.atomic(using=connection.alias):
            list(model._default_manager.using(connection.alias)[:1])
    except ProgrammingError as error:
        text = f"The role {role!r} may not read it: {str(error).splitlines()[0]}."
        yield checks.Error(text, hint=_grant(role), obj=model, id="tasty_django.E014")


def _row_security(connection: BaseDatabaseWrapper, role: str) -> Iterator[checks.CheckMessage]:
    table = conf.table("transactions")
    try:
        (bound,), *_ = _ask(connection, "SELECT row_security_active(%s)", (table,))
    except DatabaseError:
        # no such table, or no right to see it: said already
        return
    if not bound and _MIDDLEWARE in settings.MIDDLEWARE:
        text = f"The role {role!r} is exempt from row security: CurrentUserMiddleware hides nothing from it."
        hint = "Log in as a role that is no superuser, has no BYPASSRLS and is not the tables' owner."
        yield checks.Warning(text, hint=f"{hint} {_grant('that_role')}", id="tasty_django.W018")


def _real_columns(connection: BaseDatabaseWrapper) -> dict[str, dict[str, str]]:
    """Return the columns of each view with their types, from the catalog, which hides nothing that one may not read."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    rows = _ask(
        connection,
        "SELECT relname, attname, format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute "
        "JOIN pg_catalog.pg_class ON pg_class.oid = attrelid "
        "WHERE relnamespace = to_regnamespace(%s) AND attnum > 0 AND NOT attisdropped",
        (conf.schemas()[0],),
    )
    for view, column, kind in rows:
        found[conf.view(view)][column] = kind
    return found


def _ask(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
