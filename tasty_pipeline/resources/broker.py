"""The TastyTrade sessions of a run: one for each login, opened at its first use on the run's event loop.

Credentials come from the environment and the warehouse when the run needs them. They are no field of the resource, so
that they cannot reach run config, the event log or the UI.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from tasty_pipeline.core import connections
from tasty_pipeline.core.broker import Broker, connect
from tasty_pipeline.core.connections import Connection, Login
from tasty_pipeline.core.errors import AuthenticationError, TastyError
from tasty_pipeline.core.warehouse import Warehouse

T = TypeVar("T")


@dataclass(frozen=True)
class Session:
    """One login with its open connection to the API."""

    login: Login
    broker: Broker


class BrokerResource(dg.ConfigurableResource["BrokerResource"]):
    """Sessions with the TastyTrade API, open for as long as the run lasts; the limits hold for each login."""

    requests_per_second: float = Field(default=20.0, gt=0, description="Requests per second, retries included.")
    in_flight: int = Field(default=8, gt=0, description="Requests at the same time.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="Time-out of one request.")
    retry_budget_seconds: float = Field(default=120.0, ge=0, description="How long one request is retried in all.")

    _loop: asyncio.AbstractEventLoop = PrivateAttr()
    _stack: contextlib.AsyncExitStack = PrivateAttr()
    _sessions: dict[str, Session] = PrivateAttr(default_factory=dict)
    _refused: dict[str, AuthenticationError] = PrivateAttr(default_factory=dict)
    _put_off: list[tuple[str, TastyError]] = PrivateAttr(default_factory=list)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do asynchronous work on the loop that the sessions live on."""
        return self._loop.run_until_complete(work)

    async def session(self, login: Login) -> Session:
        """Return the login's session of this run, with the access token that an earlier run kept for it.

        Raises `AuthenticationError` for a login that this run was refused already, without asking again.
        """
        name = login.connection.connection_id
        if name in self._refused:
            raise self._refused[name]
        if name not in self._sessions:
            token = connections.kept_token(login)
            broker = await self._stack.enter_async_context(connect(login.credentials, login.config, token))
            self._sessions[name] = Session(login, broker)
        return self._sessions[name]

    def opened(self, name: str) -> Session:
        """Return the session of a connection that this run has opened."""
        return self._sessions[name]

    def refuse(self, login: Login, store: Warehouse, error: AuthenticationError) -> None:
        """Remember that the broker refused this login: nobody tries it again until it changes."""
        self._refused[login.connection.connection_id] = error
        connections.mark_refused(store, login, error)

    def was_refused(self, connection: Connection) -> bool:
        """Say whether this run was the one that was refused."""
        return connection.connection_id in self._refused

    def put_off(self, failures: Iterable[tuple[str, TastyError]]) -> None:
        """Remember what failed in a step that succeeds all the same: the steps of the run after it fail of that."""
        self._put_off += failures

    def put_off_failures(self) -> list[tuple[str, TastyError]]:
        """Return what earlier steps of this run left to the later ones to fail of."""
        return list(self._put_off)

    def limits(self) -> dict[str, float]:
        """Return the limits of one login."""
        return {
            "requests_per_second": self.requests_per_second,
            "in_flight": self.in_flight,
            "timeout_seconds": self.timeout_seconds,
            "retry_budget_seconds": self.retry_budget_seconds,
        }

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["BrokerResource"]:
        """Open sessions on the loop that the run's assets use, and close them there."""
        shared = context.event_loop
        self._loop = shared or asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._sessions, self._refused, self._put_off = {}, {}, []
        try:
            yield self
        finally:
            self.run(self._stack.aclose())
            if shared is None:
                self._loop.close()
