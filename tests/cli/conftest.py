"""The commands as a person runs them: in an empty folder, with an environment that says only what the test says."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import sqlalchemy as sa

from tasty_pipeline.cli import main
from tasty_pipeline.core import schema
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import open_warehouse

COMMAND = [sys.executable, "-m", "tasty_pipeline.cli"]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
# by the brokerage's calendar: before midnight in New York an account of the UTC day is not open yet
YESTERDAY = new_york_day(datetime.now(UTC)) - timedelta(days=1)


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a machine that knows nothing of the project, and these variables."""
    unset = {*VARIABLES, "DAGSTER_HOME"}
    rest = {name: value for name, value in os.environ.items() if name not in unset}
    return {**rest, "COLUMNS": "200", "NO_COLOR": "1", **variables}


@pytest.fixture(scope="session")
def month_ago() -> str:
    return str(new_york_day(datetime.now(UTC)) - timedelta(days=30))


def run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder to its end."""
    return subprocess.run(  # noqa: S603 - our own
        [*COMMAND, *arguments],
        cwd=folder,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Command:
    """As `run`, in this process: for what does not depend on a process of its own, of which Dagster takes seconds."""

    def run_it(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        capsys.readouterr()
        with contextlib.chdir(folder), patch.dict(os.environ, clean_environment(**variables), clear=True):
            status = main(arguments)
        told = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, told.out, told.err)

    return run_it


def content(url: str, name: str, *without: str) -> list[dict[str, Any]]:
    """All rows of a table, by key, without some columns."""
    table = schema.METADATA.tables[f"{schema.SCHEMA}.{name}"]
    columns = [column for column in table.columns if column.name not in without]
    with open_warehouse(url).read() as reader:
        return reader.rows(sa.select(*columns).order_by(*table.primary_key.columns))
