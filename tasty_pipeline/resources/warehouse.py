"""The warehouse of a run: DuckDB through dagster-duckdb's resource, or Postgres. Opened only for moments."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from pydantic import Field

from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, open_warehouse


@contextlib.contextmanager
def _closing(resource: DuckDBResource) -> Iterator[duckdb.DuckDBPyConnection]:
    # dagster-duckdb 0.29 closes only what ends well: after an exception the file would stay locked until collection
    with resource.get_connection() as connection, contextlib.closing(connection):
        yield connection


def warehouse_from(url: str, wait_seconds: float) -> Warehouse:
    """Return the warehouse behind a URL; a DuckDB file is opened by `DuckDBResource`."""
    if not url.startswith("duckdb:///"):
        return open_warehouse(url, wait_seconds=wait_seconds)
    path = Path(url.removeprefix("duckdb:///")).expanduser().resolve()
    resource = DuckDBResource(database=str(path), connection_config=DUCKDB_CONFIG)
    return open_warehouse(url, connect=partial(_closing, resource), wait_seconds=wait_seconds)


class WarehouseResource(dg.ConfigurableResource["WarehouseResource"]):
    """The database that `TASTY_WAREHOUSE_URL` names. The URL may hold a password, so it is no field of the resource."""

    wait_seconds: float = Field(
        default=30.0, gt=0, description="How long to wait for a database file or a row lock that another process holds."
    )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """Refuse a published copy of what is no file before the run does any work."""
        if read_settings().publish_copy and self.open().kind != "duckdb":
            raise ConfigurationError(
                "TASTY_PUBLISH_COPY is set, and the warehouse is no DuckDB file.",
                "leave TASTY_PUBLISH_COPY out: readers of Postgres need no copy.",
            )

    def publish_copy(self) -> None:
        """Publish the read-only copy, where one is asked for: readers of it never block a run, nor a run them.

        Steps call it when they have committed. Dagster only logs what fails in a resource's teardown: a copy that was
        not made would pass for one.
        """
        copy = read_settings().publish_copy
        if copy:
            self.open().publish_copy(copy)

    def open(self) -> Warehouse:
        """Return the warehouse; raises `ConfigurationError` for a URL that names none."""
        return warehouse_from(read_settings().warehouse_url, self.wait_seconds)
