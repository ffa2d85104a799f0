"""The asset checks: all pass on good data, and one that fails says what is wrong and how to recover."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import dagster as dg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Writer, open_warehouse
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import ASSETS, Launcher, stored, today

TX, SNAPSHOTS, LOG = schema.transactions, schema.balance_snapshots, schema.sync_log


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = result.get_asset_check_evaluations()
    return {(each.asset_key.to_user_string(), each.check_name): each for each in found}


def test_all_checks_run_with_their_assets_and_pass_on_good_data(synced: Launcher) -> None:
    result = synced(*ASSETS, checks=None)
    assert result.success
    found = evaluations(result)
    assert len(found) == 29
    assert not [name for name, each in found.items() if not each.passed]
    assert all(each.description for each in found.values())


def lose_a_row(writer: Writer) -> None:
    newest = sa.select(sa.func.max(TX.c.transaction_id)).scalar_subquery()
    writer.execute(sa.delete(TX).where(TX.c.transaction_id == newest))


def book_a_row_twice(writer: Writer) -> None:
    fills = sa.select(TX).where(TX.c.exec_id.is_not(None)).order_by(TX.c.transaction_date)
    row = writer.rows(fills.limit(1))[0]
    again = {"transaction_id": 1, "transaction_date": row["transaction_date"] + timedelta(days=1)}
    writer.insert(TX, [{**row, **again}])


def take_a_row_of_nobody(writer: Writer) -> None:
    somebodys = SNAPSHOTS.c.account_number == "5WT00701"
    writer.execute(sa.update(SNAPSHOTS).where(somebodys).values(account_number="5WX99999"))


def lose_a_cent_or_two(writer: Writer) -> None:
    writer.execute(sa.update(TX).values(net_value=TX.c.net_value + Decimal("0.02")))


def forget_for_weeks(writer: Writer) -> None:
    writer.execute(sa.update(LOG).values(read_started_at=datetime.now(UTC) - timedelta(days=30)))


@pytest.mark.parametrize(
    ("spoil", "asset", "name", "words"),
    [
        (lose_a_row, "transactions", "complete", "materialize"),
        (book_a_row_twice, "transactions", "one_partition", ""),
        (take_a_row_of_nobody, "balance_snapshots", "known_accounts", "materialize accounts"),
        (lose_a_cent_or_two, "transactions", "net_value", "compare the rows with the broker's statement"),
        (forget_for_weeks, "positions", "fresh", "tasty-pipeline doctor"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_failing_check_says_how_to_recover_and_shows_some_of_it(
    synced: Launcher, spoil: Callable[[Writer], None], asset: str, name: str, words: str
) -> None:
    with open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).write() as writer:
        spoil(writer)
    result = synced(checks=[(asset, name)])
    assert result.success
    found = evaluations(result)[asset, name]
    assert not found.passed
    recovery = str(found.metadata["how to recover"].value)
    assert words in recovery
    assert recovery in str(found.description)
    assert "To recover: " in str(found.description)
    assert int(str(found.metadata["breaks"].value)) > 0
    assert str(found.metadata["sample"].value).startswith("| ")


@pytest.mark.parametrize(
    ("fault", "name", "severity"),
    [
        (Fault("bad_value", path="transactions", field="price"), "no_rejected_rows", dg.AssetCheckSeverity.ERROR),
        (Fault("extra_field", path="transactions"), "contract", dg.AssetCheckSeverity.WARN),
    ],
    ids=["bad_row", "new_field"],
)
def test_what_does_not_fit_the_contract_fails_the_check_of_its_own_run_and_loads_the_rest(
    environment: Simulator, launch: Launcher, fault: Fault, name: str, severity: dg.AssetCheckSeverity
) -> None:
    environment.brokerage.faults.add(fault)
    result = launch("transactions", checks=[("transactions", name)])
    found = evaluations(result)["transactions", name]
    assert (found.passed, found.severity) == (False, severity)
    assert str(found.metadata["sample"].value).startswith("| ")
    assert len(stored("transactions")) > 2


def test_a_run_of_one_day_does_not_show_as_mended_what_is_missing_on_another(synced: Launcher) -> None:
    first = stored("transactions")[0]
    assert first["transaction_date"] < today()
    with open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).write() as writer:
        writer.execute(sa.delete(TX).where(TX.c.transaction_id == first["transaction_id"]))
    key = ("transactions", "complete")
    assert not evaluations(synced("transactions", checks=[key], day=today()))[key].passed
    assert not evaluations(synced(checks=[key]))[key].passed


def test_a_check_that_cannot_read_the_tables_fails_with_one_sentence(
    environment: Simulator, launch: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", "mysql://nobody@nowhere/x")
    result = launch(checks=[("transactions", "complete")])
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    said = failed.step_failure_data.user_failure_data
    assert said is not None
    assert "neither a DuckDB nor a Postgres URL" in str(said.description)
