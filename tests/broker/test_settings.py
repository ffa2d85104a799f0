"""Settings and credentials are checked before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import (
    ConfigurationError,
)

from .conftest import REFRESH, SECRET

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]


@pytest.mark.parametrize("blank", ["", " ", "\n"])
def test_blank_credentials_never_fall_back_on_the_environment(blank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_SECRET", "somebody")
    monkeypatch.setenv("TT_REFRESH", "else")
    with pytest.raises(ConfigurationError, match=r"client secret is empty.*TT_SECRET"):
        Credentials(blank, REFRESH)
    with pytest.raises(ConfigurationError, match=r"refresh token is empty.*TT_REFRESH"):
        Credentials(SECRET, blank)


@pytest.mark.parametrize("torn", ["secret\n", " secret", '"sec ret"', "sécret", "sec\u201dret", "\udcff"])
def test_credentials_with_stray_characters_are_refused_and_not_shown(torn: str) -> None:
    with pytest.raises(ConfigurationError, match="copy it again") as caught:
        Credentials(torn, REFRESH)
    assert "secret" not in str(caught.value).replace("client secret", "")


@pytest.mark.parametrize(
    "url",
    [
        "api.tastyworks.com",
        "ftp://host",
        "https://",
        "https://user:pw@host",
        "user:pw@host",
        "https//user:pw@host",
        "https:/user:pw@host",
        "https://host?a=b",
        "https://host#a",
        "http://[",
        "http://api.tastyworks.com",
        "http://host:99999",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="address of the API") as caught:
        BrokerConfig(url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "setting",
    [
        {"requests_per_second": 0},
        {"in_flight": 0},
        {"in_flight": 1.5},
        {"timeout_seconds": -1},
        {"retry_budget_seconds": -0.1},
        {"first_backoff_seconds": float("nan")},
        {"max_backoff_seconds": float("inf")},
    ],
    ids=str,
)
def test_settings_without_sense_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(setting))):
        BrokerConfig(**setting)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "production"),
        ({"url": " "}, "production"),
        ({"sandbox": True}, "sandbox"),
        ({"url": "https://proxy.example:8443/api"}, "proxy.example"),
    ],
)
async def test_a_connection_names_its_environment_and_sends_nothing(
    settings: dict[str, Any], name: str, credentials: Credentials
) -> None:
    async with connect(credentials, BrokerConfig(**settings)) as broker:
        assert broker.environment == name
        assert broker.meter.requests == 0
