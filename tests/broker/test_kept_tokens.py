"""An access token that outlives its connection: used while it is good, renewed once when it is not, never shown."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tasty_pipeline.core.broker import AccessToken, BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import AuthenticationError, TastyError, TransientError

from .loopback import NO_POSITIONS, Answer, Asked, Loopback, error, loopback, oauth, token

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]
PATH = "/accounts/A1/positions"
REFUSED = error(401, "token_invalid", "This token is invalid or has expired")


def kept(value: str = "kept", seconds: float = 600) -> AccessToken:
    return AccessToken(value, datetime.now(UTC) + timedelta(seconds=seconds))


def bearers(server: Loopback) -> list[str | None]:
    return [asked.headers.get("authorization") for asked in server.asked]


async def test_a_kept_token_needs_no_login_and_is_kept_unchanged(credentials: Credentials, config: Config) -> None:
    token = kept()
    async with loopback() as server, connect(credentials, config(server.url), token) as broker:
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(5)))
        assert bearers(server) == ["Bearer kept"] * 5
        assert broker.access_token == token
        assert broker.meter.token_refreshes == 0


async def test_a_connection_hands_its_token_to_the_next_one(credentials: Credentials, config: Config) -> None:
    async with loopback() as server:
        async with connect(credentials, config(server.url)) as first:
            assert first.access_token is None
            await first.positions("A1")
            bought = first.access_token
        assert bought is not None
        assert timedelta(minutes=14) < bought.expires_at - datetime.now(UTC) <= timedelta(minutes=15)
        async with connect(credentials, config(server.url), bought) as second:
            await second.positions("A1")
        assert server.paths() == ["/oauth/token", PATH, PATH]


@pytest.mark.parametrize("seconds", [-3600, -1, 30])
async def test_a_kept_token_at_its_end_is_renewed_before_it_is_used(
    seconds: float, credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(token=[token("new")]) as server,
        connect(credentials, config(server.url), kept(seconds=seconds)) as broker,
    ):
        await broker.positions("A1")
        assert bearers(server) == [None, "Bearer new"]
        assert broker.access_token is not None
        assert broker.access_token.value == "new"


async def test_a_kept_token_that_is_refused_is_renewed_once_for_all(credentials: Credentials, config: Config) -> None:
    def script(asked: Asked) -> Answer:
        return NO_POSITIONS if asked.headers["authorization"] == "Bearer new" else REFUSED

    async with (
        loopback(script, token=[token("new")]) as server,
        connect(credentials, config(server.url), kept()) as broker,
    ):
        await asyncio.gather(*(broker.positions(f"A{n}") for n in range(10)))
        assert server.count("/oauth/token") == 1
        assert broker.access_token is not None
        assert broker.access_token.value == "new"


@pytest.mark.parametrize(
    ("login", "kind"),
    [(oauth(400, "invalid_grant", "Grant revoked"), AuthenticationError), (Answer(b"", 503), TransientError)],
    ids=["refused", "not judged"],
)
async def test_a_refused_token_whose_renewal_fails_is_not_kept(
    login: Answer, kind: type[TastyError], credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(token=[login], positions=[REFUSED]) as server,
        connect(credentials, config(server.url, retry_budget_seconds=0), kept()) as broker,
    ):
        with pytest.raises(kind):
            await broker.positions("A1")
        assert server.count("/oauth/token") == 1
        assert broker.access_token is None


async def test_a_new_token_that_is_refused_too_is_not_kept(credentials: Credentials, config: Config) -> None:
    async with loopback(positions=[REFUSED]) as server, connect(credentials, config(server.url), kept()) as broker:
        with pytest.raises(AuthenticationError, match="the access token was refused"):
            await broker.positions("A1")
        assert server.count("/oauth/token") == 1
        assert broker.access_token is None


async def test_a_failure_that_says_nothing_of_the_token_leaves_it_kept(
    credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(positions=[Answer(b"", 503)]) as server,
        connect(credentials, config(server.url, retry_budget_seconds=0), kept()) as broker,
    ):
        with pytest.raises(TransientError):
            await broker.positions("A1")
        assert broker.access_token is not None


async def test_no_repr_and_no_error_shows_a_kept_token(credentials: Credentials, config: Config) -> None:
    canary = kept("canary-kept-token-1123")
    answer = error(400, "canary-kept-token-1123", "Bearer canary-kept-token-1123")
    async with loopback(positions=[answer]) as server, connect(credentials, config(server.url), canary) as broker:
        with pytest.raises(TastyError) as caught:
            await broker.positions("A1")
        shown = [repr(canary), str(canary), repr(broker), repr(vars(broker)), str(caught.value), repr(caught.value)]
    assert "canary-kept" not in "".join(shown)
