"""A range of days is read whole, whatever happens to the rows meanwhile."""

import json
import random
from datetime import date, timedelta
from typing import Any

import pytest

from tasty_pipeline.core.errors import IncompleteAnswerError
from tasty_pipeline.simulator import Fault, Simulator

from .brokerage import (
    BUSY,
    FIRST,
    LAST,
    MANY,
    START,
    Config,
    Row,
    broker_of,
    judged,
    reads,
    simulated,
    truth,
    within,
)

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["insert", "remove", "redate"])
async def test_drift_between_pages_is_harmless(mode: str, config: Config) -> None:
    with simulated(**BUSY) as (simulator, account):
        simulator.brokerage.faults.add(Fault("page_drift", path="transactions", times=3, mode=mode))
        async with broker_of(simulator, config) as broker:
            read = await broker.transactions(account, date(2026, 2, 16), date(2026, 2, 20))
            assert within(read) == truth(simulator, account)


def _days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


class Meddler:
    """Changes the ledger before chosen reads and remembers what was there all the time."""

    def __init__(self, simulator: Simulator, account: str, seed: int, *, before_reads: set[int]) -> None:
        self.simulator, self.account = simulator, account
        self.random = random.Random(seed)  # noqa: S311
        self.before_reads = before_reads
        self.read = 0
        self.touched: set[int] = set()
        self.at_start = truth(simulator, account)
        self.seen: list[Row] = list(self.at_start.values())
        simulator.brokerage.read_served = self.meddle  # type: ignore[method-assign]

    def meddle(self, account: str, _: str) -> None:
        self.read += 1
        if self.read in self.before_reads:
            for _ in range(self.random.randint(1, 3)):
                self._once(account)
            now = self.simulator.brokerage.archive(account).by_id
            changed = [row for id_, row in now.items() if id_ in self.touched or id_ not in self.at_start]
            self.seen += judged(json.loads(row.json()) for row in changed).values()

    def _once(self, account: str) -> None:
        brokerage, choose = self.simulator.brokerage, self.random
        victim = choose.choice(sorted(brokerage.archive(account).by_id))
        act = choose.choice(["trade", "late", "remove", "redate", "redate", "restate"])
        if act == "trade":
            brokerage.trade(account, n=choose.randint(1, 3))
        elif act == "late":
            brokerage.book_late(account, choose.randint(1, 30))
        else:
            self.touched.add(victim)
            if act == "remove":
                brokerage.remove(victim)
            elif act == "redate":
                brokerage.redate(victim, choose.choice(_days(START, 46)))
            else:
                brokerage.restate(victim, description=f"restated {self.read}")


@pytest.mark.parametrize("settings", [MANY, BUSY], ids=["windows", "pages"])
@pytest.mark.parametrize("seed", range(3))
async def test_rows_that_were_there_all_the_time_survive_any_drift(
    seed: int, settings: dict[str, Any], config: Config
) -> None:
    with simulated(**settings) as (simulator, account):
        choose = random.Random(seed)  # noqa: S311
        meddler = Meddler(simulator, account, seed, before_reads={choose.randint(2, 9) for _ in range(3)})
        async with broker_of(simulator, config, in_flight=choose.choice([1, 4])) as broker:
            read = within(await broker.transactions(account, FIRST, max(LAST, date(2026, 2, 20))))
            for id_, row in meddler.at_start.items():
                if id_ not in meddler.touched:
                    assert read[id_] == row
            for id_ in meddler.touched & set(truth(simulator, account)):
                assert id_ in read
            assert all(
                row in meddler.seen for row in read.values() if row != meddler.at_start.get(row["transaction_id"])
            )
            again = await broker.transactions(account, FIRST, date(2026, 2, 20))
            assert within(again) == truth(simulator, account)


@pytest.mark.parametrize("at_read", [3, 6], ids=["first-pass", "second-pass"])
async def test_a_row_that_moves_while_others_come_and_go_is_not_lost(at_read: int, config: Config) -> None:
    """The case that counting cannot see: one row missed, one withdrawn row kept, one new row makes up the number."""
    with simulated(**MANY) as (simulator, account):
        rows = sorted(truth(simulator, account).values(), key=lambda row: row["transaction_date"])
        moved, withdrawn = rows[-40]["transaction_id"], rows[10]["transaction_id"]
        brokerage = simulator.brokerage
        seen: list[str] = []

        def meddle(_: str, __: str) -> None:
            seen.append("read")
            if len(seen) == at_read:  # between the two windows: one is read, the other is not
                brokerage.redate(moved, START)
                brokerage.remove(withdrawn)
                brokerage.trade(account)

        brokerage.read_served = meddle  # type: ignore[method-assign]
        async with broker_of(simulator, config, in_flight=1) as broker:
            found = await broker.transactions(account, FIRST, LAST)
            read = within(found)
            assert len(found.windows) == 2
            assert read == truth(simulator, account)
            assert moved in read
            assert withdrawn not in read


async def test_an_account_that_trades_on_all_the_time_is_read_in_two_passes(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        before = truth(simulator, account)
        simulator.brokerage.trade_every_request(1)
        async with broker_of(simulator, config, in_flight=1) as broker:  # one after the other: the counts come in time
            read = await broker.transactions(account, FIRST, LAST)
        # the whole and a day; two passes, and a count before and after the second
        assert reads(simulator) == 2 + 2 * len(read.windows) + 2
        assert before.items() <= within(read).items() <= truth(simulator, account).items()


async def test_a_busy_day_that_goes_on_is_read_too(config: Config) -> None:
    with simulated(**BUSY) as (simulator, account):
        before = truth(simulator, account)
        simulator.brokerage.trade_every_request(1)
        async with broker_of(simulator, config) as broker:
            read = within(await broker.transactions(account, date(2026, 2, 16), date(2026, 2, 20)))
        assert before.items() <= read.items() <= truth(simulator, account).items()


async def test_a_history_that_never_holds_still_is_not_proven(config: Config) -> None:
    with simulated(**MANY) as (simulator, account):
        victim = min(truth(simulator, account))
        simulator.brokerage.read_served = lambda *_: simulator.brokerage.restate(  # type: ignore[method-assign]
            victim, description=f"restated {len(simulator.requests)}"
        )
        async with broker_of(simulator, config) as broker:
            with pytest.raises(IncompleteAnswerError) as caught:
                await broker.transactions(account, FIRST, LAST)
        text = str(caught.value)
        assert account in text
        assert "from 2026-01-05 to 2026-02-20" in text
        assert "distinct rows against a total of" in text
        assert "the old rows stay" in text
        assert reads(simulator) < 60
