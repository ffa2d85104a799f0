"""Readers who turn pages over HTTP, all at once, and how long each page took them.

Here belongs the load and its figures; what is read, and from which server, belongs to `readers.py`.
"""

import http.client
import itertools
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

ANSWERED = 200
Pages = Mapping[str, Callable[["Reader"], str]]


@dataclass(frozen=True)
class Reader:
    """One logged-in user: the session's cookie, the account whose number alone may stand in the pages, a place to go.

    `middle` is how an address names the middle of the account's history.
    """

    cookie: str
    account: str
    middle: str


@dataclass
class Measured:
    """Seconds of each page's answers, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


def read(port: int, readers: Sequence[Reader], pages: Pages, seconds: float, pause: float) -> Measured:
    """Let all readers turn pages for so long, each with a pause of this length (on average) after every answer."""
    measured, begin = Measured(), threading.Barrier(len(readers))
    turning = [
        threading.Thread(target=_turn_pages, args=(port, number, reader, pages, seconds, pause, begin, measured))
        for number, reader in enumerate(readers)
    ]
    for thread in turning:
        thread.start()
    for thread in turning:
        thread.join()
    return measured


def _turn_pages(
    port: int,
    number: int,
    reader: Reader,
    pages: Pages,
    seconds: float,
    pause: float,
    begin: threading.Barrier,
    measured: Measured,
) -> None:
    chance = random.Random(number)  # noqa: S311 - the same pauses in every run
    headers = {"Cookie": reader.cookie, "X-Forwarded-Proto": "https"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begin.wait()
    end = time.monotonic() + seconds
    time.sleep(chance.uniform(0, pause))
    for name, address in itertools.islice(itertools.cycle(pages.items()), number, None):
        if time.monotonic() >= end:
            break
        began = time.monotonic()
        try:
            connection.request("GET", address(reader), headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            measured.errors.append(f"{name}: {error!r}")
            connection.close()
            continue
        measured.seconds[name].append(time.monotonic() - began)
        if answer.status != ANSWERED or set(re.findall(r"9WT\d{5}", text)) != {reader.account}:
            measured.errors.append(f"{name}: {answer.status} {text[:200]!r}")
        time.sleep(chance.uniform(0, 2 * pause))
    connection.close()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(measured: Measured, seconds: float) -> list[str]:
    """Return the lines of a table: each page's answers a second and percentiles in milliseconds."""
    lines = [f"{'page':<24}{'answers':>9}{'a second':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}"]
    everything = [value for values in measured.seconds.values() for value in values]
    for name, values in [*measured.seconds.items(), ("all", everything)]:
        figures = "".join(f"{1000 * percentile(values, share):>9.0f}" for share in (0.5, 0.95, 0.99))
        lines.append(f"{name:<24}{len(values):>9}{len(values) / seconds:>10.1f}{figures}")
    return [*lines, f"errors: {len(measured.errors)}"]
