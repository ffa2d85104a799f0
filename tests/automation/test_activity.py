"""The sensor `activity` against a real API and a real instance: what it asks, requests, keeps and refrains from."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.test_utils import create_run_for_test

from tasty_pipeline import sensors
from tasty_pipeline.cli import main
from tasty_pipeline.core import schema
from tasty_pipeline.core.activity import Poll, Seen, poll
from tasty_pipeline.core.broker import BrokerConfig, Credentials
from tasty_pipeline.core.tradingdays import NEW_YORK
from tasty_pipeline.jobs import ACCOUNTS_TAG
from tasty_pipeline.resources import WarehouseResource
from tasty_pipeline.sensors import build_activity_sensor
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import Ticker

pytestmark = pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")

Execute = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def tick(ticker: Callable[[str], Ticker]) -> Ticker:
    return ticker("activity")


@pytest.fixture
def settled(tick: Ticker) -> Ticker:
    """The sensor after its first tick."""
    assert len(tick()[0]) == 1
    return tick


def open_accounts(sim: Simulator) -> list[str]:
    return sorted(each["account-number"] for each in sim.brokerage.accounts() if not each["is-closed"])


def logins(sim: Simulator) -> int:
    return sum(path.endswith("/oauth/token") for _, path, _ in sim.requests)


def config_of(request: dg.RunRequest) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.run_config["ops"]["transactions"]["config"]
    return found


def test_the_first_tick_requests_one_run_for_all_open_accounts_and_the_second_none(
    environment: Simulator, tick: Ticker
) -> None:
    ((request,), _) = tick()
    assert config_of(request)["accounts"] == open_accounts(environment)
    requests, reason = tick()
    assert not requests
    assert "Nothing new" in reason


def test_a_closed_account_is_not_asked(environment: Simulator, tick: Ticker) -> None:
    tick()
    asked = {path.split("/")[2] for _, path, _ in environment.requests if path.startswith("/accounts/")}
    assert asked == set(open_accounts(environment))
    assert len(environment.brokerage.accounts()) > len(asked)


def test_a_trade_gives_exactly_one_request_for_its_account(environment: Simulator, settled: Ticker) -> None:
    account = open_accounts(environment)[1]
    environment.brokerage.trade(account)
    ((request,), _) = settled()
    today = datetime.now(NEW_YORK).date().isoformat()
    config = config_of(request)
    assert (config["accounts"], config["lookback_days"], config["dry_run"]) == ([account], 10, False)
    assert (request.tags["tasty/accounts"], request.tags["dagster/partition"]) == (account, today)
    assert not settled()[0]


def test_the_requested_run_puts_the_new_row_into_the_table(
    environment: Simulator, settled: Ticker, execute: Execute
) -> None:
    account = open_accounts(environment)[0]
    (traded,) = environment.brokerage.trade(account)
    ((request,), _) = settled()
    done = execute("sync_activity", run_config=request.run_config, tags=request.tags)
    assert done.success
    stored = sa.select(schema.transactions.c.account_number).where(schema.transactions.c.transaction_id == traded)
    with WarehouseResource().open().read() as reader:
        assert reader.scalar(stored) == account
        assert reader.scalar(sa.select(sa.func.count(sa.distinct(schema.transactions.c.account_number)))) == 1
    assert not settled()[0]


def test_a_run_that_failed_is_requested_again_after_a_while_and_not_by_every_tick(
    environment: Simulator, settled: Ticker, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = open_accounts(environment)[0]
    environment.brokerage.trade(account)
    ((request,), _) = settled()
    environment.brokerage.faults.add(Fault("not_permitted", path=f"{account}/positions"))
    assert not execute("sync_activity", run_config=request.run_config, tags=request.tags).success
    environment.brokerage.faults.clear()
    assert not settled()[0]
    monkeypatch.setattr(sensors, "AGAIN_AFTER", timedelta(0))
    ((again,), _) = settled()
    assert again.tags[ACCOUNTS_TAG] == account
    assert again.run_key != request.run_key
    assert execute("sync_activity", run_config=again.run_config, tags=again.tags).success
    assert not settled()[0]


def test_an_account_whose_run_failed_is_requested_again_although_another_accounts_run_succeeded_since(
    environment: Simulator, settled: Ticker, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(request: dg.RunRequest, *, badly: bool) -> None:
        status = dg.DagsterRunStatus.STARTED if badly else dg.DagsterRunStatus.SUCCESS
        made = create_run_for_test(instance, job_name="sync_activity", status=status, tags=dict(request.tags))
        if badly:
            instance.report_run_failed(made)

    ill, well = open_accounts(environment)[:2]
    for account in (ill, well):
        environment.brokerage.trade(account)
        ((request,), _) = settled()
        assert request.tags[ACCOUNTS_TAG] == account
        ended(request, badly=account == ill)
    assert not settled()[0]
    monkeypatch.setattr(sensors, "AGAIN_AFTER", timedelta(0))
    ((again,), _) = settled()
    assert again.tags[ACCOUNTS_TAG] == ill
    ended(again, badly=False)
    assert not settled()[0]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", path="accounts", status=503), "503"),
        (Fault("status", path="accounts", status=429), "429"),
        (Fault("html", path="accounts", status=200), "HTML"),
        (Fault("drop_connection", path="accounts"), "What to do"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value.kind,
)
def test_an_api_in_trouble_skips_with_the_reason_keeps_the_cursor_and_is_caught_up_with(
    environment: Simulator, settled: Ticker, fault: Fault, words: str
) -> None:
    cursor = settled.cursor
    environment.brokerage.trade()
    environment.brokerage.faults.add(fault)
    for _ in range(2):
        requests, reason = settled()
        assert not requests
        assert words in reason
        assert "What to do" in reason
        assert settled.cursor == cursor
    environment.brokerage.faults.clear()
    assert len(settled()[0]) == 1
    assert not settled()[0]


def test_an_api_that_is_not_there_is_a_reason_to_skip(environment: Simulator, settled: Ticker) -> None:
    cursor = settled.cursor
    environment.stop()
    requests, reason = settled()
    assert not requests
    assert "127.0.0.1" in reason
    assert settled.cursor == cursor


def test_one_account_that_fails_hides_no_other_and_is_caught_up_with(environment: Simulator, settled: Ticker) -> None:
    ill, well = open_accounts(environment)[:2]
    environment.brokerage.faults.add(Fault("not_permitted", path=f"/accounts/{ill}/"))
    for account in (ill, well):
        environment.brokerage.trade(account)
    ((request,), _) = settled()
    assert config_of(request)["accounts"] == [well]
    assert f"[{ill}]" in settled()[1]
    environment.brokerage.faults.clear()
    ((request,), _) = settled()
    assert config_of(request)["accounts"] == [ill]


def test_a_revoked_grant_is_tried_once_until_the_credentials_change(
    environment: Simulator, settled: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.brokerage.revoke_grant()
    environment.brokerage.trade()
    before = logins(environment)
    assert "revoked" in settled()[1]
    for _ in range(3):
        assert "not tried again" in settled()[1]
    assert logins(environment) == before + 1
    environment.brokerage.restore_grant()
    monkeypatch.setenv("TT_REFRESH", "another-token")
    assert "not tried again" not in settled()[1]
    assert logins(environment) == before + 2
    monkeypatch.setenv("TT_REFRESH", environment.refresh_token)
    assert len(settled()[0]) == 1


def test_a_refused_login_that_a_person_has_checked_since_is_tried_again(
    environment: Simulator, settled: Ticker
) -> None:
    environment.brokerage.revoke_grant()
    environment.brokerage.trade()
    settled()
    environment.brokerage.restore_grant()
    assert not settled()[0]
    assert main(["connections", "check", "default"]) == 0
    assert len(settled()[0]) == 1


def test_a_tick_needs_no_login_while_the_kept_access_token_lives(
    environment: Simulator, settled: Ticker, execute: Execute
) -> None:
    assert execute("sync_portfolio", "accounts").success  # makes the tables that it is kept in
    before = logins(environment)
    for _ in range(3):
        settled()
    assert execute("sync_portfolio", "accounts").success
    assert logins(environment) == before
    environment.brokerage.expire_tokens()
    settled()
    settled()
    assert logins(environment) == before + 1


@pytest.mark.parametrize("missing", [("TT_SECRET",), ("TT_REFRESH",), ("TT_SECRET", "TT_REFRESH")])
def test_without_credentials_it_skips_and_names_what_is_missing(
    environment: Simulator, tick: Ticker, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    for name in missing:
        monkeypatch.setenv(name, "")
    requests, reason = tick()
    assert not requests
    assert all(name in reason for name in missing)
    assert not environment.requests


def test_the_cursor_holds_no_credential(environment: Simulator, settled: Ticker) -> None:
    environment.brokerage.revoke_grant()
    settled()
    assert settled.cursor
    assert environment.client_secret not in settled.cursor
    assert environment.refresh_token not in settled.cursor


@pytest.mark.parametrize("job", ["sync_activity", "sync_request"])
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_while_a_run_of_changes_is_under_way_nothing_is_asked_and_the_change_is_found_after_it(
    environment: Simulator, settled: Ticker, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str
) -> None:
    running = create_run_for_test(instance, job_name=job, status=status)
    environment.brokerage.trade()
    asked = len(environment.requests)
    requests, reason = settled()
    assert not requests
    assert running.run_id in reason
    assert len(environment.requests) == asked
    instance.delete_run(running.run_id)
    assert len(settled()[0]) == 1


def test_a_slow_account_costs_a_tick_no_more_than_its_bound(environment: Simulator) -> None:
    slow, *others = open_accounts(environment)
    environment.brokerage.faults.add(Fault("latency", path=f"/accounts/{slow}/", seconds=20))
    credentials = Credentials(environment.client_secret, environment.refresh_token)
    found = asyncio.run(poll(credentials, BrokerConfig(url=environment.url), seconds=2.0))
    assert set(found.fingerprints) == set(others)
    assert "did not answer within the 2 s" in str(found.failures[slow])


def test_an_account_that_returns_to_an_earlier_state_and_a_reset_cursor_give_a_new_run_key() -> None:
    first, second = Poll({"A": "1"}), Poll({"A": "2"})
    seen, keys = Seen.from_json(None), []
    for each in (first, second, first, second):
        assert seen.changed(each) == ["A"]
        assert seen.run_key(each, ["A"]) == Seen.from_json(seen.to_json()).run_key(each, ["A"])
        keys.append(seen.run_key(each, ["A"]))
        seen = seen.after(each, requested=True)
    keys.append(Seen.from_json("").run_key(first, ["A"]))
    assert len(set(keys)) == 5


@pytest.mark.parametrize("cursor", ["", "rubbish", "[]", "{}", '{"fingerprints": 1, "life": "x"}', '{"other": 1}'])
def test_a_cursor_that_is_none_means_that_nothing_was_seen(cursor: str) -> None:
    seen = Seen.from_json(cursor)
    assert seen == replace(Seen(), life=seen.life)
    assert seen.life


def test_a_simulator_on_this_machine_is_asked_every_5_seconds_and_the_broker_every_30(
    environment: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build_activity_sensor().minimum_interval_seconds == 5
    monkeypatch.delenv("TASTY_API_URL")
    assert build_activity_sensor().minimum_interval_seconds == 30
