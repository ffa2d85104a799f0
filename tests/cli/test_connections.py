"""`keygen` and `connections` as a person runs them, against the simulated brokerage and both databases."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tasty_pipeline.cli import connecting, main
from tasty_pipeline.core import connections, schema, sealing
from tasty_pipeline.core.settings import VARIABLES, read_settings
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve

from .conftest import COMMAND, YESTERDAY

ALICE, BOB = "simulator-refresh-alice", "simulator-refresh-bob"
NOW = datetime.now(UTC)
Answer = tuple[int, str]
Tell = Callable[..., Answer]


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with serve(SimulatorConfig(accounts=3, start=YESTERDAY, trades_per_day=0)) as simulator:
        yield simulator


@pytest.fixture(params=["duckdb", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, on each backend in turn."""
    url: str = request.getfixturevalue("duckdb_url" if request.param == "duckdb" else "postgres_database")
    return url


@pytest.fixture
def tell(
    sim: Simulator,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tell:
    """Run a command with lines on its standard input; return its status and all that it said, which shows nothing."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    sim.brokerage.faults.clear()
    for login in ("default", "alice", "bob"):
        sim.brokerage.restore_grant(login)
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TT_SECRET", sim.client_secret)
    monkeypatch.setenv("TASTY_API_URL", sim.url)
    monkeypatch.setenv("TASTY_WAREHOUSE_URL", url)
    monkeypatch.setenv("TASTY_SEALING_KEYS", str(tmp_path / "keys" / "file"))
    monkeypatch.setattr(connecting, "PATIENCE_SECONDS", 2.0)

    def run(*arguments: str, given: str = "") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.StringIO(given))
        status = main(arguments)
        told = capsys.readouterr()
        said = told.out + told.err
        for canary in (ALICE, BOB, sim.client_secret, "simulator-access-token", "c4nary"):
            assert canary not in said
        assert "Traceback" not in said
        return status, said

    return run


@pytest.fixture
def keyed(tell: Tell) -> Tell:
    assert tell("keygen")[0] == 0
    return tell


def warehouse() -> Warehouse:
    from tasty_pipeline.core.warehouse import open_warehouse  # noqa: PLC0415

    return open_warehouse(os.environ["TASTY_WAREHOUSE_URL"])


def rows(table: sa.Table) -> list[dict[str, Any]]:
    with warehouse().read() as reader:
        return reader.rows(sa.select(table).order_by(*table.primary_key.columns))


def attempts(sim: Simulator, login: str) -> int:
    return sim.brokerage.tokens.attempts_of(login)


# what does not depend on the database
ONE_DATABASE = pytest.mark.parametrize("url", ["duckdb"], indirect=True)

# --- keygen


def test_keygen_makes_the_pair_once_and_says_where_it_is(tell: Tell, tmp_path: Path) -> None:
    status, said = tell("keygen")
    assert status == 0
    assert f"The private half is in {tmp_path}/keys/file" in said
    key = rows(schema.sealing_keys)[0]
    assert key["key_id"] in said
    private = sealing.read_keys(tmp_path / "keys" / "file")[0].private
    assert private.hex() not in said
    assert key["retired_at"] is None
    before = (tmp_path / "keys" / "file").read_bytes()
    status, said = tell("keygen")
    assert status == 1
    assert said.startswith(f"tasty-pipeline keygen: There is a key already: {key['key_id']}")
    assert "keygen --rotate" in said
    assert (tmp_path / "keys" / "file").read_bytes() == before


def test_a_rotation_says_what_it_did_and_the_connections_still_work(keyed: Tell) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    status, said = keyed("keygen", "--rotate")
    assert status == 0
    assert "1 stored connections were sealed anew; the key before is retired." in said
    assert keyed("connections", "check", "alice")[0] == 0
    assert sorted(row["retired_at"] is None for row in rows(schema.sealing_keys)) == [False, True]


def test_a_rotation_without_the_old_key_names_who_has_to_connect_again(keyed: Tell, tmp_path: Path) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    (tmp_path / "keys" / "file").unlink()
    status, said = keyed("keygen")
    assert status == 1
    assert "restore the key file" in said
    status, said = keyed("keygen", "--rotate")
    assert status == 1
    assert "could not be opened and were left as they are: alice" in said
    assert keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")[0] == 0


# --- add


def test_a_connection_is_stored_sealed_and_tried_once(keyed: Tell, sim: Simulator) -> None:
    before = attempts(sim, "alice")
    status, said = keyed("connections", "add", "alice", "--owner", "1", "--label", "Alice's", given=f"{ALICE}\n")
    assert status == 0, said
    assert "alice of owner 1 is stored, sealed for the pipeline" in said
    assert "alice: logged in to 127.0.0.1; it lists 2 accounts" in said
    assert attempts(sim, "alice") == before + 1
    (stored,) = rows(schema.connections)
    assert (stored["owner"], stored["label"], stored["state"]) == ("1", "Alice's", "active")
    assert stored["sealed_credentials"].startswith("tp1.")
    assert [row["connection_id"] for row in rows(schema.access_tokens)] == ["alice"]
    everything = repr([rows(table) for table in (schema.connections, schema.access_tokens, schema.sealing_keys)])
    assert not any(secret in everything for secret in (ALICE, sim.client_secret, "simulator-access-token"))


@ONE_DATABASE
def test_a_connection_may_have_a_client_secret_of_its_own(keyed: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = os.environ["TT_SECRET"]
    monkeypatch.delenv("TT_SECRET")
    status, said = keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    assert status == 1
    assert "has no client secret of its own, and the environment has none for production" in said
    given = f"  {ALICE}\r\n{secret}\n"
    assert keyed("connections", "add", "alice", "--owner", "1", "--own-secret", given=given)[0] == 0


@ONE_DATABASE
def test_without_a_check_nobody_is_asked(keyed: Tell, sim: Simulator) -> None:
    before = sim.brokerage.tokens.attempts
    status, _ = keyed("connections", "add", "alice", "--owner", "1", "--no-check", given="c4nary\n")
    assert status == 0
    assert sim.brokerage.tokens.attempts == before
    assert rows(schema.connections)[0]["state"] is None


def test_a_refused_login_is_stored_told_and_marked(keyed: Tell, sim: Simulator) -> None:
    sim.brokerage.revoke_grant("alice")
    status, said = keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    assert status == 1
    assert "alice: The refresh token was revoked" in said
    assert rows(schema.connections)[0]["state"] == "needs reauthorisation"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("arguments", "given", "what"),
    [
        (["x", "--owner", "1"], "", "The refresh token is empty."),
        (["x", "--owner", "1", "--own-secret"], "c4nary\n", "The client secret is empty."),
        (["x", "--owner", "1"], "c4nary c4nary\n", "The refresh token holds a blank"),
        (["default", "--owner", "1"], "c4nary\n", "the environment's own"),
        (["a b", "--owner", "1"], "c4nary\n", "cannot be a connection's name"),
        (["x", "--owner", "nobody"], "c4nary\n", "cannot own a connection"),
    ],
)
def test_what_cannot_be_stored_is_one_sentence(keyed: Tell, arguments: list[str], given: str, what: str) -> None:
    status, said = keyed("connections", "add", *arguments, given=given)
    assert status == 1
    assert said.startswith("tasty-pipeline connections: ")
    assert what in said
    assert "What to do: " in said
    assert rows(schema.connections) == []


def test_without_a_key_the_first_thing_said_is_how_it_is_made(tell: Tell) -> None:
    status, said = tell("connections", "add", "x", "--owner", "1", given="c4nary\n")
    assert status == 1
    assert "run `tasty-pipeline keygen` once" in said


@ONE_DATABASE
def test_a_person_at_a_terminal_is_asked_and_sees_nothing_of_what_is_typed(keyed: Tell, tmp_path: Path) -> None:
    assert keyed
    ours, theirs = pty.openpty()
    command = [*COMMAND, "connections", "add", "alice", "--owner", "1", "--own-secret", "--no-check"]
    with subprocess.Popen(  # noqa: S603 - our own
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path, start_new_session=True
    ) as asked:
        os.close(theirs)
        screen = b""
        for prompt, typed in ((b"Refresh token: ", b"c4nary-1\n"), (b"Client secret: ", b"c4nary-2\n")):
            while prompt not in screen:
                screen += os.read(ours, 1000)
            os.write(ours, typed)
        try:
            while part := os.read(ours, 1000):
                screen += part
        except OSError:
            pass  # how Linux says that the other side is closed
    os.close(ours)
    assert asked.returncode == 0, screen
    assert b"c4nary" not in screen
    settings = read_settings()
    connection = connections.find_connection(warehouse(), settings, "alice")
    credentials = connections.credentials_of(connection, settings)
    assert (credentials.refresh_token, credentials.client_secret) == ("c4nary-1", "c4nary-2")


# --- list


def test_the_list_shows_everything_but_credentials(
    keyed: Tell, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed("connections", "add", "alice", "--owner", "1", "--label", "Alice's [red]\x1b[2J", given=f"{ALICE}\n")
    keyed("connections", "add", "bob", "--owner", "2", "--sandbox", "--no-check", given=f"{BOB}\n")
    sim.brokerage.revoke_grant("bob")
    keyed("connections", "add", "carl", "--owner", "3", given=f"{BOB}\n")
    keyed("connections", "add", "gone", "--owner", "4", "--no-check", given=f"{BOB}\n")
    keyed("connections", "remove", "gone")
    link = {"connection_id": "alice", "account_number": "A1", "authority_level": "owner", "synced_at": NOW}
    log = dict.fromkeys((column.name for column in schema.sync_log.columns if column.name.startswith("rows")), 0)
    log |= {"sync_id": "1", "connection": "alice", "environment": "x", "account_number": "A1", "run_id": "1"}
    log |= {"table_name": "balances", "result": "published", "requests": 1, "retries": 0, "throttled": 0}
    log |= {"synced_at": NOW, "read_started_at": NOW, "read_ended_at": datetime(2026, 3, 6, 21, 30, tzinfo=UTC)}
    with warehouse().write() as writer:
        writer.insert(schema.connection_accounts, [{**link, "run_id": "1"}])
        writer.insert(schema.sync_log, [log])
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    status, said = keyed("connections", "list")
    assert status == 0
    lines = [line.split("│") for line in said.splitlines() if "│" in line and "─" not in line]
    cells = {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines if line[0].strip()}
    assert list(cells) == ["default", "alice", "bob", "carl", "gone"]
    assert cells["default"] == ["", "default", "production", "new", "none", "never"]
    assert cells["alice"] == ["1", "Alice's [red] [2J", "production", "active", "A1 (owner)", "2026-03-06 21:30"]
    assert cells["bob"][2:4] == ["sandbox", "new"]
    assert cells["carl"][3].startswith("needs reauthorisation: The refresh token was revoked")
    assert cells["gone"][3].startswith("disconnected 20")
    assert "\x1b" not in said


def test_without_any_connection_the_list_says_how_to_add_one(tell: Tell, tmp_path: Path) -> None:
    status, said = tell("connections", "list")
    assert status == 0
    assert "connections add --help" in said
    assert not (tmp_path / "data").exists()


# --- check


def test_a_person_may_try_a_refused_login_and_it_is_tried_exactly_once(keyed: Tell, sim: Simulator) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    keyed("connections", "add", "bob", "--owner", "2", given=f"{BOB}\n")
    sim.brokerage.revoke_grant("alice")
    for _ in range(2):
        before = attempts(sim, "alice"), attempts(sim, "bob")
        status, said = keyed("connections", "check")
        assert status == 1
        assert (attempts(sim, "alice"), attempts(sim, "bob")) == (before[0] + 1, before[1] + 1)
        assert "alice: The refresh token was revoked" in said
        assert "bob: logged in to 127.0.0.1; it lists 2 accounts" in said
    assert [row["state"] for row in rows(schema.connections)] == ["needs reauthorisation", "active"]
    assert [row["connection_id"] for row in rows(schema.access_tokens)] == ["bob"]
    sim.brokerage.restore_grant("alice")
    before = attempts(sim, "alice"), attempts(sim, "bob")
    status, said = keyed("connections", "check", "alice", "alice")
    assert status == 0
    assert (attempts(sim, "alice"), attempts(sim, "bob")) == (before[0] + 1, before[1])
    assert [row["state"] for row in rows(schema.connections)] == ["active", "active"]


@ONE_DATABASE
def test_the_token_of_a_check_serves_the_next_run(keyed: Tell) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    settings = read_settings()
    login = connections.login_of(connections.find_connection(warehouse(), settings, "alice"), settings)
    kept = connections.kept_token(login)
    assert kept is not None
    assert kept.expires_at - datetime.now(UTC) < timedelta(minutes=20)


@ONE_DATABASE
def test_a_login_that_may_not_list_accounts_is_told_and_is_not_refused(keyed: Tell, sim: Simulator) -> None:
    sim.brokerage.faults.add(Fault("not_permitted", path="accounts"))
    status, said = keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    assert status == 1
    assert "403" in said
    assert rows(schema.connections)[0]["state"] == "active"


def test_one_that_cannot_be_opened_does_not_hold_up_the_others(keyed: Tell, sim: Simulator) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    keyed("connections", "add", "bob", "--owner", "2", given=f"{BOB}\n")
    table = schema.connections
    with warehouse().write() as writer:
        writer.execute(sa.update(table).where(table.c.connection_id == "alice").values(sealed_credentials="tp1.x"))
    before = attempts(sim, "alice")
    status, said = keyed("connections", "check")
    assert status == 1
    assert "Connection 'alice': The stored credentials are damaged" in said
    assert "bob: logged in" in said
    assert attempts(sim, "alice") == before


def test_the_environments_own_login_is_checked_too(
    tell: Tell, sim: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tell("connections", "check")[0] == 1
    monkeypatch.setenv("TT_REFRESH", sim.refresh_token)
    status, said = tell("connections", "check", "default")
    assert status == 0
    assert "default: logged in to 127.0.0.1; it lists 3 accounts" in said
    assert not (tmp_path / "data").exists()
    status, said = tell("connections", "check", "alice")
    assert status == 1
    assert "no connection 'alice'; there is: default" in said


# --- remove


def test_what_is_removed_is_erased_and_says_so(keyed: Tell) -> None:
    keyed("connections", "add", "alice", "--owner", "1", given=f"{ALICE}\n")
    provenance = {"synced_at": NOW, "run_id": "1"}
    with warehouse().write() as writer:
        writer.insert(schema.accounts, [{"account_number": "A1", **provenance}])
        writer.insert(schema.connection_accounts, [{"connection_id": "alice", "account_number": "A1", **provenance}])
    status, said = keyed("connections", "remove", "alice")
    assert status == 0
    assert said.startswith("Ending alice: its credentials and access token are erased")
    assert "no longer listed by any connection: A1" in said
    (stored,) = rows(schema.connections)
    assert (stored["sealed_credentials"], stored["disconnected_at"] is None) == (None, False)
    assert rows(schema.access_tokens) == []
    assert rows(schema.accounts)[0]["removed_at"] is not None
    status, said = keyed("connections", "remove", "alice")
    assert status == 1
    assert "There is no connection 'alice'" in said


def test_the_environments_own_cannot_be_removed_while_it_has_credentials(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, said = tell("connections", "remove", "default")
    assert status == 1
    assert "nor any table yet" in said
    monkeypatch.setenv("TT_REFRESH", "c4nary")
    status, said = tell("connections", "remove", "default")
    assert status == 1
    assert "leave TT_REFRESH out" in said
    assert not (tmp_path / "data").exists()
