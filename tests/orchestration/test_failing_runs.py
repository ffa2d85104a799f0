"""A run that fails: what succeeded stays, what failed is named with what to do, and no day passes for done."""

from pathlib import Path

import dagster as dg
import pytest

from tasty_pipeline.resources import BrokerResource
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import ASSETS, Launcher, failures, stored, today, whole_content

FIRST, SECOND = "5WT00701", "5WT00702"


def established(port: int) -> int:
    """Count this process's open connections to a local port, as the kernel sees them."""
    lines = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[2].rpartition(":")[2], 16) == port and line[3] == "01" for line in lines)


def logins(sim: Simulator) -> int:
    return sum(path == "/oauth/token" for _, path, _ in sim.requests)


@pytest.mark.usefixtures("tables")
def test_one_account_that_fails_is_named_and_the_others_are_committed(environment: Simulator, launch: Launcher) -> None:
    environment.brokerage.faults.add(Fault("not_permitted", path=f"{FIRST}/(transactions|positions)"))
    result = launch("positions", "balances", "transactions")
    assert not result.success
    told = failures(result)
    assert set(told) == {"portfolio", "transactions"}
    sentence = str(told["transactions"].description)
    assert "1 account failed; what succeeded is committed" in sentence
    assert f"[{FIRST}]" in sentence
    assert "403" in sentence
    assert "What to do: check that the account belongs to this login" in sentence
    facts = {name: value.value for name, value in told["transactions"].metadata.items()}
    assert (facts["accounts"], facts["kind"]) == (FIRST, "PermanentError")
    for name in ("positions", "balances", "transactions"):
        assert {row["account_number"] for row in stored(name)} == {SECOND}
    failed = [row for row in stored("sync_log") if row["result"] == "failed"]
    assert {(row["account_number"], row["table_name"]) for row in failed} == {
        (FIRST, "positions"),
        (FIRST, "transactions"),
    }


@pytest.mark.usefixtures("tables")
def test_a_failed_run_marks_no_day_as_materialized(environment: Simulator, launch: Launcher) -> None:
    environment.brokerage.faults.add(Fault("not_permitted", path=f"{FIRST}/transactions"))
    assert not launch("transactions").success
    assert not launch.instance.get_materialized_partitions(dg.AssetKey("transactions"))
    environment.brokerage.faults.clear()
    assert launch("transactions").success
    assert {row["account_number"] for row in stored("transactions")} == {FIRST, SECOND}


@pytest.mark.parametrize("kind", ["empty_list", "short_page"])
def test_a_list_that_lacks_an_account_stops_every_asset_and_marks_no_day(
    kind: str, environment: Simulator, synced: Launcher
) -> None:
    before = whole_content()
    environment.brokerage.faults.add(Fault(kind, path="/customers/me/accounts$"))
    for name in ("transactions", "balance_snapshots", "positions"):
        told = failures(synced(name))
        assert any("lists" in str(each.description) for each in told.values()), told
    assert whole_content() == before


def test_a_mass_removal_stops_until_the_operator_confirms_it(environment: Simulator, synced: Launcher) -> None:
    before = whole_content()
    environment.brokerage.faults.add(Fault("empty_list", path=f"{FIRST}/transactions"))
    told = failures(synced("transactions"))
    assert "confirm_mass_removal: true" in str(told["transactions"].description)
    assert whole_content() == before
    assert synced("transactions", config={"transactions": {"confirm_mass_removal": True}}).success
    gone = {row["account_number"] for row in stored("transactions") if row["removed_at"]}
    assert gone == {FIRST}
    assert len(stored("transactions")) == len(before["transactions"])


@pytest.mark.parametrize("spoil", [None, Fault("not_permitted", path="positions")], ids=["good", "failing"])
def test_the_session_is_opened_once_a_run_and_closed_at_its_end(
    environment: Simulator, synced: Launcher, spoil: Fault | None
) -> None:
    if spoil:
        environment.brokerage.faults.add(spoil)
    assert synced(*ASSETS).success is (spoil is None)
    assert logins(environment) == 1
    assert established(int(environment.url.rpartition(":")[2])) == 0


def test_an_api_that_is_down_fails_the_run_and_the_next_one_catches_up(
    environment: Simulator, synced: Launcher
) -> None:
    (traded,) = environment.brokerage.trade(FIRST)
    environment.brokerage.faults.add(Fault("html", path="transactions", status=503))
    impatient = {"broker": BrokerResource(retry_budget_seconds=0)}
    told = failures(synced("transactions", day=today(), resources=impatient))
    assert "a page of HTML as in maintenance" in str(told["transactions"].description)
    environment.brokerage.faults.clear()
    assert synced("transactions", day=today()).success
    assert traded in {row["transaction_id"] for row in stored("transactions")}
