"""`sync`: the login that the environment names, synchronised from a terminal, and seen by the UI afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest

from tasty_pipeline.cli import main
from tasty_pipeline.core import schema
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.tradingdays import NEW_YORK, new_york_day
from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve

from .conftest import Command, content, run

TODAY = new_york_day(datetime.now(UTC))
FIRST = TODAY - timedelta(days=40)
Done = tuple[str, Path]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    midnight = datetime.combine(TODAY, time.min, NEW_YORK)
    with serve(SimulatorConfig(accounts=2, start=FIRST, now=midnight)) as simulator:
        yield simulator


def of(sim: Simulator) -> dict[str, str]:
    return {
        "TT_SECRET": sim.client_secret,
        "TT_REFRESH": sim.refresh_token,
        "TASTY_API_URL": sim.url,
        "TASTY_HISTORY_START": FIRST.isoformat(),
    }


def url_of(folder: Path) -> str:
    return f"duckdb:///{folder}/data/warehouse.duckdb"


def rows(folder: Path) -> dict[str, int]:
    return {name: len(content(url_of(folder), name)) for name in schema.MIRRORED}


def marked(folder: Path) -> set[str]:
    """The days that the UI calls materialized."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(folder / "data" / "dagster"))
        with dg.DagsterInstance.get() as instance:
            return set(instance.get_materialized_partitions(dg.AssetKey("transactions")))


def days(first: int, last: int = 0) -> set[str]:
    return {(TODAY - timedelta(days=number)).isoformat() for number in range(last, first + 1)}


@pytest.fixture(scope="module")
def synced(sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The first sync in an empty folder."""
    folder = tmp_path_factory.mktemp("sync")
    done = run(folder, "sync", **of(sim))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, folder


def test_the_first_sync_reads_the_whole_history_and_says_what_it_did(sim: Simulator, synced: Done) -> None:
    told, folder = synced
    booked = sum(len(sim.brokerage.transactions(each["account-number"])) for each in sim.brokerage.accounts())
    assert rows(folder)["transactions"] == booked > 0
    assert f"{sum(rows(folder).values()):,} rows by this run" in told
    assert "29 of 29 passed" in told
    assert f"Requests  {sum(row['requests'] for row in content(url_of(folder), 'sync_log'))} " in told
    assert f"From {sim.url} into DuckDB file" in told
    assert "make dev shows it" in told


def test_its_run_is_in_the_ui_with_the_last_ten_days_marked(synced: Done) -> None:
    assert marked(synced[1]) == days(10)


def test_chosen_days_are_read_alone_and_written_only_where_they_changed(
    sim: Simulator, synced: Done, run_here: Command
) -> None:
    _, folder = synced
    before = rows(folder)
    first, last = TODAY - timedelta(days=30), TODAY - timedelta(days=20)
    done = run_here(folder, "sync", "--from", str(first), "--to", str(last), **of(sim))
    assert done.returncode == 0, done.stdout
    assert "Written   0 rows by this run" in done.stdout
    assert rows(folder) == before
    windows = [row for row in content(url_of(folder), "sync_log") if row["table_name"] == "transactions"]
    newest = max(row["read_started_at"] for row in windows)
    assert {(row["window_start"], row["window_end"]) for row in windows if row["read_started_at"] == newest} == {
        (first, last)
    }
    assert marked(folder) == days(10) | days(30, 20)


def test_a_dry_run_says_what_would_change_and_writes_nothing(sim: Simulator, tmp_path: Path, run_here: Command) -> None:
    done = run_here(tmp_path, "sync", "--dry-run", "--account", "5WT00702", **of(sim))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(rows(tmp_path).values())
    assert "0 rows: a dry run" in done.stdout
    assert "what a run would change" in done.stdout
    assert not marked(tmp_path)


def test_a_failed_sync_says_what_to_do_and_is_no_success(sim: Simulator, synced: Done, run_here: Command) -> None:
    sim.brokerage.faults.add(Fault("not_permitted", path="5WT00702/positions"))
    try:
        done = run_here(synced[1], "sync", **of(sim))
    finally:
        sim.brokerage.faults.clear()
    assert done.returncode == 1
    assert "Failed    portfolio: " in done.stdout
    assert "What to do: " in done.stdout
    assert "[5WT00702]" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_two_syncs_at_once_both_end_well(sim: Simulator, synced: Done) -> None:
    _, folder = synced
    before = rows(folder)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run, folder, "sync", **of(sim)) for _ in range(2)]
    for done in both:
        assert done.result().returncode == 0, done.result().stdout + done.result().stderr
        assert "29 of 29 passed" in done.result().stdout
    assert rows(folder) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "yesterday"], "is not a date"),
        (["--to", "2024-01-01"], "--to is given without --from"),
        (["--from", "2024-02-01", "--to", "2024-01-01"], "choose a first day before the last"),
        (["--from", "2001-01-01"], "before the history's start"),
        (["--from", "2024-01-01", "--to", "2999-01-01"], "after today"),
    ],
)
def test_days_that_make_no_sense_are_one_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TASTY_API_URL", "http://127.0.0.1:1")
    assert main(["sync", *arguments]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert "What to do: " in told.err
    assert not list(tmp_path.iterdir())


def test_without_credentials_it_says_what_to_set(tmp_path: Path) -> None:
    done = run(tmp_path, "sync")
    assert done.returncode == 1
    assert "No credentials are set" in done.stderr
    assert not list(tmp_path.iterdir())
