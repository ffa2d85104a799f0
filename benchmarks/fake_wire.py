"""The protocol of the fake API: HTTP/1.1 with kept connections, and the pause before each answer.

As little as the clients need, so that the server is not what is measured: a page of two megabytes costs it about a
millisecond. What is answered belongs to `fake_api.py`.
"""

import asyncio
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import parse_qsl, unquote, urlsplit

Pieces = Sequence[bytes | memoryview]
Query = dict[str, str]
_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 429: b"Too Many Requests"}
_SEND_BUFFER = 4 << 20  # a page of 2,000 rows fits: it leaves in one call


@dataclass
class Settings:
    """`latency` in seconds, `rate` in requests a second (0: no limit)."""

    latency: float = 0.0
    rate: float = 0.0


@dataclass
class Counts:
    """What was asked and sent since the last reset; `/bench/` does not count."""

    requests: int = 0
    throttled: int = 0
    bytes: int = 0
    most_at_once: int = 0
    at_once: int = 0


class Answering(Protocol):
    """What answers: `ask` below the API's paths, `tell` below `/bench/`; each gives status and body."""

    settings: Settings
    counts: Counts

    def ask(self, path: str, query: Query) -> tuple[int, Pieces]:
        """A client's question."""
        ...

    def tell(self, path: str, query: Query) -> tuple[int, Pieces]:
        """What the benchmark wants."""
        ...


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, answered in order, kept alive."""

    def __init__(self, api: Answering) -> None:
        self._api = api
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make room for a whole page."""
        self._transport = cast("asyncio.Transport", transport)
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _content_length(head)
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            target = head.split(b" ", 2)[1].decode("ascii")
            self._take(target)

    def _take(self, target: str) -> None:
        parts = urlsplit(target)
        path, query = unquote(parts.path), dict(parse_qsl(parts.query))
        if path.startswith("/bench/"):
            self._send(*self._api.tell(path, query))
            return
        counts = self._api.counts
        counts.requests += 1
        counts.at_once += 1
        counts.most_at_once = max(counts.most_at_once, counts.at_once)
        if self._api.settings.latency:
            asyncio.get_running_loop().call_later(self._api.settings.latency, self._serve, path, query)
        else:
            self._serve(path, query)

    def _serve(self, path: str, query: dict[str, str]) -> None:
        counts = self._api.counts
        counts.at_once -= 1
        status, pieces = self._api.ask(path, query)
        counts.bytes += self._send(status, pieces)

    def _send(self, status: int, pieces: Pieces) -> int:
        length = sum(map(len, pieces))
        head = b"HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % (status, _REASONS[status], length))
        for piece in pieces:
            self._transport.write(piece)
        return length


def _content_length(head: bytes) -> int:
    low = head.lower()
    place = low.find(b"\r\ncontent-length:")
    return int(low[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0


async def serve(api: Answering, port: int) -> None:
    """Answer until the process is told to end; says its address on the first line of the standard output."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(api), "127.0.0.1", port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
