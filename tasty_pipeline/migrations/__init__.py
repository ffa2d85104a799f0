"""Alembic migrations of the schema `tasty`, rendered as SQL for either database.

Here belongs which version there is and the text that leads to it; `core.warehouse` runs the text, in one transaction
and under a lock. A revision in `versions/` is frozen once it is released: it spells everything out and imports nothing
of this package. What only Postgres can do (indexes, later roles, views, triggers) stands under
`if op.get_context().opts["backend"] == "postgres":`.

A developer makes the next revision with `python -m tasty_pipeline.migrations new "what it does"`, fills in `upgrade`,
and the tests say whether migrations and `core.schema` agree on both databases.
"""

import functools
import io
import threading
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tasty_pipeline.core.errors import SchemaVersionError

SCHEMA = "tasty"
VERSION_TABLE = "schema_version"

# Alembic's `op` is one object for the whole process.
_OP = threading.Lock()


@functools.cache
def scripts() -> ScriptDirectory:
    """Return the directory of all revisions."""
    return ScriptDirectory(str(Path(__file__).parent))


@functools.cache
def head() -> str:
    """Return the version that this package works with."""
    revision = scripts().get_current_head()
    if revision is None:
        raise RuntimeError("the package has no migrations")
    return revision


def upgrade_script(dialect: sa.Dialect, backend: Literal["duckdb", "postgres"], current: str | None, label: str) -> str:
    """Return the SQL that leads from version `current` (None: nothing there) to `head()`; empty if that is the same.

    The schema itself must exist. Raises SchemaVersionError when `current` is not known to this package.
    """
    if current == head():
        return ""
    if current is not None and current not in {script.revision for script in scripts().walk_revisions()}:
        raise SchemaVersionError(
            f"The tables in the {label} have schema version {current}, which this version of tasty-pipeline "
            f"(schema version {head()}) does not know.",
            "upgrade tasty-pipeline to the version that the other programs using this database have; nothing was "
            "changed.",
        )
    text = io.StringIO()
    context = MigrationContext.configure(
        dialect=dialect,
        opts={
            "as_sql": True,
            "output_buffer": text,
            "starting_rev": current,
            "fn": lambda _revision, _context: scripts()._upgrade_revs("head", current or "base"),  # noqa: SLF001 - what alembic.command.upgrade itself calls
            "version_table": VERSION_TABLE,
            "version_table_schema": SCHEMA,
            "backend": backend,
        },
    )
    with _OP, Operations.context(context):
        context.run_migrations()
    return text.getvalue()
