"""A small real HTTP server on loopback that answers whatever a test wants, however wrong.

Here belongs what no honest server does; honest answers come from the simulator.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = {"access_token": "access-token-1", "token_type": "Bearer", "expires_in": 900}


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What is sent.

    `cut` sends only so many bytes of the body and closes; `hang` never ends; `trickle` neither, byte by byte;
    `drop` sends nothing.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hang: bool = False
    trickle: bool = False
    drop: bool = False


def data(content: Any, status: int = 200, **more: Any) -> Answer:
    return Answer(json.dumps({"data": content, **more}).encode(), status, {"Content-Type": "application/json"})


def error(status: int, code: str, message: str) -> Answer:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Answer(body, status, {"Content-Type": "application/json"})


def oauth(status: int, code: str, text: str) -> Answer:
    return Answer(json.dumps({"error_code": code, "error_description": text}).encode(), status)


def token(value: str, lifetime: int = 900) -> Answer:
    return Answer(json.dumps({"access_token": value, "token_type": "Bearer", "expires_in": lifetime}).encode())


HTML = b"<html><body><h1>Down for maintenance</h1></body></html>"
NO_POSITIONS = data({"items": []})
Script = Callable[[Asked], Answer | Awaitable[Answer]]


@dataclass
class Loopback:
    """Answers of a path in order, the last one for ever. Logins succeed unless told otherwise."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    script: Script | None = None
    asked: list[Asked] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    open_now: int = 0
    open_most: int = 0
    url: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_asked_for(self, path: str) -> None:
        while not self.count(path):
            self.news.clear()
            await self.news.wait()

    def paths(self) -> list[str]:
        return [each.path for each in self.asked]

    def count(self, path: str) -> int:
        return self.paths().count(path)

    async def answer(self, asked: Asked) -> Answer:
        if asked.path in self.answers:
            waiting = self.answers[asked.path]
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if asked.path == "/tls":
            return Answer(status=400, body=b"Bad Request", cut=11)
        if asked.path.endswith("/oauth/token"):
            return Answer(json.dumps(TOKEN).encode())
        if self.script is not None:
            found = self.script(asked)
            return found if isinstance(found, Answer) else await found
        return NO_POSITIONS

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await _request(reader):
                self.asked.append(asked)
                self.news.set()
                self.at.append(asyncio.get_running_loop().time())
                self.open_now += 1
                self.open_most = max(self.open_most, self.open_now)
                try:
                    answer = await self.answer(asked)
                finally:
                    self.open_now -= 1
                if not await _send(writer, answer):
                    break
            writer.close()
            await writer.wait_closed()
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = (await reader.readexactly(1)).decode("latin-1")
        if head == "\x16":  # a TLS handshake, which a server without TLS takes for a bad request
            return Asked("", "/tls", {}, {}, b"")
        head += (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    return Asked(method, parts.path, {k: v[-1] for k, v in parse_qs(parts.query).items()}, headers, body)


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    if answer.drop:
        return False
    framing = {"Transfer-Encoding": "chunked"} if answer.trickle else {"Content-Length": str(len(answer.body))}
    headers = framing | answer.headers
    head = f"HTTP/1.1 {answer.status} Said\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n"
    writer.write(head.encode("latin-1") + answer.body[: answer.cut])
    await writer.drain()
    while answer.trickle:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.02)
    if answer.hang:
        await asyncio.Event().wait()
    return answer.cut is None


@contextlib.asynccontextmanager
async def loopback(script: Script | None = None, **answers: list[Answer]) -> AsyncIterator[Loopback]:
    """The server; `answers` by path go into `Loopback.answers` afterwards, `token` and `positions` have names."""
    names = {"token": "/oauth/token", "accounts": "/customers/me/accounts", "positions": "/accounts/A1/positions"}
    names |= {"transactions": "/accounts/A1/transactions", "balances": "/accounts/A1/balances"}
    state = Loopback({names[name]: list(some) for name, some in answers.items()}, script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await state.handle(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
