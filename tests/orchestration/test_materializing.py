"""What the assets do when they are materialized: tables filled, metadata told, nothing written twice."""

from collections import Counter
from datetime import timedelta

import dagster as dg
import pytest

from tasty_pipeline.core import schema
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.simulator import Simulator

from .conftest import (
    ASSETS,
    DAYS,
    Launcher,
    all_days,
    failures,
    first_day,
    metadata_of,
    stored,
    today,
    whole_content,
)


def materialized_days(launch: Launcher, asset: str) -> set[str]:
    return set(launch.instance.get_materialized_partitions(dg.AssetKey(asset)))


@pytest.mark.parametrize("asset", ASSETS)
def test_every_asset_materializes_alone_into_an_empty_warehouse(launch: Launcher, asset: str) -> None:
    result = launch(asset)
    assert result.success
    assert stored(asset)
    assert metadata_of(result, asset)["dagster/row_count"] == len(stored(asset))


def test_all_assets_materialize_together_and_hold_what_the_brokerage_holds(
    environment: Simulator, synced: Launcher
) -> None:
    books = environment.brokerage
    numbers = [each["account-number"] for each in books.accounts()]
    assert [row["account_number"] for row in stored("accounts")] == sorted(numbers)
    booked = {row["id"] for number in numbers for row in books.transactions(number)}
    assert {row["transaction_id"] for row in stored("transactions")} == booked
    held = {(number, row["symbol"]) for number in numbers for row in books.positions(number)}
    assert {(row["account_number"], row["symbol"]) for row in stored("positions")} == held
    assert len(stored("balances")) == len(numbers)


@pytest.mark.usefixtures("tables")
def test_a_range_is_one_run_that_marks_each_day_with_its_rows(launch: Launcher) -> None:
    result = launch("transactions")
    assert result.success
    rows = Counter(row["transaction_date"].isoformat() for row in stored("transactions"))
    events = result.asset_materializations_for_node("transactions")
    told = {event.partition: event.metadata["rows"].value for event in events}
    assert told == {day.isoformat(): rows[day.isoformat()] for day in all_days()}
    assert 0 in told.values()
    assert materialized_days(launch, "transactions") == set(told)
    assert launch.instance.get_runs_count() == 1


def test_metadata_says_what_was_done_and_where_it_is(synced: Launcher, launch: Launcher) -> None:
    result = launch("accounts", "positions", "balances", "transactions")
    for asset in ("accounts", "positions", "balances", "transactions"):
        told = metadata_of(result, asset)
        assert told["table"] == f"tasty.{asset}"
        assert told["warehouse"].startswith("DuckDB file ")
        assert told["dagster/row_count"] == told["rows read"] == told["rows unchanged"] == len(stored(asset))
        assert told["rows inserted"] == told["rows removed"] == told["rows rejected"] == 0
        head, _, *lines = told["preview"].split("\n")
        assert "account_number" in head
        assert len(lines) == min(5, len(stored(asset)))
    assert metadata_of(result, "transactions")["requests"] > 0
    assert "5WT00701" in metadata_of(result, "transactions")["accounts"]


def test_the_definitions_describe_every_column_before_anything_ran(launch: Launcher) -> None:
    graph = build_defs().resolve_asset_graph()
    for name, table in schema.MIRRORED.items():
        told = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"]
        assert [(column.name, column.description) for column in told.columns] == [
            (column.name, column.comment) for column in table.columns
        ]


@pytest.mark.usefixtures("tables")
def test_positions_alone_publish_the_balances_that_belong_to_them(launch: Launcher) -> None:
    result = launch("positions")
    assert result.success
    states = {
        name: {(row["account_number"], row["synced_at"]) for row in stored(name)} for name in ("positions", "balances")
    }
    assert states["positions"] == states["balances"]
    events = result.asset_materializations_for_node("portfolio")
    assert {event.asset_key.to_user_string() for event in events} == {"positions"}


def test_a_second_run_writes_no_row(synced: Launcher, launch: Launcher) -> None:
    before = whole_content()
    assert launch(*ASSETS).success
    assert whole_content() == before


def test_a_dry_run_says_what_would_change_and_writes_nothing(environment: Simulator, synced: Launcher) -> None:
    (traded,) = environment.brokerage.trade("5WT00701")
    before = {name: stored(name) for name in (*schema.MIRRORED, "sync_log", "proven_days", "rejected_rows")}
    dry = {op: {"dry_run": True} for op in ("accounts", "portfolio", "transactions", "balance_snapshots")}
    result = synced(*ASSETS, config=dry)
    assert result.success
    assert not [event for event in result.all_events if event.is_step_materialization]
    assert {name: stored(name) for name in before} == before
    assert not materialized_days(synced, "transactions")
    seen = {
        told.asset_key.to_user_string(): told
        for event in result.all_events
        if event.event_type_value == "ASSET_OBSERVATION"
        for told in [event.asset_observation_data.asset_observation]
    }
    assert set(seen) == set(ASSETS)
    assert "Dry run: nothing was written" in str(seen["transactions"].description)
    assert seen["transactions"].metadata["rows inserted"].value == 1
    assert synced("transactions").success
    assert traded in {row["transaction_id"] for row in stored("transactions")}


def test_a_dry_run_of_an_empty_warehouse_makes_no_tables(launch: Launcher) -> None:
    told = failures(launch("transactions", config={"transactions": {"dry_run": True}}))
    assert "no tables yet" in str(told["transactions"].description)


@pytest.mark.usefixtures("tables")
def test_the_run_config_chooses_the_accounts(environment: Simulator, launch: Launcher) -> None:
    first, second = (each["account-number"] for each in environment.brokerage.accounts())
    chosen = {"accounts": [second]}
    assert launch("positions", "balances", "transactions", config={"portfolio": chosen, "transactions": chosen}).success
    for name in ("positions", "balances", "transactions"):
        assert {row["account_number"] for row in stored(name)} == {second}
    assert not [path for _, path, _ in environment.requests if first in path]


def test_the_lookback_reads_the_days_before_the_run_again(environment: Simulator, synced: Launcher) -> None:
    late = environment.brokerage.book_late("5WT00701", 9)
    assert synced("transactions", day=today()).success
    assert late not in {row["transaction_id"] for row in stored("transactions")}
    assert synced("transactions", day=today(), config={"transactions": {"lookback_days": 10}}).success
    assert late in {row["transaction_id"] for row in stored("transactions")}


def test_verified_totals_find_a_row_that_was_booked_before_every_lookback(
    environment: Simulator, synced: Launcher
) -> None:
    late = environment.brokerage.book_late("5WT00701", DAYS - 2)
    assert synced("transactions", day=today(), config={"transactions": {"verify_totals": True}}).success
    assert late in {row["transaction_id"] for row in stored("transactions")}


@pytest.mark.usefixtures("tables")
def test_a_part_of_the_history_marks_only_its_days(launch: Launcher) -> None:
    start, end = first_day() + timedelta(days=2), first_day() + timedelta(days=6)
    assert launch("transactions", days=(start, end)).success
    assert {row["transaction_date"] for row in stored("transactions")} <= {
        start + timedelta(days=number) for number in range(5)
    }
    assert materialized_days(launch, "transactions") == {str(start + timedelta(days=number)) for number in range(5)}
