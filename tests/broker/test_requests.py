"""What one request survives, and what it costs: retries, limits, time."""

import asyncio
import gzip
from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import ContractError, TransientError

from .loopback import HTML, NO_POSITIONS, Answer, Asked, error, loopback

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]
PATH = "/accounts/A1/positions"


@pytest.mark.parametrize(
    "bad",
    [
        Answer(b"", 429),
        error(429, "too_many_requests", "slow down"),
        Answer(b"", 408),
        Answer(b"", 500),
        Answer(HTML, 502),
        Answer(b"", 503),
        Answer(b"", 504),
        Answer(HTML, 200),
        Answer(b"", 200),
        Answer(drop=True),
        Answer(NO_POSITIONS.body, cut=5),
        Answer(NO_POSITIONS.body[:-3]),
        Answer(NO_POSITIONS.body[:-1]),
        Answer(NO_POSITIONS.body, headers={"Content-Encoding": "gzip"}),
    ],
    ids=lambda bad: f"{bad.status}-{bad.body[:20]!r}-{bad.cut}{bad.drop}",
)
async def test_what_can_heal_is_asked_again_until_it_does(
    bad: Answer, credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(positions=[bad, bad, NO_POSITIONS]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        assert await broker.positions("A1") == []
        assert server.count(PATH) == 3
        assert broker.meter.retries == 2
        assert broker.meter.requests == len(server.asked) == 4
        assert broker.meter.throttled == (2 if bad.status == 429 else 0)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 406, 409, 410, 422, 204, 301])
async def test_what_was_refused_is_not_asked_again(status: int, credentials: Credentials, config: Config) -> None:
    refused = Answer(b"", status, {"Location": "https://elsewhere.example/x?token=1"} if status == 301 else {})
    async with loopback(positions=[refused]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(Exception, match="What to do"):
            await broker.positions("A1")
        assert server.count(PATH) == 1
        assert broker.meter.retries == 0


async def test_a_budget_that_is_spent_ends_the_tries(credentials: Credentials, config: Config) -> None:
    loop = asyncio.get_running_loop()
    async with loopback(positions=[Answer(b"", 503)]) as server, connect(credentials, config(server.url)) as broker:
        await broker.log_in()
        begun = loop.time()
        with pytest.raises(TransientError, match=r"is in trouble \(503\) after \d+ tries"):
            await broker.positions("A1")
        assert loop.time() - begun < 2
        assert server.count(PATH) > 4


async def test_no_budget_means_one_try(credentials: Credentials, config: Config) -> None:
    patience = {"retry_budget_seconds": 0.0}
    async with (
        loopback(positions=[Answer(b"", 503)]) as server,
        connect(credentials, config(server.url, **patience)) as broker,
    ):
        with pytest.raises(TransientError, match="one try"):
            await broker.positions("A1")
        assert server.count(PATH) == 1


async def test_pauses_grow_and_are_jittered(credentials: Credentials, config: Config) -> None:
    patience = {"first_backoff_seconds": 0.02, "max_backoff_seconds": 0.16, "retry_budget_seconds": 0.6}
    async with (
        loopback(positions=[Answer(b"", 503)]) as server,
        connect(credentials, config(server.url, **patience)) as broker,
    ):
        with pytest.raises(TransientError):
            await broker.positions("A1")
        pauses = [later - earlier for earlier, later in pairwise(server.at[1:])]
        assert all(pause >= low for pause, low in zip(pauses, (0.01, 0.02, 0.04, 0.08), strict=False))
        # two equal pauses are chance, all equal ones are no jitter
        assert len({round(pause, 4) for pause in pauses}) > 1


async def test_a_wait_that_the_server_names_is_kept(credentials: Credentials, config: Config) -> None:
    busy = Answer(b"", 503, {"Retry-After": "1"})
    async with (
        loopback(positions=[busy, NO_POSITIONS]) as server,
        connect(credentials, config(server.url, retry_budget_seconds=5)) as broker,
    ):
        await broker.positions("A1")
        assert server.at[2] - server.at[1] >= 1


async def test_an_answer_that_does_not_come_is_asked_for_again(credentials: Credentials, config: Config) -> None:
    async with (
        loopback(positions=[Answer(NO_POSITIONS.body, cut=3, hang=True), NO_POSITIONS]) as server,
        connect(credentials, config(server.url, timeout_seconds=2.0)) as broker,
    ):
        assert await broker.positions("A1") == []
        assert server.count(PATH) == 2


async def test_a_body_that_trickles_for_ever_ends_at_the_total_time_out(
    credentials: Credentials, config: Config
) -> None:
    loop = asyncio.get_running_loop()
    patience = {"timeout_seconds": 2.0, "retry_budget_seconds": 0.0}
    async with (
        loopback(positions=[Answer(trickle=True)]) as server,
        connect(credentials, config(server.url, **patience)) as broker,
    ):
        begun = loop.time()
        with pytest.raises(TransientError, match=r"no complete answer within 2 s"):
            await broker.positions("A1")
        assert 1.9 < loop.time() - begun < 30


async def test_an_answer_larger_than_any_of_the_api_is_refused(
    credentials: Credentials, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasty_pipeline.core.broker.transport.MAX_BODY_BYTES", 1000)
    bomb = Answer(gzip.compress(b" " * 100_000), headers={"Content-Encoding": "gzip"})
    async with loopback(positions=[bomb]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(ContractError, match="answered with more than"):
            await broker.positions("A1")
        assert server.count(PATH) == 1


async def test_compressed_answers_are_read_and_counted_as_transferred(credentials: Credentials, config: Config) -> None:
    body = gzip.compress(NO_POSITIONS.body + b" " * 5000)
    packed = Answer(body, headers={"Content-Encoding": "gzip"})
    async with loopback(positions=[packed]) as server, connect(credentials, config(server.url)) as broker:
        await broker.log_in()
        before = broker.meter.snapshot()
        assert await broker.positions("A1") == []
        assert (broker.meter - before).bytes_received == len(body)


async def test_no_more_requests_are_open_than_allowed(credentials: Credentials, config: Config) -> None:
    gate = asyncio.Event()
    waiting = 0

    async def slow(_: Asked) -> Answer:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            gate.set()
        await gate.wait()
        return NO_POSITIONS

    async with loopback(slow) as server, connect(credentials, config(server.url, in_flight=3)) as broker:
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(30)))
        assert server.open_most == 3
        assert len(server.asked) == 31


async def test_requests_a_second_are_limited_without_bursts(credentials: Credentials, config: Config) -> None:
    async with (
        loopback() as server,
        connect(credentials, config(server.url, requests_per_second=50, in_flight=20)) as broker,
    ):
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(20)))
        assert server.at[-1] - server.at[0] >= 20 / 50 - 0.03
        assert all(late - early >= 9 / 50 - 0.03 for early, late in zip(server.at, server.at[9:], strict=False))


async def test_a_pause_between_tries_holds_no_slot(credentials: Credentials, config: Config) -> None:
    patience = {"in_flight": 1, "first_backoff_seconds": 2.0, "max_backoff_seconds": 2.0, "retry_budget_seconds": 9}
    async with (
        loopback(positions=[Answer(b"", 503), NO_POSITIONS]) as server,
        connect(credentials, config(server.url, **patience)) as broker,
    ):
        await broker.log_in()
        healing = asyncio.create_task(broker.positions("A1"))
        await server.until_asked_for(PATH)
        await broker.positions("A2")
        assert not healing.done()
        healing.cancel()


async def test_numbers_arrive_exactly(credentials: Credentials, config: Config) -> None:
    numbers = b'"quantity": 100.29, "tiny": 0.1000000000000000055511151231257827, "n": 3, "t": "1.10"'
    body = b'{"data": {"items": [{"account-number": "A1", ' + numbers + b"}]}}"
    async with loopback(positions=[Answer(body)]) as server, connect(credentials, config(server.url)) as broker:
        (found,) = await broker.positions("A1")
        assert found["quantity"] == Decimal("100.29")
        assert str(found["tiny"]) == "0.1000000000000000055511151231257827"
        assert (found["n"], found["t"]) == (3, "1.10")


async def test_every_request_says_who_asks(credentials: Credentials, config: Config) -> None:
    async with loopback() as server, connect(credentials, config(server.url)) as broker:
        await broker.positions("A1")
        assert all(asked.headers["user-agent"].startswith("tasty-pipeline/") for asked in server.asked)
        assert all(asked.headers["accept-version"] == "20251101" for asked in server.asked)
        assert all(asked.headers["host"] == server.url.removeprefix("http://") for asked in server.asked)
        assert "authorization" not in server.asked[0].headers
        assert server.asked[1].headers["authorization"] == "Bearer access-token-1"
    async with loopback() as server, connect(credentials, config(server.url + "/api/", sandbox=True)) as broker:
        await broker.positions("A1")
        assert all("accept-version" not in asked.headers for asked in server.asked)
        assert server.paths() == ["/api/oauth/token", "/api/accounts/A1/positions"]
