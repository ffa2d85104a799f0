"""DuckDB files as the tests need them: opened, watched from outside, and on a disk that is full."""

import contextlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

OPEN = "import sys, duckdb; duckdb.connect(sys.argv[1]).close(); print('opened')"


def warehouse_at(path: Path, wait_seconds: float = 5) -> Warehouse:
    return open_warehouse(f"duckdb:///{path}", wait_seconds=wait_seconds)


def opens_elsewhere(path: Path) -> bool:
    done = subprocess.run([sys.executable, "-c", OPEN, path], check=False, capture_output=True, text=True)  # noqa: S603
    return done.stdout == "opened\n"


@contextlib.contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let no file grow beyond `limit` bytes: the nearest to a full disk that needs no file system of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
