"""The warehouse: one behaviour over a DuckDB file or a Postgres database.

Here stand only the names that others use. What a row means, what was proven and when to sync belong elsewhere.
"""

from tasty_pipeline.core.warehouse.base import Warehouse
from tasty_pipeline.core.warehouse.duckdb_file import DUCKDB_CONFIG
from tasty_pipeline.core.warehouse.opening import open_warehouse
from tasty_pipeline.core.warehouse.writer import Merge, Reader, Writer

__all__ = ["DUCKDB_CONFIG", "Merge", "Reader", "Warehouse", "Writer", "open_warehouse"]
