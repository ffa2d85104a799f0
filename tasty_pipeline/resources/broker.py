"""The TastyTrade session of a run: logged in once, on the run's event loop, and closed at its end.

Credentials come from the environment when the run needs them. They are no field of the resource, so that they cannot
reach run config, the event log or the UI.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from tasty_pipeline.core.broker import Broker, BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.settings import Settings, read_settings

T = TypeVar("T")


def broker_config(settings: Settings, **limits: float) -> BrokerConfig:
    """Say which API the settings mean, within the given limits."""
    return BrokerConfig(url=settings.api_url, sandbox=settings.sandbox, **limits)  # type: ignore[arg-type]


class BrokerResource(dg.ConfigurableResource["BrokerResource"]):
    """A session with the TastyTrade API as `.broker`, open for as long as the run (or the sensor's tick) lasts."""

    requests_per_second: float = Field(default=20.0, gt=0, description="Requests per second, retries included.")
    in_flight: int = Field(default=8, gt=0, description="Requests at the same time.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="Time-out of one request.")
    retry_budget_seconds: float = Field(default=120.0, ge=0, description="How long one request is retried in all.")

    _broker: Broker | None = PrivateAttr(default=None)
    _refused: TastyError | None = PrivateAttr(default=None)
    _loop: asyncio.AbstractEventLoop = PrivateAttr()

    @property
    def broker(self) -> Broker:
        """The run's broker; raises `ConfigurationError` where the environment names none."""
        if self._refused is not None:
            raise self._refused
        if self._broker is None:
            raise RuntimeError("the session is open only while a run lasts")
        return self._broker

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work on the loop that the broker lives on."""
        return self._loop.run_until_complete(work)

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["BrokerResource"]:
        """Open the session on the loop that the run's assets use, and close it there."""
        shared = context.event_loop
        self._loop = shared or asyncio.new_event_loop()  # a sensor's tick has no loop of its own
        try:
            session = self._session()
            if session is None:
                yield self
                return
            self._broker = self.run(session.__aenter__())
            try:
                yield self
            finally:
                self.run(session.__aexit__(None, None, None))
        finally:
            if shared is None:
                self._loop.close()

    def _session(self) -> contextlib.AbstractAsyncContextManager[Broker] | None:
        try:
            settings = read_settings()
            config = broker_config(
                settings,
                requests_per_second=self.requests_per_second,
                in_flight=self.in_flight,
                timeout_seconds=self.timeout_seconds,
                retry_budget_seconds=self.retry_budget_seconds,
            )
            return connect(Credentials(*settings.credentials()), config)
        except TastyError as error:
            # Raised here it would reach people as an error of Dagster's, with ours somewhere beneath. The asset that
            # asks for the broker raises it as its own.
            self._refused = error
            return None
