"""No credential leaves: not into outputs, logs, errors, events, run configurations, metadata, files or tables."""

import io
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from orchestration.conftest import NO_TELEMETRY, Launcher, books, first_day, today
from warehouse.users import member_of

from tasty_pipeline.cli import connecting, dev, doctor, main
from tasty_pipeline.core import alerts, schema
from tasty_pipeline.core.alerts import Alert, AlertError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import open_warehouse
from tasty_pipeline.resources import BrokerResource, WarehouseResource
from tasty_pipeline.simulator import Fault, Simulator, serve

from .secrets import Canaries, Watch, spellings, told_by_dagster

PASSWORD, USERINFO, HOOK = "c4nary+pass/word", "c4nary-userinfo", "c4nary-webhook"
IMPATIENT = {
    "broker": BrokerResource(retry_budget_seconds=0),
    "warehouse": WarehouseResource(wait_seconds=1),
}


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with serve(books()) as simulator:
        yield simulator


@pytest.fixture
def watch(sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(doctor, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(connecting, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(dev, "run_all", lambda _: 1)  # it is to refuse before it comes to that
    known = {
        "client secret": sim.client_secret,
        "refresh token": sim.refresh_token,
        "refresh token of another login": sim.logins["alice"],
        "access token": "simulator-access-token",
        "password": PASSWORD,
        "user's part of an address": USERINFO,
        "webhook": HOOK,
    }
    return Watch(tmp_path, Canaries(known), tmp_path / "keys")


@pytest.fixture
def setting(sim: Simulator, tmp_path: Path) -> dict[str, str]:
    return {
        "TT_SECRET": sim.client_secret,
        "TT_REFRESH": sim.refresh_token,
        "TASTY_API_URL": sim.url,
        "TASTY_WAREHOUSE_URL": f"duckdb:///{tmp_path}/data/warehouse.duckdb",
        "TASTY_HISTORY_START": first_day().isoformat(),
        "TASTY_SEALING_KEYS": str(tmp_path / "keys"),
        "COLUMNS": "300",
    }


def closed_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


def bad_warehouses() -> Iterator[str]:
    """Addresses of databases that nobody reaches, each with the password where one can stand."""
    port, coded = closed_port(), PASSWORD.replace("+", "%2B").replace("/", "%2F")
    yield f"postgresql://me:{coded}@127.0.0.1:{port}/tasty"
    yield f"postgresql://me@127.0.0.1:{port}/tasty?password={coded}"
    yield f"postgresql://me@127.0.0.1:{port}/tasty?sslmode=require&sslpassword={coded}"
    yield f"postgresql://me:{coded}@127.0.0.1:{port}/tasty?options={coded}"
    yield f"postgresql://me:{PASSWORD}@127.0.0.1/tasty"
    yield f"postgresql://me:12/{PASSWORD}@127.0.0.1/tasty"
    yield f"postgresql://127.0.0.1:{coded}/tasty"
    yield f"postgresql:/me:{coded}@127.0.0.1/tasty"
    yield f"postgresql://me:{coded}@127.0.0.1:port/tasty"
    yield f"postgresql://me:{coded}@[127.0.0.1/tasty"
    yield f"mysql://me:{coded}@127.0.0.1/tasty"
    yield f"duckdb://me:{coded}@127.0.0.1/tasty"


def bad_addresses(sim: Simulator) -> Iterator[str]:
    """Addresses of the API with a user's part, rightly and wrongly written."""
    host = sim.url.removeprefix("http://")
    yield f"http://me:{USERINFO}@{host}"
    yield f"http://{USERINFO}@{host}"
    yield f"http//me:{USERINFO}@{host}"
    yield f"me:{USERINFO}@{host}"
    yield f"http:/me:{USERINFO}@{host}"
    yield f"http://{host}/?token={USERINFO}"
    yield f"http://{host}/#{USERINFO}"
    yield f"ftp://me:{USERINFO}@{host}"
    yield f"http://me:{USERINFO}@{host}:port"


def echoes(sim: Simulator) -> Iterator[Fault]:
    """Answers that say back what was sent: in a refusal, among the data, to a login."""
    login = f"{sim.client_secret} and {sim.refresh_token}"
    access = [*sim.brokerage.tokens._issued][-1]  # noqa: SLF001 - the one that the first run kept
    for status in (400, 500):
        yield Fault("status", path="accounts", status=status, message=f"{login} and {access} and Bearer {access}")
    yield Fault("bad_value", path="me/accounts", field="nickname", value=f"sent {access}")
    yield Fault("bad_value", path="me/accounts", field="opened-at", value=sim.refresh_token)
    yield Fault("extra_field", path="me/accounts", field="note", value=sim.client_secret)
    yield Fault("status", path="accounts", status=401, message=f"{login} and {access} and Bearer {access}")
    yield Fault("status", path="oauth", status=400, message=f"bad secret {login}")
    yield Fault("revoked_grant", description=f"grant {login}")


def forget_the_refusal() -> None:
    """A login that was refused is not tried again: without this only the first of several refusals would be seen."""
    with open_warehouse(os.environ["TASTY_WAREHOUSE_URL"]).write() as writer:
        writer.execute(sa.update(schema.connections).values(refused_login=None))


def test_runs_of_every_kind_leave_no_credential(sim: Simulator, watch: Watch, setting: dict[str, str]) -> None:
    home = watch.folder / "dagster"
    home.mkdir()
    outcomes: list[bool] = []
    with dg.DagsterInstance.local_temp(str(home), overrides=NO_TELEMETRY) as instance:
        launch = Launcher(instance)

        def run(what: str, *, login_anew: bool = False, **changes: str) -> None:
            def action() -> None:
                if login_anew:
                    forget_the_refusal()
                    sim.brokerage.expire_tokens()
                span = (today() - timedelta(days=4), today())
                found = launch(
                    *("accounts", "transactions"),
                    checks=[("transactions", "complete"), ("accounts", "unique_keys")],
                    days=span,
                    resources=IMPATIENT,
                )
                outcomes.append(found.success)

            watch.during(what, action, **(setting | changes))

        run("a good run")
        for fault in echoes(sim):
            sim.brokerage.faults.add(fault)
            run(f"{fault.kind} at {fault.path}", login_anew=fault.path in {"oauth", None})
            assert fault.hits, f"{fault.kind} at {fault.path} was never met"
            sim.brokerage.faults.clear()
        run("an unreachable warehouse", TASTY_WAREHOUSE_URL=next(bad_warehouses()))
        run("an address with a user", TASTY_API_URL=next(bad_addresses(sim)))
        watch.search("all runs", told_by_dagster(instance))
    watch.ended(setting["TASTY_WAREHOUSE_URL"])
    assert not watch.leaks, "\n".join(watch.leaks)
    assert outcomes[0]
    assert not any(outcomes[1:])
    assert watch.searched > 100_000


@pytest.fixture
def guarded_url(postgres_database: str) -> Iterator[str]:
    """The URL of an empty Postgres database, of a role that must give its password."""
    with member_of(postgres_database, password=PASSWORD, rights="SUPERUSER") as url:
        yield url


def test_runs_into_a_postgres_that_wants_a_password_leave_no_credential(
    sim: Simulator, watch: Watch, setting: dict[str, str], guarded_url: str
) -> None:
    home, outcomes = watch.folder / "dagster", list[bool]()
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home), overrides=NO_TELEMETRY) as instance:

        def run() -> None:
            span = (today() - timedelta(days=4), today())
            everything = ("accounts", "positions", "balances", "transactions", "balance_snapshots")
            outcomes.append(Launcher(instance)(*everything, days=span, resources=IMPATIENT).success)

        given = setting | {"TASTY_WAREHOUSE_URL": guarded_url}
        watch.during("a good run", run, **given)
        for fault in (Fault("status", path="balances", status=500), Fault("empty_list", path="transactions")):
            sim.brokerage.faults.add(fault)
            watch.during(f"{fault.kind} at {fault.path}", run, **given)
            sim.brokerage.faults.clear()
        with psycopg.connect(guarded_url, autocommit=True) as admin:
            name = urlsplit(guarded_url).path.removeprefix("/")
            admin.execute(f"ALTER DATABASE {name} SET statement_timeout = '2ms'".encode())
            watch.during("an impatient server", run, **given)
            admin.execute(f"ALTER DATABASE {name} RESET statement_timeout".encode())
        watch.during("a command", lambda: main(["doctor"]), **given)
        watch.search("all runs", told_by_dagster(instance))
    watch.ended(guarded_url)
    assert not watch.leaks, "\n".join(watch.leaks)
    assert outcomes == [True, False, False, False]


def test_commands_of_every_kind_tell_no_credential(
    sim: Simulator, watch: Watch, setting: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status: list[Any] = []

    def command(*arguments: str, given: str = "", **changes: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        action: Callable[[], object] = lambda: main(arguments)  # noqa: E731
        status.append(watch.during(f"command {len(status)}: {' '.join(arguments[:2])}", action, **(setting | changes)))

    alice = f"{sim.logins['alice']}\n"
    command("keygen")
    command("connections", "add", "alice", "--owner", "1", given=alice)
    command("connections", "add", "own", "--owner", "1", "--own-secret", given=f"{alice}{sim.client_secret}\n")
    command("connections", "check")
    command("connections", "list")
    command("keygen", "--rotate")
    command("doctor")
    assert status == [0] * 7
    status.clear()
    command("connections", "add", "bad", "--owner", "1", given=f"{sim.refresh_token} {sim.client_secret}\n")
    for url in bad_warehouses():
        command("doctor", TASTY_WAREHOUSE_URL=url)
    command("sync", TASTY_WAREHOUSE_URL=f"mysql://me:{USERINFO}@127.0.0.1/tasty")
    for url in bad_addresses(sim):
        command("doctor", TASTY_API_URL=url)
        command("connections", "check", "alice", TASTY_API_URL=url)
    for url in list(bad_addresses(sim))[:1]:
        command("sync", TASTY_API_URL=url)
        command("dev", "--port", str(closed_port()), TASTY_API_URL=url)
    sim.brokerage.revoke_grant("alice")
    command("connections", "check", "alice")
    command("connections", "remove", "own")
    assert status[-1] == 0
    assert all(status[:-1])
    watch.ended(setting["TASTY_WAREHOUSE_URL"])
    assert not watch.leaks, "\n".join(watch.leaks)


def test_alerts_that_quote_everything_tell_no_credential(watch: Watch, setting: dict[str, str]) -> None:
    coded = PASSWORD.replace("+", "%2B").replace("/", "%2F")
    given = {
        "TASTY_WAREHOUSE_URL": f"postgresql://me:{coded}@127.0.0.1/tasty?sslpassword={coded}",
        "TASTY_ALERT_WEBHOOK": f"http://127.0.0.1:{closed_port()}/{HOOK}",
        "TASTY_ALERT_EMAIL": "me@example.org",
        "TASTY_SMTP_URL": f"smtp://me:{coded}@127.0.0.1:{closed_port()}",
        "TASTY_ALERT_COMMAND": f"tee {watch.folder}/alert",
    }
    quoted = " ".join([setting["TT_SECRET"], setting["TT_REFRESH"], PASSWORD, *given.values()])

    def tell() -> None:
        alert = Alert(title=quoted, cause=quoted, remedy=quoted, run_id="run-1", accounts=(), url=None)
        alerts.send(alert, read_settings())

    assert isinstance(watch.during("an alert", tell, **(setting | given)), AlertError)
    assert (watch.folder / "alert").read_text().count("***") > 3
    assert not watch.leaks, "\n".join(watch.leaks)


@pytest.mark.parametrize("text", sorted(spellings(PASSWORD)))
def test_a_credential_is_found_in_every_spelling(text: str) -> None:
    assert Canaries({"password": PASSWORD}).found(f"so it says: {text}.") == ["password"]
