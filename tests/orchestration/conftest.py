"""A simulated brokerage whose clock stands still, the project pointed at it, and the buttons of Dagster's UI.

A still clock, because a test that says "nothing is written" must not be met by a trade.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.core.tradingdays import NEW_YORK, new_york_day
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

DAYS = 14
ASSETS = ("accounts", "positions", "balances", "balance_snapshots", "transactions")
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
NO_TELEMETRY = {"telemetry": {"enabled": False}}
Rows = list[dict[str, Any]]


def today() -> date:
    return new_york_day(datetime.now(UTC))


def first_day() -> date:
    return today() - timedelta(days=DAYS)


def all_days() -> list[date]:
    return [first_day() + timedelta(days=number) for number in range(DAYS + 1)]


def books(**changes: Any) -> SimulatorConfig:
    """Two weeks of a margin and a cash account, one order on a normal day."""
    midnight = datetime.combine(today(), time.min, NEW_YORK)
    wanted: dict[str, Any] = {"accounts": 2, "trades_per_day": 1.0, "start": first_day(), "now": midnight, **changes}
    return SimulatorConfig(**wanted)


def point_at(simulator: Simulator, warehouse_url: str, patch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        patch.delenv(name, raising=False)
    patch.setenv("TT_SECRET", simulator.client_secret)
    patch.setenv("TT_REFRESH", simulator.refresh_token)
    patch.setenv("TASTY_API_URL", simulator.url)
    patch.setenv("TASTY_WAREHOUSE_URL", warehouse_url)
    patch.setenv("TASTY_HISTORY_START", first_day().isoformat())


class Launcher:
    """Runs what the UI's buttons run: the job of all assets, of it the chosen assets and checks, on chosen days."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance

    def __call__(
        self,
        *assets: str,
        checks: Sequence[tuple[str, str]] | None = (),
        days: tuple[date, date] | None = None,
        day: date | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialize; `checks` are none, those named, or (None) all of the assets'. Without days: all of them."""
        job = build_defs(**(resources or {})).resolve_implicit_global_asset_job_def()
        chosen = None if checks is None else {dg.AssetCheckKey(dg.AssetKey(asset), name) for asset, name in checks}
        subset = job.get_subset(asset_selection={dg.AssetKey(each) for each in assets}, asset_check_selection=chosen)
        span = days or ((first_day(), today()) if {"transactions", "balance_snapshots"} & set(assets) else None)
        tags = dict(zip(RANGE, map(str, span), strict=True)) if span and day is None else {}
        run_config = {"ops": {op: {"config": dict(values)} for op, values in (config or {}).items()}}
        return subset.execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            tags=tags,
            run_config=run_config,
            partition_key=day.isoformat() if day else None,
        )


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with serve(books()) as simulator:
        yield simulator


@pytest.fixture
def environment(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The project pointed at the brokerage and at a DuckDB file that does not exist yet."""
    point_at(sim, f"duckdb:///{tmp_path}/data/warehouse.duckdb", monkeypatch)
    return sim


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance that keeps its runs in memory."""
    with dg.DagsterInstance.ephemeral(settings=NO_TELEMETRY) as made:
        yield made


@pytest.fixture
def stored_instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that keeps its runs in files below `dagster`, as `dagster dev` has."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home), overrides=NO_TELEMETRY) as made:
        yield made


@pytest.fixture
def launch(environment: Simulator, instance: dg.DagsterInstance) -> Launcher:
    return Launcher(instance)


@pytest.fixture
def tables(tmp_path: Path, _migrated_file: Path, keep_open: Callable[[Path], object]) -> None:
    """The tables are made already, and empty."""
    keep_open(_put(_migrated_file, tmp_path))


def _put(file: Path, folder: Path) -> Path:
    """Copy a DuckDB file to where the project in a folder looks for it."""
    path = folder / "data" / "warehouse.duckdb"
    path.parent.mkdir()
    return Path(shutil.copy(file, path))


@pytest.fixture(scope="session")
def synced_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DuckDB file after one good run of every asset: the same for every brokerage with these books."""
    folder = tmp_path_factory.mktemp("synced")
    path = folder / "warehouse.duckdb"
    with (
        pytest.MonkeyPatch.context() as patch,
        serve(books()) as simulator,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        point_at(simulator, f"duckdb:///{path}", patch)
        assert Launcher(instance)(*ASSETS).success
    return path


@pytest.fixture
def synced(launch: Launcher, tmp_path: Path, synced_file: Path, keep_open: Callable[[Path], object]) -> Launcher:
    """The tables are as the brokerage says."""
    keep_open(_put(synced_file, tmp_path))
    return launch


def stored(name: str, url: str | None = None) -> Rows:
    """Read all rows of a table of the warehouse, by their key, with the provenance of each."""
    table = schema.METADATA.tables[f"{schema.SCHEMA}.{name}"]
    with open_warehouse(url or _url()).read() as reader:
        return reader.rows(sa.select(table).order_by(*table.primary_key.columns))


def whole_content(url: str | None = None) -> dict[str, Rows]:
    """Read every mirrored table."""
    return {name: stored(name, url) for name in schema.MIRRORED}


def _url() -> str:
    return os.environ["TASTY_WAREHOUSE_URL"]


def failures(result: dg.ExecuteInProcessResult) -> dict[str, dg.Failure]:
    """Return what the run's page says of each failed step, by step."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            assert data.user_failure_data is not None, data.error_display_string
            found[str(event.step_key)] = dg.Failure(
                data.user_failure_data.description, metadata=data.user_failure_data.metadata
            )
    return found


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> Mapping[str, Any]:
    """Return the metadata of an asset's (newest) materialization in a run, unwrapped."""
    events = result.asset_materializations_for_node(asset if asset not in {"positions", "balances"} else "portfolio")
    mine = [each for each in events if each.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in mine[-1].metadata.items()}
