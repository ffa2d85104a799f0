"""Servers whose filter or paging is broken: the read is whole or refused, never silently short."""

import random
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import IncompleteAnswerError

from .loopback import Answer, Asked, data, loopback

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]
Row = dict[str, Any]
FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)


def history(rows: int, days: int = 360) -> list[Row]:
    return [
        {"id": n, "account-number": "A1", "transaction-date": str(FIRST + timedelta(days=n * days // rows))}
        for n in range(rows)
    ]


def between(rows: Iterable[Row], asked: Asked) -> list[Row]:
    return [row for row in rows if asked.query["start-date"] <= row["transaction-date"] <= asked.query["end-date"]]


def served(select: Callable[[Asked], list[Row]], page_rows: int = 2000) -> Callable[[Asked], Answer]:
    """A script that pages through what `select` lets through, `page_rows` at most."""

    def script(asked: Asked) -> Answer:
        rows = select(asked)
        size = min(int(asked.query["per-page"]), page_rows)
        offset = int(asked.query["page-offset"])
        items = rows[offset * size : (offset + 1) * size]
        pagination = {"total-items": len(rows), "page-offset": offset, "per-page": size}
        return data({"items": items}, pagination=pagination | {"current-item-count": len(items)})

    return script


async def test_a_filter_that_does_not_filter_is_read_by_pages(credentials: Credentials, config: Config) -> None:
    rows = history(5000)
    async with loopback(served(lambda _: rows)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.transactions("A1", FIRST, LAST)
        assert list(read.rows) == rows
        assert [window.pages for window in read.windows] == [3]
        assert len(server.asked) < 20


async def test_windows_that_lose_rows_of_the_range_are_not_believed(credentials: Credentials, config: Config) -> None:
    rows = history(2500)
    whole: list[tuple[str, str]] = []

    def lossy(asked: Asked) -> list[Row]:
        bounds = (asked.query["start-date"], asked.query["end-date"])
        whole.append(bounds)
        # The very first question is the whole range; every smaller one loses the rows of a day in summer.
        return [row for row in between(rows, asked) if bounds == whole[0] or row["transaction-date"] != "2025-07-01"]

    async with loopback(served(lossy)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.transactions("A1", FIRST, LAST)
        assert sorted(row["id"] for row in read.rows) == list(range(2500))
        assert len(server.asked) < 40


async def test_a_server_with_smaller_pages_is_read_whole(credentials: Credentials, config: Config) -> None:
    rows = history(1200)
    async with (
        loopback(served(lambda asked: between(rows, asked), page_rows=250)) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        read = await broker.transactions("A1", FIRST, LAST)
        assert sorted(row["id"] for row in read.rows) == list(range(1200))


async def test_pages_in_no_stable_order_are_refused(credentials: Credentials, config: Config) -> None:
    rows = history(2500, days=1)
    mix = random.Random(5)  # noqa: S311

    def shuffled(asked: Asked) -> list[Row]:
        found = between(rows, asked)
        mix.shuffle(found)
        return found

    async with loopback(served(shuffled)) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(IncompleteAnswerError, match=r"contradicted itself 5 times, last with .* rows on two pages"):
            await broker.transactions("A1", FIRST, FIRST)


async def test_a_total_that_is_never_reached_is_refused(credentials: Credentials, config: Config) -> None:
    rows = history(3000)

    def script(asked: Asked) -> Answer:
        if asked.query["per-page"] == "1":
            pagination = {"total-items": 3100, "page-offset": 0, "per-page": 1, "current-item-count": 0}
            return data({"items": []}, pagination=pagination)
        return served(lambda asked: between(rows, asked))(asked)

    async with loopback(script) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(IncompleteAnswerError, match="3000 distinct rows against a total of 3100; 0 gone"):
            await broker.transactions("A1", FIRST, LAST)
        assert len(server.asked) < 60


async def test_identical_fills_are_all_kept(credentials: Credentials, config: Config) -> None:
    fill = {"account-number": "A1", "transaction-date": "2025-03-03", "order-id": 7, "price": "1.5", "quantity": "1"}
    rows = [{"id": n, **fill} for n in range(40)]
    async with loopback(served(lambda _: rows)) as server, connect(credentials, config(server.url)) as broker:
        assert list((await broker.transactions("A1", FIRST, LAST)).rows) == rows


async def test_snapshots_of_many_years_are_read_in_windows_without_the_current_balance(
    credentials: Credentials, config: Config
) -> None:
    days = [FIRST - timedelta(days=n) for n in range(3000)]
    kept = {time: [snapshot(day, time) for day in sorted(days)] for time in ("BOD", "EOD")}

    def select(asked: Asked) -> list[Row]:
        found = [
            row
            for row in kept[asked.query["time-of-day"]]
            if asked.query["start-date"] <= row["snapshot-date"] <= asked.query["end-date"]
        ]
        current = {"account-number": "A1", "currency": "USD", "snapshot-date": str(FIRST), "cash-balance": "1.0"}
        return [*found, current] if asked.query["end-date"] >= str(FIRST) else found

    async with loopback(served(select)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.snapshots("A1", min(days), FIRST)
        assert sorted(read.rows, key=repr) == sorted(kept["BOD"] + kept["EOD"], key=repr)
        assert {window.time_of_day for window in read.windows} == {"BOD", "EOD"}
        assert len(read.windows) > 2
        assert all("sort" not in asked.query for asked in server.asked)
        small = await broker.snapshots("A1", FIRST, FIRST)
        assert sorted(window.total for window in small.windows) == [9, 9]
        assert len(small.rows) == 16


def snapshot(day: date, time_of_day: str) -> Row:
    shared = {"account-number": "A1", "currency": "USD", "cash-balance": "1.0"}
    return shared | {"snapshot-date": str(day), "time-of-day": time_of_day}
