"""Running the brokerage behind a real HTTP server, in a thread of this process.

What the server answers belongs to ``server``; the command line to ``__main__``.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from tasty_pipeline.simulator import control
from tasty_pipeline.simulator.brokerage import Brokerage
from tasty_pipeline.simulator.config import CLIENT_SECRET, REFRESH_TOKEN, SimulatorConfig
from tasty_pipeline.simulator.journal import Journal
from tasty_pipeline.simulator.server import Application

_STOP_TIMEOUT = 10.0
_TICK = 0.02


class _Server(uvicorn.Server):
    """The server, looking more often than ten times a second whether it is to stop: tests start many."""

    async def main_loop(self) -> None:
        # The flag that ends this is set by another thread: there is no event to await.
        while not await self.on_tick(0):  # noqa: ASYNC110
            await asyncio.sleep(_TICK)


class Simulator:
    """A running brokerage: where it is, how to log in, what was asked of it, and the ledger behind it."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.brokerage = _opened(config)
        self.client_secret = CLIENT_SECRET
        self.refresh_token = REFRESH_TOKEN
        #: The refresh token of each login by name; the one above is that of `default`.
        self.logins = {login.name: login.refresh_token for login in config.logins.values()}
        self.url = ""
        self._connections: dict[Any, asyncio.Transport] = {}
        self._application = Application(self.brokerage, self._abort)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server: uvicorn.Server | None = None

    @property
    def requests(self) -> list[tuple[str, str, str]]:
        """All requests served so far: method, path, query string. Control requests are not among them."""
        return self._application.requests

    def start(self) -> None:
        """Listen, and return when requests are answered. Raises ``OSError`` if the port is taken."""
        listener = socket.create_server((self.config.host, self.config.port))
        host, port = listener.getsockname()[:2]
        self.url = f"http://{host}:{port}"
        settings = uvicorn.Config(
            self._application, http=self._protocol(), log_config=None, access_log=False, log_level="error",
            timeout_graceful_shutdown=1, ws="none",
        )  # fmt: skip
        self._server = _Server(settings)
        self._run(self._serve, listener)
        if self.config.live_trade_interval:
            self._run(self._trade_on, self.config.live_trade_interval)

    def _run(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True, name="simulator")
        thread.start()
        self._threads.append(thread)

    def _serve(self, listener: socket.socket) -> None:
        if self._server is not None:
            self._server.run(sockets=[listener])
        listener.close()

    def _trade_on(self, interval: float) -> None:
        while not self._stop.wait(interval):
            self.brokerage.trade()

    def wait(self) -> None:
        """Block until ``request_stop`` is called, by a signal handler or another thread."""
        self._stop.wait()

    def request_stop(self) -> None:
        """Let ``wait`` return."""
        self._stop.set()

    def stop(self) -> None:
        """Stop trading and listening; returns when both have ended."""
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT)

    def _protocol(self) -> type[H11Protocol]:
        connections = self._connections

        class Protocol(H11Protocol):
            """HTTP/1.1 that remembers its connections, so that a fault can kill one."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                connections[transport.get_extra_info("peername")[:2]] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                connections.pop(self.transport.get_extra_info("peername")[:2], None)
                super().connection_lost(exc)

        return Protocol

    async def _abort(self, scope: Scope) -> None:
        """Kill the connection of a request without a word."""
        transport = self._connections.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()
        # The server learns of it in the next turn of the loop; before that it would still send an error page.
        await asyncio.sleep(0.01)


def _opened(config: SimulatorConfig) -> Brokerage:
    entries = Journal(config.journal).entries()
    if not entries:
        return Brokerage(config)
    # what was done by hand changes what the trader did afterwards: open the books as they stood at the first entry
    first = datetime.fromisoformat(entries[0]["now"])
    brokerage = Brokerage(replace(config, now=first if config.now is None else min(first, config.now)))
    control.redo(brokerage, entries, config.now)
    return brokerage


@contextmanager
def serve(config: SimulatorConfig | None = None) -> Iterator[Simulator]:
    """Run a brokerage while the block lasts: ready on entry, stopped and its port free on exit."""
    simulator = Simulator(config or SimulatorConfig())
    simulator.start()
    try:
        yield simulator
    finally:
        simulator.stop()
