"""What TASTY_WAREHOUSE_URL may look like; a URL is never quoted back, because a password may stand anywhere in it."""

from pathlib import Path

import duckdb
import pytest

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import DEFAULT_WAREHOUSE_URL
from tasty_pipeline.core.warehouse import open_warehouse

CANARY = "c4nary"


@pytest.mark.parametrize(
    ("url", "kind", "label"),
    [
        ("duckdb:///data/demo.duckdb", "duckdb", "DuckDB file data/demo.duckdb"),
        ("duckdb:////var/lib/warehouse.duckdb", "duckdb", "DuckDB file /var/lib/warehouse.duckdb"),
        (f"postgresql://me:{CANARY}@db.example.com:6543/books", "postgres", "Postgres db.example.com:6543/books"),
        (f"postgres://me:{CANARY}@db.example.com/books?sslmode=require", "postgres", "Postgres db.example.com/books"),
        (f"postgresql://me:{CANARY}%40%2F@[::1]/books", "postgres", "Postgres ::1/books"),
        ("postgresql:///books?host=/run/postgresql", "postgres", "Postgres /run/postgresql/books"),
        (" postgresql:///books ", "postgres", "Postgres local socket/books"),
    ],
)
def test_a_good_url_gives_a_backend_and_a_label_without_a_password(url: str, kind: str, label: str) -> None:
    warehouse = open_warehouse(url)
    assert (warehouse.kind, warehouse.label) == (kind, label)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/demo.duckdb",
        "duckdb://",
        "duckdb:///",
        "duckdb://data/demo.duckdb",
        "duckdb:///:memory:",
        "duckdb:///data/",
        "duckdb:///data/x.duckdb?access_mode=read_only",
        f"mysql://me:{CANARY}@host/books",
        f"postgresql+psycopg2://me:{CANARY}@host/books",
        f"postgresql://me:{CANARY}@rest@host/books",
        f"postgresql://me:{CANARY}/rest@host/books",
        f"postgresql://me:{CANARY}?rest@host/books",
        f"postgresql://me:1{CANARY}#rest@host/books",
        f"postgresql://me:{CANARY}%zz@host/books",
        f"postgresql://host/books?{CANARY}=1",
        f"postgresql://host:{CANARY}/books",
    ],
)
def test_any_other_url_is_an_error_that_names_the_forms_and_quotes_nothing(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"duckdb:///data/warehouse\.duckdb.*postgresql://USER") as caught:
        open_warehouse(url)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", ["tasty.duckdb", "TASTY.db", "pg_catalog.duckdb"])
def test_a_file_named_like_the_schema_is_refused_because_tasty_transactions_would_be_ambiguous(name: str) -> None:
    with pytest.raises(ConfigurationError, match="choose another name"):
        open_warehouse(f"duckdb:///data/{name}")


def test_a_reader_of_the_default_file_may_say_tasty_transactions(tmp_path: Path) -> None:
    path = tmp_path / DEFAULT_WAREHOUSE_URL.rpartition("/")[2]
    open_warehouse(f"duckdb:///{path}").migrate()
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM tasty.transactions").fetchall() == [(0,)]
