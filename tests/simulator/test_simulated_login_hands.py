"""What is done by hand for one login, in Python, over the control endpoint or from the command line."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import BOBS, MAIN, SEEN, SHARED, SHORT, Client, Connect, Start, listed

from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve
from tasty_pipeline.simulator.__main__ import main


def control(client: Client, method: str, **arguments: Any) -> Any:
    answer = client.http.post(f"/__control__/call/{method}", json=arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_a_trade_by_hand_in_a_shared_account_is_seen_by_both(sim: Simulator, alice: Client, bob: Client) -> None:
    before = [each.get(f"/accounts/{SHARED}/balances/USD").json()["data"] for each in (alice, bob)]
    [number] = sim.brokerage.trade(SHARED, symbol="XYZ")
    for each in (alice, bob):
        assert number in {row["id"] for row in each.rows(SHARED)}
        assert each.get(f"/accounts/{SHARED}/transactions/{number}").json()["data"]["symbol"] == "XYZ"
        positions = each.get(f"/accounts/{SHARED}/positions", symbol="XYZ").json()["data"]["items"]
        assert [position["quantity-direction"] for position in positions] == ["Long"]
    after = [each.get(f"/accounts/{SHARED}/balances/USD").json()["data"] for each in (alice, bob)]
    assert after[0] == after[1] != before[0] == before[1]


def test_a_trade_in_an_account_of_one_is_not_seen_by_the_other(sim: Simulator, alice: Client, bob: Client) -> None:
    [number] = sim.brokerage.trade(BOBS, symbol="XYZ")
    assert number in {row["id"] for row in bob.rows(BOBS)}
    assert number not in {row["id"] for account in SEEN["alice"] for row in alice.rows(account)}
    assert alice.get(f"/accounts/{SHARED}/transactions/{number}").status_code == 404


def test_a_login_trades_in_the_first_open_account_that_it_owns(sim: Simulator) -> None:
    for login, account in (("alice", MAIN), ("bob", BOBS), ("default", MAIN), (None, MAIN)):
        [number] = sim.brokerage.trade(login=login)
        assert number in sim.brokerage.archive(account).by_id, login
    sim.brokerage.trade(SHARED, login="alice")
    for account in (SHARED, MAIN):
        with pytest.raises(ValueError, match=f"'bob' does not own account {account}"):
            sim.brokerage.trade(account, login="bob")
    sim.brokerage.close_account(BOBS)
    with pytest.raises(ValueError, match="'bob' owns no open account"):
        sim.brokerage.trade(login="bob")


def test_an_account_can_be_shown_to_a_login_and_withdrawn_from_it(sim: Simulator, alice: Client, bob: Client) -> None:
    sim.brokerage.share(BOBS, "alice")
    assert listed(alice) == SEEN["alice"] | {BOBS: "read-only"}
    assert alice.rows(BOBS) == bob.rows(BOBS)
    sim.brokerage.unshare(BOBS, "alice")
    assert listed(alice) == SEEN["alice"]
    assert alice.get(f"/accounts/{BOBS}/positions").status_code == 403
    sim.brokerage.share(SHARED, "bob", authority="owner")
    assert listed(bob)[SHARED] == "owner"
    with pytest.raises(ValueError, match="does not see"):
        sim.brokerage.unshare(BOBS, "alice")
    with pytest.raises(ValueError, match="owner or read-only"):
        sim.brokerage.share(BOBS, "alice", authority="god")
    with pytest.raises(LookupError, match="no account"):
        sim.brokerage.share("nobody", "alice")


def test_a_new_account_is_seen_by_the_default_login_and_by_the_one_that_opens_it(
    sim: Simulator, client: Client, alice: Client, bob: Client
) -> None:
    unowned, hers = sim.brokerage.open_account(), sim.brokerage.open_account(login="alice")
    assert listed(client) == SEEN["default"] | {unowned: "owner", hers: "owner"}
    assert listed(alice) == SEEN["alice"] | {hers: "owner"}
    assert listed(bob) == SEEN["bob"]


def test_a_fault_can_strike_one_login_alone(sim: Simulator, alice: Client, bob: Client) -> None:
    fault = sim.brokerage.faults.add(Fault("status", login="alice", status=503))
    assert [each.get(f"/accounts/{SHARED}/positions").status_code for each in (alice, bob)] == [503, 200]
    sim.brokerage.expire_tokens()
    assert alice.get(f"/accounts/{SHARED}/positions").status_code == 503
    assert fault.hits == 2
    sim.brokerage.faults.clear()
    sim.brokerage.faults.add(Fault("revoked_grant", login="bob"))
    assert [each.http.post("/oauth/token", json=each.login).status_code for each in (alice, bob)] == [200, 400]


def test_an_expired_token_is_that_of_the_request_it_hits(sim: Simulator, alice: Client, bob: Client) -> None:
    sim.brokerage.faults.add(Fault("expired_token", times=1))
    assert [alice.get("/customers/me").status_code for _ in range(2)] == [401, 401]
    assert bob.get("/customers/me").status_code == 200


def test_a_stale_page_never_comes_from_another_login(sim: Simulator, alice: Client, bob: Client) -> None:
    assert listed(alice) == SEEN["alice"]
    sim.brokerage.faults.add(Fault("stale_page"))
    assert listed(bob) == SEEN["bob"]
    sim.brokerage.share(BOBS, "alice")
    assert listed(alice) == SEEN["alice"]


def test_a_refused_read_lets_no_trade_happen(start: Start, connect: Connect) -> None:
    sim = start(trade_every=1)
    bob = connect(sim, "bob")
    before = len(sim.brokerage.archive(MAIN).rows)
    assert bob.get(f"/accounts/{MAIN}/positions").status_code == 403
    assert len(sim.brokerage.archive(MAIN).rows) == before


def test_the_control_endpoint_names_logins_and_takes_them(sim: Simulator, client: Client, bob: Client) -> None:
    control(client, "revoke_grant", login="bob")
    assert bob.get("/customers/me").status_code == 401
    assert bob.http.post("/oauth/token", json=bob.login).status_code == 400
    control(client, "share", account=BOBS, login="alice")
    assert client.http.get("/__control__/state").json()["logins"] == {
        "default": {"refresh_token": sim.logins["default"], "accounts": SEEN["default"], "revoked": False,
                    "oauth_attempts": 1, "oauth_failures": 0},
        "alice": {"refresh_token": sim.logins["alice"], "accounts": SEEN["alice"] | {BOBS: "read-only"},
                  "revoked": False, "oauth_attempts": 0, "oauth_failures": 0},
        "bob": {"refresh_token": sim.logins["bob"], "accounts": SEEN["bob"], "revoked": True,
                "oauth_attempts": 2, "oauth_failures": 1},
    }  # fmt: skip
    control(client, "restore_grant", login="bob")
    bob.refresh()
    control(client, "unshare", account=BOBS, login="bob")
    assert list(listed(bob)) == [SHARED]
    assert [each["account-number"] for each in control(client, "accounts", login="bob")] == [SHARED]
    for path, body in (("call/revoke_grant", {"login": "carol"}), ("faults", {"kind": "html", "login": "carol"})):
        refused = client.http.post(f"/__control__/{path}", json=body)
        assert (refused.status_code, refused.json()["error"][:16]) == (404, "no login 'carol'")
    assert sim.brokerage.faults.listed() == []


def test_what_was_shared_and_opened_for_a_login_survives_a_restart(tmp_path: Path, connect: Connect) -> None:
    config = SimulatorConfig(**SHORT, journal=tmp_path / "journal.jsonl")
    with serve(config) as simulator:
        owner = connect(simulator)
        number = control(owner, "open_account", login="alice")
        control(owner, "share", account=BOBS, login="alice", authority="owner")
        control(owner, "unshare", account=SHARED, login="bob")
        [trade] = control(owner, "trade", login="bob")
    with serve(config) as simulator:
        assert listed(connect(simulator, "alice")) == SEEN["alice"] | {number: "owner", BOBS: "owner"}
        bob = connect(simulator, "bob")
        assert listed(bob) == {BOBS: "owner"}
        assert trade in {row["id"] for row in bob.rows(BOBS)}


def test_the_books_are_the_same_whoever_logs_in(start: Start) -> None:
    one, other = start(), start(further_logins=())
    for sim in (one, other):
        sim.brokerage.advance(timedelta(days=2))
    assert one.brokerage.digest() == other.brokerage.digest()


def test_the_command_line_names_and_takes_logins(
    sim: Simulator, alice: Client, bob: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> Any:
        assert main([*arguments, "--url", sim.url]) == 0
        return json.loads(capsys.readouterr().out)

    assert run("revoke", "--login", "alice")["revoked"] is True
    assert [each.get("/customers/me").status_code for each in (alice, bob)] == [401, 200]
    assert run("restore", "--login", "alice")["revoked"] is False
    alice.refresh()
    assert run("state", "--login", "alice")["oauth_attempts"] == 2
    assert set(run("state")["logins"]) == set(SEEN)
    assert run("revoke") == run("state", "--login", "default")
    [number] = run("trade", "--login", "bob")["result"]
    assert number in sim.brokerage.archive(BOBS).by_id
    assert run("fault", "html", "--login", "bob")["faults"][0]["login"] == "bob"
    assert [each.get("/customers/me").status_code for each in (alice, bob)] == [200, 502]
    for arguments in (["state"], ["revoke"], ["trade"], ["fault", "html"]):
        assert main([*arguments, "--login", "carol", "--url", sim.url]) == 1
        assert "no login 'carol'; there are default, alice, bob" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help_names_the_logins_and_their_tokens(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr().out
    for login, token in (("default", "token"), ("alice", "alice"), ("bob", "bob")):
        [line] = [line for line in printed.splitlines() if line.strip().startswith(f"{login} ")]
        assert f"simulator-refresh-{token} " in line
    assert "5WT00702 (read-only), 5WT00703 (owner)" in printed
