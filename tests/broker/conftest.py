from collections.abc import Callable
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials

SECRET, REFRESH = "canary-client-secret-3141", "canary-refresh-token-2718"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def credentials() -> Credentials:
    return Credentials(SECRET, REFRESH)


@pytest.fixture
def config() -> Callable[..., BrokerConfig]:
    """Patience for tests: short pauses, and a rate that does not slow them."""

    def make(url: str, **changes: Any) -> BrokerConfig:
        settings: dict[str, Any] = {
            "url": url,
            "requests_per_second": 2000.0,
            "timeout_seconds": 30.0,
            "retry_budget_seconds": 0.5,
            "first_backoff_seconds": 0.01,
            "max_backoff_seconds": 0.05,
        }
        return BrokerConfig(**(settings | changes))

    return make
