"""Each failure is one clear error of its own kind and says what to do."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    IncompleteAnswerError,
    NotFoundError,
    PermanentError,
    TastyError,
    TransientError,
)
from tasty_pipeline.simulator import Fault, SimulatorConfig, serve

from .conftest import SECRET
from .loopback import HTML, NO_POSITIONS, Answer, error, loopback, oauth

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (oauth(400, "invalid_grant", "Grant revoked"), AuthenticationError, "refresh token was revoked.*Grant revoked"),
        (oauth(401, "invalid_grant", "Invalid JWT"), AuthenticationError, "not valid for this environment .127"),
        (
            oauth(401, "invalid_client", "Client auth failed"),
            AuthenticationError,
            "client secret was refused.*TT_SECRET",
        ),
        (oauth(400, "invalid_request", "Missing"), AuthenticationError, r"login was refused in 127.0.0.1 \(400\)"),
        (Answer(HTML, 401), AuthenticationError, "page of HTML.*8 hours"),
        (Answer(HTML, 403), AuthenticationError, "page of HTML.*8 hours"),
        (Answer(b"", 404), ConfigurationError, "knows no login at /oauth/token.*address"),
        (error(406, "406", "Version"), PermanentError, "status 406"),
        (Answer(HTML, 200), TransientError, "maintenance, or this is not the API"),
        (Answer(b"[]", 200), ContractError, "without a usable access token"),
        (Answer(b"", 503), TransientError, r"in trouble \(503\)"),
        (Answer(b"", 429), TransientError, "fewer requests"),
        (Answer(b"", 302, {"Location": "https://login.example/a?b=c"}), ConfigurationError, "https://login.example/a"),
    ],
    ids=lambda value: f"{value.status}-{value.body[:30]!r}" if isinstance(value, Answer) else "",
)
async def test_a_login_that_fails_says_why(
    answer: Answer, kind: type[TastyError], says: str, credentials: Credentials, config: Config
) -> None:
    async with loopback(token=[answer]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(kind, match=says) as caught:
            await broker.log_in()
        assert type(caught.value) is kind
        assert "What to do: " in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (error(400, "validation_error", "per-page is too large"), PermanentError, "validation_error: per-page is too"),
        (error(401, "unauthorized", "Unauthorized"), AuthenticationError, "access token was refused"),
        (Answer(HTML, 401), AuthenticationError, "page of HTML .401.*User-Agent.*8 hours"),
        (
            error(403, "not_permitted", "User not permitted"),
            PermanentError,
            "/accounts/A1/positions.*does not let this",
        ),
        (error(404, "record_not_found", "Couldn't find"), NotFoundError, "knows no account A1 for this login"),
        (
            Answer(b'{"error": {"code": 406, "message": "Version 1"}}', 406),
            PermanentError,
            "no longer serves.*406: Version 1.*newer version",
        ),
        (
            Answer(b'{"error": {"code": "x", "message": "y", "errors": [{"domain": "sort", "reason": "odd"}]}}', 422),
            PermanentError,
            "x: y; sort: odd",
        ),
        (Answer(b'{"error": "plain text"}', 400), PermanentError, "plain text"),
        (Answer(b"", 418), PermanentError, r"refused \(418\)"),
        (Answer(b"", 429), TransientError, "fewer requests .429. after .* tries.*requests_per_second"),
        (Answer(b"", 408), TransientError, "408"),
        (Answer(HTML, 502), TransientError, "502, a page of HTML as in maintenance"),
        (error(500, "internal", "boom"), TransientError, "500.* - internal: boom"),
        (Answer(HTML, 200), TransientError, "page of HTML and status 200"),
        (Answer(b"", 200), IncompleteAnswerError, "answered with nothing"),
        (Answer(b"", 204), IncompleteAnswerError, "status 204 and no data"),
        (Answer(b'{"data": {"items": [{"a": 1}', 200), TransientError, "breaks off after 28 bytes"),
        (Answer(NO_POSITIONS.body, cut=5), TransientError, "broke off"),
        (Answer(drop=True), TransientError, "broke off"),
        (Answer(b"junk", headers={"Content-Encoding": "gzip"}), TransientError, "could not be decompressed"),
        (Answer(NO_POSITIONS.body, hang=True, cut=3), TransientError, "timed out"),
        (Answer(b"", 302, {"Location": "https://x.example/?t=1"}), ConfigurationError, "sent elsewhere .*x.example"),
    ],
    ids=lambda value: f"{value.status}-{value.body[:30]!r}-{value.cut}" if isinstance(value, Answer) else "",
)
async def test_a_read_that_fails_says_why(
    answer: Answer, kind: type[TastyError], says: str, credentials: Credentials, config: Config
) -> None:
    # only an answer that never ends needs to be cut short: the login before it must not be, on a busy machine
    settings = {"timeout_seconds": 2.0 if answer.hang else 30.0, "retry_budget_seconds": 0.05}
    async with loopback(positions=[answer]) as server, connect(credentials, config(server.url, **settings)) as broker:
        with pytest.raises(kind, match=says) as caught:
            await broker.positions("A1")
        assert type(caught.value) is kind
        assert "What to do: " in str(caught.value)


async def test_a_port_where_nobody_listens_is_named(credentials: Credentials, config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with connect(credentials, config(f"http://127.0.0.1:{port}")) as broker:
        with pytest.raises(TransientError, match=rf"127.0.0.1:{port} cannot be reached .* right") as caught:
            await broker.positions("A1")
        assert "tries" in str(caught.value)


async def test_a_host_that_does_not_exist_is_named(credentials: Credentials, config: Config) -> None:
    async with connect(credentials, config("https://api.invalid", retry_budget_seconds=0)) as broker:
        assert broker.environment == "api.invalid"
        with pytest.raises(TransientError, match=r"api\.invalid cannot be reached"):
            await broker.log_in()


async def test_a_server_that_speaks_no_tls_is_a_wrong_address(credentials: Credentials, config: Config) -> None:
    async with loopback() as server, connect(credentials, config(server.url.replace("http", "https"))) as broker:
        with pytest.raises(ConfigurationError, match=r"127.0.0.1:\d+ has no certificate .*https or http"):
            await broker.log_in()
        assert server.count("/tls") == 1


async def test_a_login_that_times_out_tells_of_the_block(credentials: Credentials, config: Config) -> None:
    async with (
        loopback(token=[Answer(b"{}", hang=True, cut=1)]) as server,
        connect(credentials, config(server.url, timeout_seconds=0.1)) as broker,
    ):
        with pytest.raises(TransientError, match="about 8 hours"):
            await broker.log_in()


@pytest.mark.parametrize("status", [400, 401])
async def test_the_simulator_refuses_a_revoked_grant_exactly_once(status: Any, config: Config) -> None:
    with serve(SimulatorConfig(accounts=1, trades_per_day=0, auth_error_status=status)) as simulator:
        simulator.brokerage.revoke_grant()
        async with connect(
            Credentials(simulator.client_secret, simulator.refresh_token), config(simulator.url)
        ) as broker:
            for _ in range(3):
                with pytest.raises(AuthenticationError, match="revoked"):
                    await broker.accounts()
        assert simulator.brokerage.tokens.attempts == 1
        for secret, refresh, says in (("wrong", simulator.refresh_token, "client secret"), (SECRET, "wrong", "client")):
            async with connect(Credentials(secret, refresh), config(simulator.url)) as broker:
                with pytest.raises(AuthenticationError, match=says):
                    await broker.log_in()
        async with connect(Credentials(simulator.client_secret, "wrong"), config(simulator.url)) as broker:
            with pytest.raises(AuthenticationError, match=r"not valid for this environment.*Invalid JWT"):
                await broker.log_in()


async def test_another_customers_account_and_an_unknown_one_are_named(config: Config) -> None:
    with serve(SimulatorConfig(accounts=1, trades_per_day=0)) as simulator:
        async with connect(
            Credentials(simulator.client_secret, simulator.refresh_token), config(simulator.url)
        ) as broker:
            with pytest.raises(PermanentError, match=r"/accounts/5WX99999/.*does not let this login see it"):
                await broker.positions("5WX99999")
            with pytest.raises(PermanentError, match="knows no account 5WT99999"):
                await broker.balances("5WT99999")
            simulator.brokerage.faults.add(Fault("null_data"))
            with pytest.raises(IncompleteAnswerError, match="holds no data"):
                await broker.accounts()
