"""Several logins in one warehouse: all are synchronised, and what befalls one touches no other."""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from tasty_pipeline.core import audits, connections, schema
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Fault, Simulator, serve

from .conftest import ASSETS, Launcher, books, failures, first_day, metadata_of, point_at, stored, today

# alice owns the first two accounts; bob may read the second and owns the third
ALICES, SHARED, BOBS = ["5WT00701", "5WT00702"], "5WT00702", ["5WT00702", "5WT00703"]
Rows = list[dict[str, Any]]
# those that a login which came, left or was refused could break
CONCERNED = [
    ("accounts", "authorised"),
    *((table, "complete") for table in ("transactions", "balance_snapshots")),
    *((table, "fresh") for table in ("positions", "transactions", "balance_snapshots")),
]


@pytest.fixture(scope="module")
def shared_sim() -> Iterator[Simulator]:
    with serve(books(accounts=3)) as simulator:
        yield simulator


@pytest.fixture
def sim(shared_sim: Simulator) -> Iterator[Simulator]:
    """One brokerage for all tests of this module; each leaves it as it was."""
    yield shared_sim
    shared_sim.brokerage.faults.clear()
    for name in shared_sim.logins:
        shared_sim.brokerage.restore_grant(name)


@pytest.fixture
def warehouse(
    request: pytest.FixtureRequest,
    sim: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    keep_open: Callable[[Path], object],
) -> Warehouse:
    """A warehouse with the connections of alice and bob; the environment has the application's secret alone."""
    folder: Path = request.getfixturevalue("synced_folder" if "synced" in request.fixturenames else "connected_folder")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    keep_open(tmp_path / "data" / "warehouse.duckdb")
    return use(sim, tmp_path, monkeypatch)


def use(sim: Simulator, folder: Path, patch: pytest.MonkeyPatch) -> Warehouse:
    point_at(sim, f"duckdb:///{folder}/data/warehouse.duckdb", patch)
    patch.delenv("TT_REFRESH")
    patch.setenv("TASTY_SEALING_KEYS", str(folder / "keys"))
    return open_warehouse(os.environ["TASTY_WAREHOUSE_URL"])


@pytest.fixture
def launch(warehouse: Warehouse, instance: dg.DagsterInstance) -> Launcher:
    return Launcher(instance)


@pytest.fixture(scope="module")
def connected_folder(shared_sim: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse that knows both connections and has read nothing yet, and its keys."""
    folder = tmp_path_factory.mktemp("connected")
    with pytest.MonkeyPatch.context() as patch:
        made = use(shared_sim, folder, patch)
        made.migrate()
        connections.make_key(made, folder / "keys")
        for name in ("alice", "bob"):
            connections.add(made, name, Secrets(shared_sim.logins[name]), owner=f"user-{name}")
    return folder


@pytest.fixture(scope="module")
def synced_folder(shared_sim: Simulator, connected_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after one good run of every asset."""
    folder = tmp_path_factory.mktemp("synced")
    shutil.copytree(connected_folder, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        use(shared_sim, folder, patch)
        assert Launcher(instance)(*ASSETS).success
    return folder


@pytest.fixture
def synced(launch: Launcher) -> Launcher:
    """Both logins are synchronised."""
    return launch


@pytest.fixture
def asked(sim: Simulator) -> Callable[[], dict[str, int]]:
    """How often each login was tried since the test began."""
    before = {name: sim.brokerage.tokens.attempts_of(name) for name in sim.logins}
    return lambda: {name: sim.brokerage.tokens.attempts_of(name) - before[name] for name in sim.logins}


def listed(connection: str) -> dict[str, str]:
    """Return account and authority of what a connection lists now."""
    rows = [row for row in stored("connection_accounts") if row["connection_id"] == connection]
    return {row["account_number"]: row["authority_level"] for row in rows if row["removed_at"] is None}


def state_of(connection: str) -> str | None:
    (row,) = [row for row in stored("connections") if row["connection_id"] == connection]
    return row["state"]  # type: ignore[no-any-return]


def accounts_in(table: str) -> set[str]:
    return {row["account_number"] for row in stored(table)}


def test_one_run_synchronises_all_logins_and_reads_a_shared_account_once(
    sim: Simulator, launch: Launcher, asked: Callable[[], dict[str, int]]
) -> None:
    begun = len(sim.requests)
    result = launch(*ASSETS, checks=None)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert listed("alice") == dict.fromkeys(ALICES, "owner")
    assert listed("bob") == {SHARED: "read-only", BOBS[1]: "owner"}
    for table in ("positions", "balances", "transactions", "balance_snapshots"):
        assert accounts_in(table) == {*ALICES, *BOBS}
    assert asked() == {"default": 0, "alice": 1, "bob": 1}
    # two readings of the positions make one state
    paths = [path for _, path, _ in sim.requests[begun:]]
    assert sum(path.endswith(f"/accounts/{SHARED}/positions") for path in paths) == 2
    assert {state_of("alice"), state_of("bob")} == {"active"}
    by_connection = {(row["connection"], row["account_number"]) for row in stored("sync_log")}
    assert ("alice", SHARED) in by_connection
    assert ("bob", BOBS[1]) in by_connection


def test_a_second_run_needs_no_login_and_writes_no_row(synced: Launcher, asked: Callable[[], dict[str, int]]) -> None:
    tables = (*schema.MIRRORED, "connections", "connection_accounts", "access_tokens", "changes")
    before = {name: stored(name) for name in tables}
    assert synced(*ASSETS).success
    assert {name: stored(name) for name in tables} == before
    assert asked() == {"default": 0, "alice": 0, "bob": 0}


def test_a_revoked_grant_is_tried_once_and_touches_no_other_login(
    sim: Simulator, launch: Launcher, asked: Callable[[], dict[str, int]]
) -> None:
    sim.brokerage.revoke_grant("alice")
    result = launch(*ASSETS)
    told = failures(result)
    # the list of accounts went on with bob's; those that need alice's accounts fail and name her
    assert set(told) == {"portfolio", "transactions", "balance_snapshots"}
    for each in told.values():
        assert "1 login failed; what succeeded is committed. [login alice]" in str(each.description)
    assert asked() == {"default": 0, "alice": 1, "bob": 1}
    for table in ("accounts", "positions", "balances", "transactions", "balance_snapshots"):
        assert accounts_in(table) == set(BOBS)
    assert (state_of("alice"), state_of("bob")) == ("needs reauthorisation", "active")

    again = launch(*ASSETS, checks=[("accounts", "authorised"), ("accounts", "unique_keys")])
    assert again.success, failures(again)
    assert asked() == {"default": 0, "alice": 1, "bob": 1}
    assert metadata_of(again, "transactions")["logins that need reauthorisation"] == "alice"
    (check,) = [each for each in again.get_asset_check_evaluations() if not each.passed]
    assert check.check_name == "authorised"
    assert "1 logins need reauthorisation" in str(check.description)


def test_where_every_login_was_refused_a_run_fails_and_asks_nobody(sim: Simulator, launch: Launcher) -> None:
    for name in ("alice", "bob"):
        sim.brokerage.revoke_grant(name)
    told = failures(launch("accounts"))
    assert "2 logins failed" in str(told["accounts"].description)
    begun = len(sim.requests)
    told = failures(launch("accounts"))
    assert "The login alice needs reauthorisation" in str(told["accounts"].description)
    assert "connections check alice" in str(told["accounts"].description)
    assert len(sim.requests) == begun


def test_a_new_token_makes_a_refused_login_work_again(sim: Simulator, warehouse: Warehouse, launch: Launcher) -> None:
    connections.add(warehouse, "alice", Secrets("not-a-token"), owner="user-alice")
    assert not launch("accounts", "positions").success
    assert state_of("alice") == "needs reauthorisation"
    connections.add(warehouse, "alice", Secrets(sim.logins["alice"]), owner="user-alice")
    assert launch("accounts", "positions").success
    assert state_of("alice") == "active"
    assert accounts_in("positions") == {*ALICES, *BOBS}


def test_the_accounts_asset_alone_fails_of_a_login_that_failed(sim: Simulator, launch: Launcher) -> None:
    sim.brokerage.revoke_grant("alice")
    told = failures(launch("accounts"))
    assert "[login alice]" in str(told["accounts"].description)
    assert accounts_in("accounts") == set(BOBS)


def test_a_run_fails_of_a_login_whose_list_failed_once_even_where_later_steps_can_read_it(
    sim: Simulator, launch: Launcher
) -> None:
    sim.brokerage.faults.add(Fault("null_data", path="customers/me/accounts", times=1, login="bob"))
    told = failures(launch(*ASSETS))
    assert accounts_in("accounts") == set(ALICES)
    # all that the later steps could read is committed
    for table in ("positions", "balances", "transactions", "balance_snapshots"):
        assert accounts_in(table) == {*ALICES, *BOBS}
    assert set(told) == {"portfolio", "transactions", "balance_snapshots"}
    for each in told.values():
        assert "1 login failed; what succeeded is committed. [login bob]" in str(each.description)
    assert launch(*ASSETS).success
    assert accounts_in("accounts") == {*ALICES, *BOBS}


def test_a_login_whose_list_fails_in_every_step_is_named_once_in_each(sim: Simulator, launch: Launcher) -> None:
    sim.brokerage.faults.add(Fault("null_data", path="customers/me/accounts", login="bob"))
    told = failures(launch("accounts", "positions", "balances"))
    assert set(told) == {"portfolio"}
    assert "1 login failed" in str(told["portfolio"].description)
    assert str(told["portfolio"].description).count("[login bob]") == 1
    assert accounts_in("positions") == set(ALICES)


def test_a_bad_row_in_the_list_of_one_login_stands_until_that_login_lists_it_no_more(
    sim: Simulator, launch: Launcher
) -> None:
    spoiled = Fault(
        "bad_value", path="customers/me/accounts", login="alice", row=0, field="opened-at", value="long ago"
    )
    sim.brokerage.faults.add(spoiled)
    check = [("accounts", "no_rejected_rows")]
    for _ in range(2):
        (told,) = launch("accounts", checks=check).get_asset_check_evaluations()
        assert not told.passed
        (row,) = stored("rejected_rows")
        assert (row["row_key"], row["resolved_at"]) == (ALICES[0], None)
    sim.brokerage.faults.clear()
    (told,) = launch("accounts", checks=check).get_asset_check_evaluations()
    assert told.passed
    assert accounts_in("accounts") == {*ALICES, *BOBS}


def test_an_account_that_one_login_no_longer_lists_stays_while_another_lists_it(
    sim: Simulator, launch: Launcher
) -> None:
    assert launch("accounts").success
    sim.brokerage.unshare(SHARED, "bob")
    try:
        stopped = failures(launch("accounts"))
        assert "[login bob]" in str(stopped["accounts"].description)
        assert "confirm_mass_removal" in str(stopped["accounts"].description)
        assert SHARED in listed("bob")
        assert launch("accounts", config={"accounts": {"confirm_mass_removal": True}}).success
    finally:
        sim.brokerage.share(SHARED, "bob")
    assert set(listed("bob")) == {BOBS[1]}
    assert SHARED in listed("alice")
    assert not [row for row in stored("accounts") if row["removed_at"]]


def test_an_account_that_one_login_may_not_read_is_read_through_the_other(sim: Simulator, launch: Launcher) -> None:
    sim.brokerage.faults.add(Fault("not_permitted", path=f"/accounts/{SHARED}/positions", login="alice"))
    told = failures(launch("accounts", "positions", "balances"))
    assert f"1 account failed; what succeeded is committed. [{SHARED}]" in str(told["portfolio"].description)
    assert accounts_in("positions") == {*ALICES, *BOBS}


def test_the_run_config_chooses_logins_and_accounts(launch: Launcher, asked: Callable[[], dict[str, int]]) -> None:
    only_bob = {"connections": ["bob"]}
    result = launch("accounts", "transactions", config={"accounts": only_bob, "transactions": only_bob})
    assert result.success
    assert accounts_in("transactions") == set(BOBS)
    assert asked() == {"default": 0, "alice": 0, "bob": 1}
    one = {"accounts": [ALICES[0]]}
    assert launch("transactions", config={"transactions": one}).success
    assert accounts_in("transactions") == {ALICES[0], *BOBS}
    nobody = failures(launch("transactions", config={"transactions": {"connections": ["carol"]}}))
    assert "There is no connection carol" in str(nobody["transactions"].description)
    assert "alice, bob" in str(nobody["transactions"].description)


def test_the_environments_login_is_the_connection_default_beside_the_others(
    sim: Simulator, launch: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    assert launch(*ASSETS).success
    assert set(listed("default")) == {*ALICES, *BOBS}
    assert {row["connection"] for row in stored("sync_log") if row["table_name"] == "transactions"} == {"default"}
    assert set(listed("alice")) == set(ALICES)


def test_a_disconnected_login_is_not_read_and_only_its_own_accounts_are_removed(
    sim: Simulator, warehouse: Warehouse, synced: Launcher, asked: Callable[[], dict[str, int]]
) -> None:
    kept = len(stored("transactions"))
    # as an application does it: the rest is the pipeline's
    table = schema.connections
    with warehouse.write() as writer:
        ended = {"disconnected_at": sa.func.now(), "sealed_credentials": None}
        writer.execute(sa.update(table).where(table.c.connection_id == "alice").values(**ended))
    result = synced(*ASSETS, checks=CONCERNED)
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert asked()["alice"] == 0
    assert listed("alice") == {}
    removed = {row["account_number"] for row in stored("accounts") if row["removed_at"]}
    assert removed == {ALICES[0]}
    assert len(stored("transactions")) == kept
    assert {row["connection_id"] for row in stored("access_tokens")} == {"bob"}

    connections.add(warehouse, "alice-again", Secrets(sim.logins["alice"]), owner="user-alice")
    assert synced("accounts").success
    assert not [row for row in stored("accounts") if row["removed_at"]]


def test_a_new_login_gets_the_whole_history_in_the_next_nightly_run(
    sim: Simulator, warehouse: Warehouse, launch: Launcher
) -> None:
    connections.disconnect(warehouse, "bob")
    assert launch(*ASSETS).success
    connections.add(warehouse, "bob-again", Secrets(sim.logins["bob"]), owner="user-bob")
    nightly = {"whole_if_new": True}
    span = (today() - timedelta(days=2), today())
    result = launch(
        *ASSETS, checks=CONCERNED, days=span, config={"transactions": nightly, "balance_snapshots": nightly}
    )
    assert result.success
    assert all(check.passed for check in result.get_asset_check_evaluations())
    for table in ("transactions", "balance_snapshots"):
        first = {row["account_number"]: row["window_start"] for row in stored("sync_log") if row["table_name"] == table}
        assert first[BOBS[1]] == first_day()
    with warehouse.read() as reader:
        assert audits.complete(reader, schema.transactions).passed


def test_the_accounts_of_a_refused_login_stand_still_without_failing_the_other_checks(
    sim: Simulator, warehouse: Warehouse, launch: Launcher
) -> None:
    assert launch(*ASSETS, days=(first_day(), today() - timedelta(days=4))).success
    sim.brokerage.revoke_grant("alice")
    sim.brokerage.expire_tokens("alice")
    assert not launch(*ASSETS).success
    result = launch(*ASSETS, checks=CONCERNED)
    assert result.success
    assert [each.check_name for each in result.get_asset_check_evaluations() if not each.passed] == ["authorised"]


def test_a_connection_whose_seal_nobody_can_open_fails_alone(warehouse: Warehouse, launch: Launcher) -> None:
    table = schema.connections
    with warehouse.write() as writer:
        spoiled = sa.update(table).where(table.c.connection_id == "alice")
        writer.execute(spoiled.values(sealed_credentials="tp1.000000000000.AAAA"))
    told = failures(launch("accounts", "positions", "balances"))
    assert "[login alice]" in str(told["portfolio"].description)
    assert accounts_in("positions") == set(BOBS)


def test_production_and_the_sandbox_stand_side_by_side_and_a_simulator_alone(
    sim: Simulator, warehouse: Warehouse, launch: Launcher
) -> None:
    assert launch("accounts").success
    log = schema.sync_log
    with warehouse.write() as writer:
        writer.execute(sa.update(log).values(environment="production"))
    told = failures(launch("accounts"))
    assert "holds data read from production" in str(told["accounts"].description)


def test_the_credentials_of_no_login_are_readable_in_the_tables(sim: Simulator, synced: Launcher) -> None:
    text = str([stored(name) for name in ("connections", "access_tokens", "sealing_keys", "sync_log")])
    assert read_settings().client_secret not in text
    for canary in (*sim.logins.values(), "simulator-access-token"):
        assert canary not in text
