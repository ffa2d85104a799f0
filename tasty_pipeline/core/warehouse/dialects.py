"""How a SQLAlchemy statement becomes the text and parameters of each database, and a cell becomes a Python value.

Statements are written once, in SQLAlchemy Core, for Postgres; DuckDB's SQL is near enough to be compiled by a small
variation of the same dialect. Here belongs that variation and nothing that opens a connection. (`duckdb_engine`, the
dialect on PyPI, does not work with SQLAlchemy 2.1 and DuckDB 2.0.)
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import base as pg
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.compiler import SQLCompiler

from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import AuditError
from tasty_pipeline.core.schema import PRECISION, SCALE

# as many columns as there are: a select's type counts them
Query = sa.Select[*tuple[Any, ...]] | sa.CompoundSelect[*tuple[Any, ...]]
Statement = Query | sa.Insert | sa.Update | sa.Delete


class _ExactNumeric(sa.Numeric[Decimal]):
    """A Decimal sent as text with its type: the plain dialect's own way goes through float."""

    render_bind_cast = True

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[Any], Any]:  # noqa: ARG002 - SQLAlchemy's signature
        return lambda value: None if value is None else format(Decimal(value), "f")


class _DuckDBTypes(pg.PGTypeCompiler):
    def visit_JSONB(self, type_: Any, **kw: Any) -> str:  # noqa: ARG002, N802 - SQLAlchemy's signature
        return "JSON"

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: N802 - SQLAlchemy's name
        # DuckDB takes NUMERIC without a size for DECIMAL(18, 3) and rounds to it
        return f"DECIMAL({PRECISION}, {SCALE})" if type_.precision is None else super().visit_NUMERIC(type_, **kw)


class _DuckDBSQL(pg.PGCompiler):
    def visit_jsonb_build_object_func(self, fn: sa.Function[Any], **kw: Any) -> str:
        return f"json_object{self.function_argspec(fn, **kw)}"

    def visit_jsonb_object_keys_func(self, fn: sa.Function[Any], **kw: Any) -> str:
        return f"unnest(json_keys{self.function_argspec(fn, **kw)})"

    def visit_hash_record_extended_func(self, fn: sa.Function[Any], **kw: Any) -> str:
        row, _seed = fn.clauses
        return f"hash({self.process(row, **kw)})"


class _DuckDBDDL(pg.PGDDLCompiler):
    def post_create_table(self, table: sa.Table) -> str:  # noqa: ARG002 - SQLAlchemy's signature
        # no ON COMMIT DROP: temporary tables go with the connection, which lives for one transaction
        return ""


class DuckDBDialect(pg.PGDialect):
    """Postgres' dialect as DuckDB understands it: JSON for JSONB, exact decimals, `$1` parameters."""

    supports_statement_cache = True
    type_compiler_cls = _DuckDBTypes
    statement_compiler = _DuckDBSQL
    ddl_compiler = _DuckDBDDL
    colspecs = {**pg.PGDialect.colspecs, sa.Numeric: _ExactNumeric}  # noqa: RUF012 - SQLAlchemy's attribute


DUCKDB: sa.Dialect = DuckDBDialect(  # type: ignore[no-untyped-call]
    paramstyle="numeric_dollar", json_serializer=canonical_json
)
POSTGRES: sa.Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]


def compiled(statement: Statement, dialect: sa.Dialect) -> tuple[str, dict[str, Any] | list[Any]]:
    """Return the statement's text and its parameters, a list for DuckDB and a dictionary for Postgres.

    Raises AuditError for a Decimal that NUMERIC(38, 12) cannot hold exactly: both databases would round it.
    """
    result = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    if not isinstance(result, SQLCompiler):
        raise TypeError(f"{type(statement).__name__} is not a statement that reads or changes rows")
    parameters = dict(result.construct_params())
    for name, value in parameters.items():
        _require_exact(name, value)
    for bind, name in result.bind_names.items():
        process = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None and name in parameters:
            parameters[name] = process(parameters[name])
    if result.positiontup is None:
        return result.string, parameters
    return result.string, [_plain(parameters[name]) for name in result.positiontup]


def _plain(value: Any) -> Any:
    # the members of an IN list pass no processor
    return format(value, "f") if isinstance(value, Decimal) else value


def _require_exact(name: str, value: Any) -> None:
    if isinstance(value, Decimal) and not _fits(value):
        raise AuditError(
            f"The value {value} for {name} does not fit NUMERIC({PRECISION}, {SCALE}).",
            "nothing was written; report it as a bug of tasty_pipeline, with the names above.",
        )


def _fits(value: Decimal) -> bool:
    digits, exponent = value.as_tuple()[1:]
    if not isinstance(exponent, int):
        return False
    significant = "".join(map(str, digits)).rstrip("0")
    smallest = exponent + len(digits) - len(significant)
    return not significant or (value.adjusted() < PRECISION - SCALE and smallest >= -SCALE)


def converters(statement: Query, dialect: sa.Dialect) -> list[Callable[[Any], Any]]:
    """Return one function per column that makes both databases' cells the same Python values."""
    return [_converter(column.type, dialect) for column in statement.exported_columns]


def _converter(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Callable[[Any], Any]:
    if isinstance(type_, sa.JSON):
        # psycopg parses by itself, with the same function
        return parsed if dialect is DUCKDB else _unchanged
    return next((convert for kind, convert in _CONVERTERS.items() if isinstance(type_, kind)), _unchanged)


def _unchanged(value: Any) -> Any:
    return value


def _exact(value: Any) -> Decimal | None:
    if isinstance(value, float):
        # DuckDB's avg() and division leave DECIMAL for DOUBLE
        raise TypeError("the database computed this amount as a float; ask for sums and divide Decimals in Python")
    return None if value is None else Decimal(value)


def _whole(value: Any) -> int | None:
    # a sum of BIGINT is NUMERIC in Postgres and HUGEINT in DuckDB
    return None if value is None else int(value)


def _instant(value: dt.datetime | None) -> dt.datetime | None:
    return None if value is None else value.astimezone(dt.UTC)


def parsed(text: str | bytes | None) -> Any:
    """Parse JSON text without a float in it; NULL stays None."""
    return None if text is None else json.loads(text, parse_float=Decimal)


_CONVERTERS: Mapping[type, Callable[[Any], Any]] = {
    sa.Float: _unchanged,
    sa.Numeric: _exact,
    sa.Boolean: _unchanged,
    sa.Integer: _whole,
    sa.DateTime: _instant,
}
