"""The demo: one command without credentials fills either database, proves it, and says so in true numbers."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from tasty_pipeline.cli import main
from tasty_pipeline.core import schema

from .conftest import COMMAND, content, run

PROVENANCE = ("synced_at", "run_id")
Done = tuple["subprocess.CompletedProcess[str]", Path]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, month_ago: str) -> Done:
    """The first demo in an empty folder."""
    folder = tmp_path_factory.mktemp("demo")
    return run(folder, "demo", "--from", month_ago), folder


def url_of(folder: Path) -> str:
    return f"duckdb:///{folder}/data/demo.duckdb"


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in:\n{text}"
    return int(found[1].replace(",", ""))


def test_the_demo_ends_well_and_its_summary_is_what_the_tables_hold(demo: Done) -> None:
    done, folder = demo
    assert done.returncode == 0, done.stdout + done.stderr
    url, text = url_of(folder), done.stdout
    rows = {name: len(content(url, name)) for name in schema.MIRRORED}
    for name, count in rows.items():
        assert number(rf"tasty\.{name} +│ +([\d,]+) │", text) == count > 0
    proven = [row for row in content(url, "proven_days") if row["table_name"] == "transactions"]
    assert number(r"Proven +([\d,]+) days", text) == len(proven)
    log = content(url, "sync_log")
    assert number(r"Requests +([\d,]+) ", text) == sum(row["requests"] for row in log)
    assert number(r"Written +([\d,]+) rows", text) == sum(rows.values())
    assert "Checks    29 of 29 passed" in text
    assert "data/demo.duckdb" in text
    assert "make dev opens the Dagster UI" in text
    assert "set TT_SECRET and TT_REFRESH" in text


def test_the_demo_leaves_everything_below_data(demo: Done) -> None:
    _, folder = demo
    assert [path.name for path in folder.iterdir()] == ["data"]


def test_the_query_that_the_demo_offers_works(demo: Done) -> None:
    done, folder = demo
    offered = re.search(r'python -c "(.+)"', done.stdout)
    assert offered
    asked = subprocess.run(  # noqa: S603 - what the demo told
        [COMMAND[0], "-c", offered[1]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert "symbol" in asked.stdout


def test_a_second_demo_writes_nothing(demo: Done, month_ago: str) -> None:
    _, folder = demo
    before = {name: content(url_of(folder), name) for name in schema.MIRRORED}
    began = time.monotonic()
    again = run(folder, "demo", "--from", month_ago)
    assert again.returncode == 0, again.stdout
    assert "Written   0 rows" in again.stdout
    assert "29 of 29 passed" in again.stdout
    assert {name: content(url_of(folder), name) for name in schema.MIRRORED} == before
    print(f"the second demo took {time.monotonic() - began:.1f} s")  # noqa: T201 - pytest -s shows the figure


def test_the_demo_into_postgres_gives_the_same_tables_row_for_row(
    demo: Done, postgres_database: str, tmp_path: Path, month_ago: str
) -> None:
    done = run(tmp_path, "demo", "--from", month_ago, TASTY_WAREHOUSE_URL=postgres_database)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'psql "$TASTY_WAREHOUSE_URL"' in done.stdout
    for name in (*schema.MIRRORED, "proven_days"):
        ours = content(postgres_database, name, *PROVENANCE)
        assert ours == content(url_of(demo[1]), name, *PROVENANCE)
        assert ours


def test_a_demo_that_fails_says_what_failed_and_is_no_success(tmp_path: Path, month_ago: str) -> None:
    damaged = tmp_path / "damaged.duckdb"
    damaged.write_bytes(b"no database" * 1000)
    done = run(tmp_path, "demo", "--from", month_ago, TASTY_WAREHOUSE_URL=f"duckdb:///{damaged}")
    assert done.returncode == 1
    assert "is damaged or is not a DuckDB database" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("start", ["yesterday", "2999-01-01"])
def test_a_first_day_that_makes_no_sense_is_one_sentence(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--from", start]) == 1
    told = capsys.readouterr()
    assert told.err.startswith("tasty-pipeline demo: --from")
    assert "What to do: " in told.err
    assert not told.out
