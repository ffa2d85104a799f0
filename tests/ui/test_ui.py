"""The UI: what its buttons do, through the GraphQL that they send, and what people see, in a real browser.

One file, because one server of the whole set-up serves it, and test workers take a file each.
"""

import time
from typing import Any

import pytest

from .conftest import HISTORY, Ui

EXPANDED = "global@global:portfolio,global@global:history"
ASSETS = ("accounts", "positions", "balances", "balance_snapshots", "transactions")
# The daemon looks for backfills every thirty seconds: the tests stand in such an order that others use both waits.
WHILE_IT_WAITS = pytest.mark.usefixtures("launched")
WHILE_IT_RUNS_AGAIN = pytest.mark.usefixtures("repeated")


@WHILE_IT_WAITS
def test_a_backfill_of_days_that_there_are_not_is_refused_by_dagster(ui: Ui) -> None:
    for day in ("2011-01-01", "2999-01-01"):
        assert ui.backfill([day])["__typename"] in {"PartitionKeysNotFoundError", "PythonError"}


@WHILE_IT_WAITS
def test_a_run_of_days_that_there_are_not_says_which_there_are(ui: Ui) -> None:
    run = ui.materialize("transactions", dagster_partition="2999-01-01")
    assert ui.ended(run) == "FAILURE"
    (sentence,) = ui.failure(run).values()
    assert "that reaches after today" in sentence
    assert f"choose days from {ui.days()[0]} to {ui.days()[-1]}" in sentence


def test_a_failed_run_says_which_account_why_and_what_to_do(ui: Ui, refused: str) -> None:
    (sentence,) = ui.failure(refused).values()
    assert "positions and balances: 1 account failed; what succeeded is committed" in sentence
    assert "[5WT00702]" in sentence
    assert "does not let this login see it (403)" in sentence
    assert "What to do: " in sentence


def test_a_backfill_of_the_whole_history_is_one_run_that_materializes_every_day(ui: Ui, history: str) -> None:
    asked = ui.ask(
        """{ assetNodes(assetKeys: [{path: ["transactions"]}, {path: ["balance_snapshots"]}]) {
        partitionStats { numMaterialized numPartitions numFailed } } }"""
    )
    every = len(ui.days())
    assert [node["partitionStats"] for node in asked["assetNodes"]] == [
        {"numMaterialized": every, "numPartitions": every, "numFailed": 0}
    ] * 2
    state = ui.control("state", "GET")
    assert len(ui.stored("transactions")) == sum(state["accounts"].values())
    print(f"{every} days of each table in one run of {ui.seconds(history):.1f} s")  # noqa: T201 - pytest -s shows the figure


def test_a_trade_at_the_broker_is_in_the_table_within_seconds(ui: Ui, history: str) -> None:
    began = time.monotonic()
    (traded,) = ui.control("call/trade", account="5WT00701")["result"]
    ui.until(lambda: ui.has_transaction(traded), "the row of the trade", 60)
    print(f"from the trade to the row: {time.monotonic() - began:.1f} s")  # noqa: T201 - pytest -s shows the figure


@WHILE_IT_RUNS_AGAIN
def test_the_asset_graph_shows_all_five_assets(ui: Ui, browser: Any) -> None:
    browser.open(f"{ui.url}/asset-groups?expanded={EXPANDED}", *ASSETS)


@WHILE_IT_RUNS_AGAIN
def test_an_assets_page_shows_its_metadata_and_its_checks(ui: Ui, history: str, browser: Any) -> None:
    browser.open(f"{ui.url}/assets/transactions", "tasty.transactions", "transaction_id")
    text = browser.open(f"{ui.url}/assets/transactions?view=checks", "complete", "no_rejected_rows")
    assert "unique_keys" in text


@WHILE_IT_RUNS_AGAIN
def test_a_failed_runs_page_shows_our_sentence(ui: Ui, refused: str, browser: Any) -> None:
    browser.open(f"{ui.url}/runs/{refused}", "does not let this login see it (403)")


def test_the_same_backfill_again_writes_no_row(
    ui: Ui, history: str, repeated: tuple[str, dict[str, list[dict[str, Any]]]]
) -> None:
    backfill, before = repeated
    (run,) = ui.until(lambda: ui.runs_of(backfill), "the backfill's run")
    assert run != history
    assert ui.ended(run) == "SUCCESS"
    assert {name: ui.stored(name) for name in HISTORY} == before
    print(f"again, without a row written, in {ui.seconds(run):.1f} s")  # noqa: T201 - pytest -s shows the figure
