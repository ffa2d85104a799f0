"""No credential is ever shown."""

import json
import logging
import traceback
from collections.abc import Callable

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import (
    ConfigurationError,
    ContractError,
    TastyError,
)

from .conftest import REFRESH, SECRET
from .loopback import NO_POSITIONS, Answer, data, error, loopback, oauth

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]


ACCESS = "canary-access-token-1618"
LOGIN_ECHO = f"you sent {SECRET} and {REFRESH} and eyJhbGciOi.eyJzdWIi.c2ln"
ECHO = f"{LOGIN_ECHO} and Bearer {ACCESS} and {ACCESS}"


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        (oauth(400, "invalid_grant", LOGIN_ECHO), NO_POSITIONS),
        (oauth(400, "invalid_client", LOGIN_ECHO), NO_POSITIONS),
        (oauth(418, LOGIN_ECHO, LOGIN_ECHO), NO_POSITIONS),
        (Answer(LOGIN_ECHO.encode(), 200), NO_POSITIONS),
        (Answer(json.dumps({"access_token": ACCESS + "\n"}).encode()), NO_POSITIONS),
        (Answer(drop=True), NO_POSITIONS),
        (None, error(401, "token_invalid", ECHO)),
        (None, error(400, ECHO, ECHO)),
        (None, error(503, "x", ECHO)),
        (None, Answer(ECHO.encode(), 200)),
        (None, Answer(b"{" + ECHO.encode() + b"}", 200)),
        (None, data({"items": [{"account-number": "B2", "note": ECHO}]})),
        (None, Answer(drop=True)),
        (None, Answer(b"{}", cut=1)),
        (None, Answer(b"{}", cut=1, hang=True)),
    ],
    ids=lambda value: value.body[:24].decode() if value else "",
)
async def test_no_secret_is_in_an_error_its_traceback_or_a_log(
    token: Answer | None, answer: Answer, credentials: Credentials, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in (
        "httpx2",
        "httpcore2",
        "httpcore2.http11",
        "httpcore2.connection",
        "tastytrade",
        "tenacity",
        "asyncio",
    ):
        caplog.set_level(logging.DEBUG, logger=name)
    good = Answer(json.dumps({"access_token": ACCESS, "expires_in": 900}).encode())
    settings = {"retry_budget_seconds": 0.05, "timeout_seconds": 2.0}
    async with (
        loopback(token=[token or good], positions=[answer]) as server,
        connect(credentials, config(server.url, **settings)) as broker,
    ):
        with pytest.raises(TastyError) as caught:
            await broker.positions("A1")
        shown = [str(caught.value), repr(caught.value), *_chain(caught.value), repr(broker), repr(credentials)]
        shown += [repr(vars(broker)), caplog.text, "".join(str(vars(record)) for record in caplog.records)]
    text = "\n".join([*shown, "".join(traceback.format_exception(caught.value))])
    assert "httpcore2" in caplog.text
    assert server.url + "/oauth/token" in caplog.text or token is not None
    assert "tastyworks.com" not in text
    for secret in (SECRET, REFRESH, ACCESS, "eyJzdWIi"):
        assert secret not in text


@pytest.mark.parametrize("secret", [SECRET, REFRESH, ACCESS])
async def test_an_answer_with_a_credential_of_ours_among_its_data_is_refused_whole(
    secret: str, credentials: Credentials, config: Config
) -> None:
    token = Answer(json.dumps({"access_token": ACCESS, "expires_in": 900}).encode())
    answer = data({"items": [{"account-number": "A1", "symbol": "SPY", "note": f"you sent {secret}"}]})
    async with (
        loopback(token=[token], positions=[answer]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        with pytest.raises(ContractError, match=r"own credentials among the data.*nothing of the answer") as caught:
            await broker.positions("A1")
    assert secret not in "".join(traceback.format_exception(caught.value))


async def test_a_redirect_that_carries_a_secret_does_not_show_it(credentials: Credentials, config: Config) -> None:
    away = Answer(b"", 302, {"Location": f"https://x.example/{SECRET}?t={REFRESH}"})
    async with loopback(token=[away]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(ConfigurationError, match=r"to https://x.example/\[hidden\]\)"):
            await broker.log_in()


def _chain(error: BaseException | None) -> list[str]:
    """Every error that hangs on this one, shown or suppressed, with what it holds."""
    found = []
    while error is not None:
        found += [str(error), repr(error), repr(vars(error))]
        request = getattr(error, "_request", None)
        assert request is None, "an error of the HTTP library hangs on ours, and on it the request with its headers"
        error = error.__cause__ or error.__context__
    return found
