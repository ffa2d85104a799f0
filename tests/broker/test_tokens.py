"""One login serves all, is renewed in time, and is never repeated after a refusal."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import AuthenticationError, ContractError, TransientError

from .loopback import HTML, NO_POSITIONS, TOKEN, Answer, Asked, error, loopback, token

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]
PATH = "/accounts/A1/positions"


async def test_a_token_is_bought_once_for_many_readers(credentials: Credentials, config: Config) -> None:
    async with loopback() as server, connect(credentials, config(server.url)) as broker:
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(20)))
        assert server.count("/oauth/token") == broker.meter.token_refreshes == 1


async def test_a_token_about_to_expire_is_renewed_first(credentials: Credentials, config: Config) -> None:
    async with (
        loopback(token=[token("short", 30), token("long")]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        await broker.log_in()
        await broker.positions("A1")
        await broker.positions("A1")
        assert [asked.headers.get("authorization") for asked in server.asked] == [
            None,
            None,
            "Bearer long",
            "Bearer long",
        ]


async def test_many_readers_with_a_refused_token_cause_one_login(credentials: Credentials, config: Config) -> None:
    def script(asked: Asked) -> Answer:
        fresh = asked.headers["authorization"] == "Bearer new"
        return NO_POSITIONS if fresh else error(401, "token_invalid", "This token is invalid or has expired")

    async with (
        loopback(script, token=[token("old"), token("new")]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(10)))
        assert server.count("/oauth/token") == broker.meter.token_refreshes == 2


async def test_a_fresh_token_that_is_refused_too_ends_it(credentials: Credentials, config: Config) -> None:
    refused = error(401, "token_invalid", "This token is invalid or has expired")
    async with loopback(positions=[refused]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(AuthenticationError, match="the access token was refused"):
            await broker.positions("A1")
        assert server.count(PATH) == 2
        assert server.count("/oauth/token") == 2


async def test_a_401_that_does_not_blame_the_token_causes_no_login(credentials: Credentials, config: Config) -> None:
    async with (
        loopback(positions=[error(401, "unauthorized", "no")]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        with pytest.raises(AuthenticationError):
            await broker.positions("A1")
        assert server.count("/oauth/token") == 1


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_login_is_tried_exactly_once(status: int, credentials: Credentials, config: Config) -> None:
    body = json.dumps({"error_code": "invalid_grant", "error_description": "Grant revoked"}).encode()
    async with (
        loopback(token=[Answer(body, status)]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        outcomes = await asyncio.gather(*(broker.positions(f"A{n}") for n in range(10)), return_exceptions=True)
        assert all(isinstance(outcome, AuthenticationError) for outcome in outcomes)
        with pytest.raises(AuthenticationError, match="Grant revoked"):
            await broker.log_in()
        assert server.paths() == ["/oauth/token"]


@pytest.mark.parametrize("bad", [Answer(b"", 429), Answer(b"", 503), Answer(HTML, 502)], ids=["429", "503", "html"])
async def test_a_login_that_was_not_judged_is_asked_again(
    bad: Answer, credentials: Credentials, config: Config
) -> None:
    async with loopback(token=[bad, token("t")]) as server, connect(credentials, config(server.url)) as broker:
        await broker.log_in()
        assert server.paths() == ["/oauth/token"] * 2


@pytest.mark.parametrize(
    "bad", [Answer(b"", 408), Answer(drop=True), Answer(b"{}", cut=1, hang=True)], ids=["408", "drop", "hang"]
)
async def test_a_login_without_an_answer_is_not_repeated(bad: Answer, credentials: Credentials, config: Config) -> None:
    async with loopback(token=[bad]) as server, connect(credentials, config(server.url, timeout_seconds=2.0)) as broker:
        with pytest.raises(TransientError):
            await broker.log_in()
        assert server.paths() == ["/oauth/token"]


async def test_those_who_waited_for_a_login_that_failed_share_its_failure(
    credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(token=[Answer(b"", 503)]) as server,
        connect(credentials, config(server.url, retry_budget_seconds=0)) as broker,
    ):
        outcomes = await asyncio.gather(*(broker.positions(f"A{n}") for n in range(10)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {TransientError}
        assert server.paths() == ["/oauth/token"]
        with pytest.raises(TransientError):
            await broker.log_in()
        assert server.paths() == ["/oauth/token"] * 2


async def test_a_login_that_was_cancelled_leaves_the_next_reader_free(credentials: Credentials, config: Config) -> None:
    async with (
        loopback(token=[Answer(b"{}", cut=1, hang=True), Answer(json.dumps(TOKEN).encode())]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        first = asyncio.create_task(broker.log_in())
        await server.until_asked_for("/oauth/token")
        second = asyncio.create_task(broker.log_in())
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert server.count("/oauth/token") == 2


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"access_token": ""},
        {"access_token": 5},
        {"access_token": "line\nbreak"},
        {"access_token": "ok", "expires_in": "soon"},
        {"access_token": "ok", "expires_in": 0},
        {"access_token": "ok", "expires_in": True},
    ],
)
async def test_a_login_answer_without_a_usable_token_is_a_contract_error(
    answer: dict[str, Any], credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(token=[Answer(json.dumps(answer).encode())]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        with pytest.raises(ContractError, match="without a usable access token"):
            await broker.log_in()
