"""Breaking a Postgres database for a moment, in the middle of a publication."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg


@contextmanager
def broken_table(url: str, table: str, *, how: str = "RAISE check_violation") -> Iterator[None]:
    """Let every change of a table run into a trigger: by default a constraint says no; `how` is PL/pgSQL."""
    create = (
        f"CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {how}; RETURN NULL; END $$;"
        f"CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON tasty.{table} FOR EACH ROW EXECUTE FUNCTION public.broken()"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(create.encode())
    try:
        yield
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP TRIGGER broken ON tasty.{table}; DROP FUNCTION public.broken()".encode())
