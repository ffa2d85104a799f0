"""Several customers log in to one brokerage: each sees its own accounts, and one's token is never another's."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import BOBS, CLOSED, MAIN, SEEN, SHARED, Client, Connect, Start, listed
from tastytrade import Account, Session
from test_simulated_sdk import Redirected

from tasty_pipeline.simulator import Login, Simulator, SimulatorConfig
from tasty_pipeline.simulator.api import _ROUTES

SCOPED = [(verb, pattern.pattern) for verb, pattern, _ in _ROUTES if "<account>" in pattern.pattern]


def test_every_login_has_its_token_and_the_default_one_is_what_it_was(sim: Simulator) -> None:
    assert sim.logins == {
        "default": "simulator-refresh-token",
        "alice": "simulator-refresh-alice",
        "bob": "simulator-refresh-bob",
    }
    assert sim.refresh_token == sim.logins["default"]


@pytest.mark.parametrize("login", SEEN)
def test_a_login_lists_its_accounts_with_its_own_authority(sim: Simulator, connect: Connect, login: str) -> None:
    assert listed(connect(sim, login)) == SEEN[login]
    assert {each["account-number"] for each in sim.brokerage.accounts(login)} == set(SEEN[login])


@pytest.mark.parametrize(("accounts", "logins"), [(1, ["default"]), (2, ["default", "alice"]), (3, list(SEEN))])
def test_a_login_exists_when_all_its_accounts_do(start: Start, accounts: int, logins: list[str]) -> None:
    assert list(start(accounts=accounts).logins) == logins


@pytest.mark.parametrize(("verb", "pattern"), SCOPED)
def test_an_account_that_a_login_does_not_see_is_another_customers_on_every_route(
    sim: Simulator, bob: Client, client: Client, verb: str, pattern: str
) -> None:
    def ask(as_login: Client, account: str) -> Any:
        path = pattern.replace("(?P<account>[^/]+)", account).replace(r"(?P<currency>\w+)", "USD")
        number = sim.brokerage.transactions(account if account in SEEN["default"] else MAIN)[0]["id"]
        return as_login.http.request(verb, path.replace(r"(?P<id>\d+)", str(number)), params={"time-of-day": "EOD"})

    foreign = ask(bob, "5WX99999")
    assert foreign.status_code == 403
    assert foreign.json() == {"error": {"code": "not_permitted", "message": "User not permitted access"}}
    for account in (MAIN, CLOSED):
        assert (ask(bob, account).status_code, ask(bob, account).content) == (403, foreign.content)
        assert ask(client, account).status_code == 200
    for account in SEEN["bob"]:
        assert ask(bob, account).status_code == 200
        assert ask(bob, account).content == ask(client, account).content


def test_all_routes_of_an_account_are_among_those_tried() -> None:
    others = {pattern.pattern for _, pattern, _ in _ROUTES} - {pattern for _, pattern in SCOPED}
    assert others == {"/customers/me", "/customers/me/accounts", "/sessions/validate"}


def test_one_access_token_never_stands_for_two_logins(alice: Client, bob: Client) -> None:
    tokens = [each.http.headers["Authorization"] for each in (alice, bob)]
    assert tokens[0] != tokens[1]
    bob.http.headers["Authorization"] = tokens[0]
    assert listed(bob) == SEEN["alice"]


def test_a_token_from_before_a_restart_is_good_for_nobody(sim: Simulator, connect: Connect, start: Start) -> None:
    before = connect(sim).http.headers["Authorization"]
    again = connect(start(), "alice")
    again.http.headers["Authorization"] = before
    assert again.get("/customers/me/accounts").status_code == 401


def test_every_login_is_a_person_of_its_own(client: Client, alice: Client, bob: Client) -> None:
    people = [each.get("/customers/me").json()["data"] for each in (client, alice, bob)]
    assert [person["email"] for person in people] == ["demo@example.com", "alice@example.com", "bob@example.com"]
    assert [person["first-name"] for person in people] == ["Demo", "Alice", "Bob"]
    assert len({person["external-id"] for person in people}) == 3
    users = [each.http.post("/sessions/validate").json()["data"] for each in (client, alice, bob)]
    assert [user["username"] for user in users] == ["demo", "alice", "bob"]
    assert len({user["external-id"] for user in users}) == 3


def test_a_revoked_grant_ends_one_login_and_no_other(sim: Simulator, alice: Client, bob: Client) -> None:
    sim.brokerage.revoke_grant(login="alice")
    assert alice.get("/customers/me").status_code == 401
    refused = alice.http.post("/oauth/token", json=alice.login)
    assert refused.json() == {"error_code": "invalid_grant", "error_description": "Grant revoked"}
    assert bob.get("/customers/me").status_code == 200
    bob.refresh()
    sim.brokerage.restore_grant(login="alice")
    assert alice.get("/customers/me").status_code == 401
    alice.refresh()
    assert listed(alice) == SEEN["alice"]


def test_without_a_name_the_default_grant_is_revoked_and_restored(
    sim: Simulator, client: Client, alice: Client
) -> None:
    sim.brokerage.revoke_grant()
    assert (client.get("/customers/me").status_code, alice.get("/customers/me").status_code) == (401, 200)
    sim.brokerage.restore_grant()
    client.refresh()
    assert client.get("/customers/me").status_code == 200


def test_tokens_expire_for_one_login_or_for_all(sim: Simulator, alice: Client, bob: Client) -> None:
    sim.brokerage.expire_tokens(login="alice")
    assert [each.get("/customers/me").status_code for each in (alice, bob)] == [401, 200]
    alice.refresh()
    sim.brokerage.expire_tokens()
    assert [each.get("/customers/me").status_code for each in (alice, bob)] == [401, 401]


def test_attempts_are_counted_for_each_login(sim: Simulator, alice: Client, bob: Client) -> None:
    bob.refresh()
    tokens = sim.brokerage.tokens
    alice.http.post("/oauth/token", json=alice.login | {"client_secret": "wrong"})
    alice.http.post("/oauth/token", json=alice.login | {"refresh_token": "nobody's"})
    alice.http.post("/oauth/token", json=alice.login | {"refresh_token": ["a", "list"]})
    assert {login: tokens.attempts_of(login) for login in sim.logins} == {"default": 0, "alice": 2, "bob": 2}
    assert {login: tokens.failures_of(login) for login in sim.logins} == {"default": 0, "alice": 1, "bob": 0}
    assert (tokens.attempts, tokens.failures) == (6, 3)


@pytest.mark.parametrize("name", ["carol", ""])
def test_an_unknown_login_is_named_with_those_there_are(sim: Simulator, name: str) -> None:
    door, tokens = sim.brokerage, sim.brokerage.tokens
    acts: list[Callable[[], Any]] = [
        lambda: door.revoke_grant(login=name), lambda: door.restore_grant(login=name),
        lambda: door.expire_tokens(login=name), lambda: door.trade(login=name), lambda: door.trade(MAIN, login=name),
        lambda: door.accounts(name), lambda: door.share(MAIN, name), lambda: door.unshare(MAIN, name),
        lambda: door.open_account(name), lambda: tokens.attempts_of(name), lambda: tokens.failures_of(name),
    ]  # fmt: skip
    before = door.digest()
    for act in acts:
        with pytest.raises(LookupError, match=f"no login '{name}'; there are default, alice, bob"):
            act()
    assert door.digest() == before
    assert len(door.accounts()) == 4


def test_logins_can_be_made_up(start: Start, connect: Connect) -> None:
    carol = Login("carol", "simulator-refresh-carol", reads=(3,))
    sim = start(further_logins=(carol,))
    assert sim.logins == {"default": sim.refresh_token, "carol": "simulator-refresh-carol"}
    assert listed(connect(sim, "carol")) == {CLOSED: "read-only"}


@pytest.mark.parametrize("login", [Login("default", "x"), Login("carol", "simulator-refresh-token")])
def test_two_logins_cannot_share_a_name_or_a_token(login: Login) -> None:
    with pytest.raises(ValueError, match="a name and a refresh token of its own"):
        replace(SimulatorConfig(), further_logins=(login,))


def test_the_sdk_reads_what_a_login_sees(sim: Simulator) -> None:
    async def numbers() -> list[str]:
        transport = Redirected(sim.url)
        async with Session(sim.client_secret, sim.logins["bob"], transport=transport) as session:
            return [account.account_number for account in await Account.get(session)]

    assert asyncio.run(numbers()) == [SHARED, BOBS]
