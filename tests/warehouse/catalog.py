"""What the two databases know of our tables, as text that can be compared."""

from collections.abc import Callable
from typing import Any

Ask = Callable[[str], list[tuple[Any, ...]]]

POSTGRES_CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, datetime_precision, is_nullable,
               column_default, is_identity, col_description(format('tasty.%I', table_name)::regclass, ordinal_position)
        FROM information_schema.columns WHERE table_schema = 'tasty' AND table_name <> 'schema_version'""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint
        WHERE connamespace = 'tasty'::regnamespace AND conrelid <> 'tasty.schema_version'::regclass""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_catalog.pg_indexes
        WHERE schemaname = 'tasty' AND tablename <> 'schema_version'""",
    "tables": """
        SELECT relname, relkind, obj_description(oid) FROM pg_catalog.pg_class
        WHERE relnamespace = 'tasty'::regnamespace AND relkind <> 'i' AND relname <> 'schema_version'""",
}
# what stands around the tables
SURROUNDINGS = {
    "views": "SELECT schemaname, viewname, definition FROM pg_catalog.pg_views WHERE schemaname LIKE 'tasty%'",
    "options": """
        SELECT relname, relnamespace::regnamespace::text, relkind, reloptions, relrowsecurity, relforcerowsecurity,
               relacl::text, obj_description(oid) FROM pg_catalog.pg_class
        WHERE relnamespace::regnamespace::text IN ('tasty', 'tasty_v1') AND relkind <> 'i'""",
    "parts": """
        SELECT attrelid::regclass::text, attname, attacl::text, col_description(attrelid, attnum)
        FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class ON pg_class.oid = attrelid
        WHERE relnamespace::regnamespace::text IN ('tasty', 'tasty_v1') AND attnum > 0 AND NOT attisdropped""",
    "policies": "SELECT * FROM pg_catalog.pg_policies",
    "triggers": "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger",
    "functions": """
        SELECT pg_get_functiondef(oid), proacl::text, obj_description(oid) FROM pg_catalog.pg_proc
        WHERE pronamespace = 'tasty'::regnamespace""",
    "schemas": """
        SELECT nspname, nspacl::text, obj_description(oid) FROM pg_catalog.pg_namespace WHERE nspname ~ '^tasty'""",
}

DUCKDB_CATALOG = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, comment FROM duckdb_columns()
        WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
    "constraints": """
        SELECT table_name, constraint_name, constraint_type, constraint_text, constraint_column_names
        FROM duckdb_constraints() WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
    "tables": """
        SELECT table_name, comment, has_primary_key FROM duckdb_tables()
        WHERE schema_name = 'tasty' AND table_name <> 'schema_version'""",
}


def catalog(ask: Ask, queries: dict[str, str]) -> dict[str, list[str]]:
    """Ask all queries; return their rows as text, in order."""
    return {name: sorted(map(repr, ask(query))) for name, query in queries.items()}
