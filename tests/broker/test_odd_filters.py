"""Servers whose filter or paging is broken: the read is whole or refused, never silently short."""

import random
from collections.abc import Callable, Iterable
from datetime import date, timedelta

import pytest

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.broker import BrokerConfig, Credentials, ProvenRead, connect
from tasty_pipeline.core.errors import IncompleteAnswerError

from .brokerage import judged, typed
from .ledger import Row, transaction
from .loopback import Answer, Asked, data, loopback

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]
FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)
PAGE = 20  # rows: a server may serve smaller pages than it is asked for


def history(rows: int, days: int = 360) -> list[Row]:
    return [transaction(n, FIRST + timedelta(days=n * days // rows)) for n in range(rows)]


def ids(read: ProvenRead) -> list[int]:
    """Return the ids of all rows of a read, each as often as it is there, in order."""
    assert read.rejected == ()
    return sorted(row["transaction_id"] for row in typed(read))


def between(rows: Iterable[Row], asked: Asked) -> list[Row]:
    return [row for row in rows if asked.query["start-date"] <= row["transaction-date"] <= asked.query["end-date"]]


def served(select: Callable[[Asked], list[Row]], page_rows: int = PAGE) -> Callable[[Asked], Answer]:
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
    rows = history(50)
    async with loopback(served(lambda _: rows)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.transactions("A1", FIRST, LAST)
        assert typed(read) == list(judged(rows).values())
        assert [window.pages for window in read.windows] == [3]
        assert read.receipts == ()
        assert len(server.asked) < 20


async def test_windows_that_lose_rows_of_the_range_are_not_believed(credentials: Credentials, config: Config) -> None:
    rows = history(25)
    lost = rows[12]["transaction-date"]
    whole: list[tuple[str, str]] = []

    def lossy(asked: Asked) -> list[Row]:
        bounds = (asked.query["start-date"], asked.query["end-date"])
        whole.append(bounds)
        # The very first question is the whole range; every smaller one loses the row of a day in summer.
        return [row for row in between(rows, asked) if bounds == whole[0] or row["transaction-date"] != lost]

    async with loopback(served(lossy)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.transactions("A1", FIRST, LAST)
        assert ids(read) == list(range(25))
        assert len(server.asked) < 40


async def test_a_server_with_smaller_pages_is_read_whole(credentials: Credentials, config: Config) -> None:
    rows = history(1200)
    async with (
        loopback(served(lambda asked: between(rows, asked), page_rows=250)) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        assert ids(await broker.transactions("A1", FIRST, LAST)) == list(range(1200))


async def test_pages_in_no_stable_order_are_refused(credentials: Credentials, config: Config) -> None:
    rows = history(50, days=1)
    mix = random.Random(5)  # noqa: S311

    def shuffled(asked: Asked) -> list[Row]:
        found = between(rows, asked)
        mix.shuffle(found)
        return found

    async with loopback(served(shuffled)) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(IncompleteAnswerError, match=r"contradicted itself 5 times, last with .* rows on two pages"):
            await broker.transactions("A1", FIRST, FIRST)


async def test_a_total_that_is_never_reached_is_refused(credentials: Credentials, config: Config) -> None:
    rows = history(30)

    def script(asked: Asked) -> Answer:
        if asked.query["per-page"] == "1":
            pagination = {"total-items": 31, "page-offset": 0, "per-page": 1, "current-item-count": 0}
            return data({"items": []}, pagination=pagination)
        return served(lambda asked: between(rows, asked))(asked)

    async with loopback(script) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(IncompleteAnswerError, match="30 distinct rows against a total of 31; 0 gone"):
            await broker.transactions("A1", FIRST, LAST)
        assert len(server.asked) < 60


@pytest.mark.parametrize("total", ["is far too high", "grows with every page"])
async def test_a_list_without_end_is_refused_after_a_few_pages(
    total: str, credentials: Credentials, config: Config
) -> None:
    """Each page has new rows, and the total always says that there are more."""

    def script(asked: Asked) -> Answer:
        first = int(asked.query["page-offset"]) * PAGE
        items = [transaction(first + n, FIRST) for n in range(PAGE)]
        more = 10**12 if total == "is far too high" else first + PAGE + 1
        pagination = {"total-items": more, "page-offset": first // PAGE, "per-page": PAGE}
        return data({"items": items}, pagination=pagination | {"current-item-count": PAGE})

    async with loopback(script) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(IncompleteAnswerError, match="rows"):
            await broker.transactions("A1", FIRST, FIRST)
        assert len(server.asked) < 60


async def test_identical_fills_are_all_kept(credentials: Credentials, config: Config) -> None:
    fill = {"order-id": 7, "price": "1.5", "quantity": "1"}
    rows = [transaction(n, "2025-03-03", **fill) for n in range(40)]
    async with loopback(served(lambda _: rows, 2000)) as server, connect(credentials, config(server.url)) as broker:
        assert typed(await broker.transactions("A1", FIRST, LAST)) == list(judged(rows).values())


@pytest.mark.parametrize("pages", ["one", "windows", "a day of many"])
async def test_rows_that_do_not_fit_are_all_rejected_once_and_counted(
    pages: str, credentials: Credentials, config: Config
) -> None:
    rows = history(30, days=1 if pages == "a day of many" else 360)
    for row in rows[::3]:
        row["net-value"] = "odd"
    for row in rows[4:6]:
        row["description"] = f"was {row.pop('id')}"
    page_rows = 2000 if pages == "one" else PAGE
    script = served(lambda asked: between(rows, asked), page_rows)
    async with loopback(script) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.transactions("A1", FIRST, LAST)
    good = judged(row for row in rows if row["net-value"] != "odd" and "id" in row)
    assert {row["transaction_id"]: row for row in typed(read)} == good
    assert len(typed(read)) + len(read.rejected) == 30
    bad = [row for row in rows if row.get("id") not in good]
    assert sorted((dict(each.payload) for each in read.rejected), key=repr) == sorted(bad, key=repr)


async def test_snapshots_of_many_years_are_read_in_windows_without_the_current_balance(
    credentials: Credentials, config: Config
) -> None:
    days = [FIRST - timedelta(days=n) for n in range(300)]
    kept = {time: [snapshot(day, time) for day in sorted(days)] for time in ("BOD", "EOD")}

    def select(asked: Asked) -> list[Row]:
        found = [
            row
            for row in kept[asked.query["time-of-day"]]
            if asked.query["start-date"] <= row["snapshot-date"] <= asked.query["end-date"]
        ]
        current = {"account-number": "A1", "currency": "USD", "snapshot-date": str(FIRST), "cash-balance": "1.0"}
        current |= {"updated-at": f"{FIRST}T15:00:00.000+00:00"}
        return [*found, current] if asked.query["end-date"] >= str(FIRST) else found

    async with loopback(served(select, 200)) as server, connect(credentials, config(server.url)) as broker:
        read = await broker.snapshots("A1", min(days), FIRST)
        expected = payloads.parse(schema.balance_snapshots, kept["BOD"] + kept["EOD"]).rows
        assert sorted(typed(read), key=repr) == sorted(expected, key=repr)
        assert {day: rows for day, (rows, _) in read.days.items()} == dict.fromkeys(days, 2)
        assert read.rejected == ()
        assert {window.time_of_day for window in read.windows} == {"BOD", "EOD"}
        assert len(read.windows) > 2
        assert all("sort" not in asked.query for asked in server.asked)
        small = await broker.snapshots("A1", FIRST, FIRST)
        assert sorted(window.total for window in small.windows) == [9, 9]
        assert len(typed(small)) == 16


def snapshot(day: date, time_of_day: str) -> Row:
    shared = {"account-number": "A1", "currency": "USD", "cash-balance": "1.0", "cash-balance-effect": "Credit"}
    return shared | {"snapshot-date": str(day), "time-of-day": time_of_day}
