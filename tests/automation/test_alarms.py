"""Who is told of failed runs and failed checks: real runs, a real instance, a real webhook; one alert per incident."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from tasty_pipeline import incidents
from tasty_pipeline.cli import main
from tasty_pipeline.core.alerts import AlertError
from tasty_pipeline.simulator import Fault, Simulator

from .conftest import Ticker, Webhook

pytestmark = pytest.mark.filterwarnings("ignore:Series.dt.weekday is deprecated")

Execute = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def failures(ticker: Callable[[str], Ticker]) -> Ticker:
    return ticker("run_failures")


@pytest.fixture
def checks(ticker: Callable[[str], Ticker]) -> Ticker:
    return ticker("check_failures")


def fail(execute: Execute, job: str = "sync_portfolio") -> str:
    done = execute(job, "accounts")
    assert not done.success
    return done.run_id


def test_an_alert_says_which_job_failed_why_for_whom_and_what_to_do(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook
) -> None:
    environment.brokerage.revoke_grant()
    run_id = fail(execute)
    failures()
    (alert,) = webhook.alerts
    assert alert["title"].startswith("sync_portfolio failed: The refresh token was revoked")
    assert alert["cause"].startswith("AuthenticationError: The refresh token was revoked")
    assert "make a new refresh token" in alert["remedy"]
    assert "Accounts: all of the login" in alert["text"]
    assert alert["run_id"] == run_id


def test_the_same_incident_is_told_once_until_the_job_succeeds_in_between(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    environment.brokerage.revoke_grant()
    first = fail(execute)
    failures()
    failures()
    second = fail(execute)
    failures()
    assert [alert["run_id"] for alert in webhook.alerts] == [first]
    again = instance.get_run_by_id(second)
    assert again is not None
    assert again.tags["tasty/alert"] == f"told already of run {first}"

    environment.brokerage.restore_grant()
    assert main(["connections", "check", "default"]) == 0
    assert execute("sync_portfolio", "accounts").success
    environment.brokerage.revoke_grant()
    third = fail(execute)
    failures()
    assert [alert["run_id"] for alert in webhook.alerts] == [first, third]


def test_another_cause_and_another_job_are_other_incidents(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.brokerage.revoke_grant()
    fail(execute)
    fail(execute, "sync_activity")
    monkeypatch.setenv("TT_SECRET", "")
    fail(execute)
    failures()
    assert len(webhook.alerts) == 3
    assert webhook.alerts[2][
        "title"
    ] == "sync_portfolio failed: Only TT_REFRESH is set; a login needs TT_SECRET and " + ("TT_REFRESH.")
    assert webhook.alerts[2]["cause"].startswith("ConfigurationError: ")
    assert webhook.alerts[2]["remedy"].startswith("set TT_SECRET")


def test_the_same_incident_is_told_again_after_six_hours(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook, instance: dg.DagsterInstance
) -> None:
    environment.brokerage.revoke_grant()
    fail(execute)
    failures()
    (record,) = instance.get_run_records()
    incident, ended = incidents.incident_of(instance, record.dagster_run), incidents.ended_at(record)
    assert incidents.told_before(instance, incident, ended + 5 * 3600) == record.dagster_run.run_id
    assert incidents.told_before(instance, incident, ended + 6 * 3600) is None
    assert not incidents.untold_failures(instance, datetime.now(UTC) + timedelta(hours=25))


def test_one_account_that_fails_is_the_one_that_is_named(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook
) -> None:
    account = environment.brokerage.accounts()[0]["account-number"]
    environment.brokerage.faults.add(Fault("not_permitted", path=f"/accounts/{account}/positions"))
    assert not execute("sync_portfolio", "accounts", "positions", "balances").success
    failures()
    (alert,) = webhook.alerts
    assert alert["accounts"] == [account]
    assert alert["cause"].startswith("PermanentError: positions and balances: 1 account failed; what succeeded")
    assert f"[{account}]" in alert["cause"]
    assert "scope 'read'" in alert["remedy"]


def test_an_alert_that_reached_nobody_fails_the_tick_and_is_sent_by_a_later_one(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook
) -> None:
    environment.brokerage.revoke_grant()
    fail(execute)
    webhook.status = 500
    with pytest.raises(AlertError, match="Nobody was told"):
        failures()
    webhook.status = 204
    failures()
    failures()
    assert len(webhook.alerts) == 1


def test_a_channel_that_fails_beside_one_that_works_is_not_told_twice(
    environment: Simulator, execute: Execute, failures: Ticker, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTY_ALERT_COMMAND", "/no/such/program")
    environment.brokerage.revoke_grant()
    fail(execute)
    assert "TASTY_ALERT_COMMAND" in failures()[1]
    failures()
    assert len(webhook.alerts) == 1


def test_without_any_channel_a_failure_is_dealt_with_once(
    environment: Simulator, execute: Execute, failures: Ticker, instance: dg.DagsterInstance
) -> None:
    environment.brokerage.revoke_grant()
    fail(execute)
    assert "1 new alerts" in failures()[1]
    assert "0 new alerts" in failures()[1]


def test_runs_that_succeed_are_no_incident(
    environment: Simulator, execute: Execute, failures: Ticker, checks: Ticker, webhook: Webhook
) -> None:
    assert execute("sync_portfolio", "accounts").success
    failures()
    checks()
    assert not webhook.alerts


def test_a_failed_check_is_told_once_until_it_has_passed(
    environment: Simulator, execute: Execute, failures: Ticker, checks: Ticker, webhook: Webhook
) -> None:
    def sync(*, spoilt: bool) -> None:
        environment.brokerage.faults.clear()
        if spoilt:
            environment.brokerage.faults.add(
                Fault("bad_value", path="/me/accounts", field="opened-at", value="rubbish")
            )
        assert execute("sync_portfolio", "accounts").success  # a check that fails does not fail its run
        failures()
        checks()

    sync(spoilt=True)
    (alert,) = webhook.alerts
    assert "accounts.no_rejected_rows" in alert["title"]
    assert "did not fit the contract" in alert["cause"]
    assert "tasty.rejected_rows" in alert["remedy"]
    sync(spoilt=True)
    assert len(webhook.alerts) == 1
    sync(spoilt=False)
    assert len(webhook.alerts) == 1
    sync(spoilt=True)
    assert len(webhook.alerts) == 2


def test_an_error_that_nobody_foresaw_is_quoted_with_the_way_to_its_trace(
    instance: dg.DagsterInstance, environment: Simulator
) -> None:
    @dg.op
    def divide() -> int:
        return 1 // 0

    @dg.job
    def doomed() -> None:
        divide()

    done = doomed.execute_in_process(instance=instance, raise_on_error=False)
    run = instance.get_run_by_id(done.run_id)
    assert run is not None
    (cause,) = incidents.incident_of(instance, run).causes
    assert (cause.kind, cause.accounts) == ("ZeroDivisionError", ())
    assert "integer division" in cause.what
    assert "the run's page" in cause.remedy
