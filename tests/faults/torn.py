"""Torn reads: the pipeline publishes without pause, and no reader may see half of a publication.

Here belong who publishes and how the search runs; how a reader takes a snapshot and what a whole one holds is in
torn_readers.py. The publisher is the pipeline itself: real syncs of the simulator, whose books go from one generation
to the next in between. One publication brings an account's positions and balances, another one its transactions with
their proofs; the log and the change feed go with each.
"""

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from zoneinfo import ZoneInfo

from tasty_pipeline.core import sync
from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.sync import Run, Sync
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from . import PROCESSES
from . import torn_readers as readers
from .tally import Tally
from .torn_readers import STEADY, TOGGLED, Place, Way, Whole

_NOW = datetime(2026, 11, 20, 21, 0, tzinfo=ZoneInfo("America/New_York"))
_START, _TODAY = date(2026, 11, 18), date(2026, 11, 20)
_PRICE = 10
_SHOWN = 5  # torn snapshots of one reader
_CALM = 0.02  # seconds between two reads of one who has read enough: the publisher wants to get on


@dataclass(frozen=True)
class _Reader:
    """Who reads what, which share of all reads, and whether in a process of his own."""

    way: Way
    place: Place
    share: int
    apart: bool = True


@dataclass
class _Seen:
    """What one reader saw."""

    reads: int = 0
    generations: set[int] = field(default_factory=set)
    torn: list[str] = field(default_factory=list)


def search(*, seed: int, reads: int, database: str, folder: Path, generations: int = 20) -> Tally:
    """Take at least so many snapshots, until every reader has seen at least so many generations.

    `folder` is for a DuckDB warehouse's published copy. On Postgres every reader has a process of his own. On DuckDB
    some share the publisher's, others read the copy; then, in a second round, some contend for the file itself.
    """
    kind = "DuckDB" if database.startswith("duckdb") else "Postgres"
    tally = Tally(f"no snapshot is torn, {kind}", seed=seed)
    copy = folder / "published.duckdb" if kind == "DuckDB" else None
    with serve(
        SimulatorConfig(seed=seed, now=_NOW, start=_START, accounts=1, trades_per_day=0, further_logins=())
    ) as sim:
        books = _Books(sim)
        publisher = _Publisher(sim, books, open_warehouse(database), copy)
        publisher.begin()
        rounds = _on_postgres(database) if copy is None else _on_duckdb(database, copy)
        for each in rounds:
            _round(tally, publisher, each, reads, generations)
    return tally


def _on_postgres(url: str) -> list[list[_Reader]]:
    return [
        [
            _Reader(readers.one_statement, url, 80),
            _Reader(readers.repeatable_read, url, 17),
            _Reader(readers.application, url, 2),
            _Reader(readers.own_reader, url, 1),
        ]
    ]


def _on_duckdb(url: str, copy: Path) -> list[list[_Reader]]:
    file = Path(url.removeprefix("duckdb:///"))
    beside = [
        _Reader(readers.beside_statement, file, 60, apart=False),
        _Reader(readers.beside_transaction, file, 30, apart=False),
        _Reader(readers.own_reader, url, 5, apart=False),
        _Reader(readers.copied, copy, 4),
    ]
    return [beside, [_Reader(readers.own_reader, url, 1)]]


def _round(tally: Tally, publisher: "_Publisher", chosen: list[_Reader], reads: int, generations: int) -> None:
    with ExitStack() as stack:
        begun = [stack.enter_context(_begun(each, publisher.books.whole, reads, generations)) for each in chosen]
        # a reader's pipe has something in it when he has ended, in whatever way
        publisher.without_pause(lambda: all(pipe.poll() for pipe in begun))
        for each, pipe in zip(chosen, begun, strict=True):
            name = each.way.__name__
            try:
                seen: _Seen | str = pipe.recv()
            except EOFError:
                seen = "ended without a word"
            if isinstance(seen, str):
                tally.broken.append(f"{name}: {seen}")
                continue
            tally.tried += seen.reads
            tally.notes[f"reads {name}"] += seen.reads
            tally.notes[f"generations {name}"] += len(seen.generations)
            tally.broken += [f"{name}: {line}" for line in seen.torn]
    tally.notes["generations published"] = publisher.generation + 1


def _begun(reader: _Reader, whole: Whole, reads: int, generations: int) -> Connection:
    ours, theirs = PROCESSES.Pipe(duplex=False)
    arguments = (reader, whole, max(reads * reader.share // 100, 1), generations, theirs)
    if reader.apart:
        PROCESSES.Process(target=_read, args=arguments, daemon=True).start()
        theirs.close()
    else:
        threading.Thread(target=_read, args=arguments, daemon=True).start()
    return ours


def _read(reader: _Reader, whole: Whole, reads: int, generations: int, answer: Connection) -> None:
    """Take so many snapshots, and more until so many generations were among them; say what was seen."""
    seen = _Seen()
    try:
        for snapshot in reader.way(reader.place, whole.account):
            seen.reads += 1
            seen.generations.add(int(snapshot.positions_read))
            torn = whole.torn(snapshot)
            if torn and len(seen.torn) < _SHOWN:
                seen.torn.append(torn)
            if seen.reads >= reads:
                if len(seen.generations) >= generations or _is_left_alone():
                    break
                time.sleep(_CALM)
    except Exception as error:  # noqa: BLE001 - whatever ends a reader is told
        answer.send(f"after {seen.reads} reads: {error!r}")
    else:
        answer.send(seen)
    finally:
        answer.close()


def _is_left_alone() -> bool:
    publisher = multiprocessing.parent_process()
    return publisher is not None and not publisher.is_alive()


class _Books:
    """The simulator's books, which can be put into any generation; every row of them differs in each."""

    def __init__(self, sim: Simulator) -> None:
        self._brokerage = sim.brokerage
        (account,) = (each["account-number"] for each in self._brokerage.accounts())
        self._archive = self._brokerage.archive(account)
        (self._deposit,) = (row.id for row in self._archive.rows)
        self._trades = [self._brokerage.trade(account, symbol=symbol)[0] for symbol in STEADY]
        self._toggled = self._archive.by_id[self._brokerage.trade(account, symbol=TOGGLED)[0]]
        self.whole = Whole(account, Decimal(0), Decimal(0), Decimal(0))
        first, second, third = (self._cash(generation) for generation in range(3))
        step = (third - first) / 2
        self.whole = Whole(account, first, step, second - first - step)

    def _cash(self, generation: int) -> Decimal:
        """Turn to a generation; return its cash, in which all else is contained."""
        brokerage, archive = self._brokerage, self._archive
        with brokerage.lock:
            brokerage.restate(self._deposit, value=1_000_000 + generation)
            for trade in self._trades:
                brokerage.restate(trade, quantity=generation + 1, value=-_PRICE * (generation + 1))
            if generation % 2 and self._toggled.id not in archive.by_id:
                archive.add([self._toggled])
            elif not generation % 2 and self._toggled.id in archive.by_id:
                archive.discard(self._toggled)
            return Decimal(brokerage.balances(self.whole.account)["cash-balance"])

    def turn(self, generation: int) -> None:
        """Go to a generation; raises where it is not what readers take for whole."""
        cash = self._cash(generation)
        if cash != self.whole.cash(generation):
            raise AssertionError(f"the ledger of generation {generation} has {cash}")


class _Publisher:
    """The pipeline, one sync after the other, each with the next generation of the books."""

    def __init__(self, sim: Simulator, books: _Books, warehouse: Warehouse, copy: Path | None) -> None:
        self._sim = sim
        self.books = books
        self._warehouse = warehouse
        self._copy = copy
        self.generation = 0

    def begin(self) -> None:
        """Publish generation 0."""
        self.books.turn(0)
        self._connected(self._first)

    def without_pause(self, is_over: Callable[[], bool]) -> None:
        """Publish generation after generation until it is over."""

        async def publish(work: Sync) -> None:
            while not is_over():
                self.generation += 1
                self.books.turn(self.generation)
                await self._published(work)

        self._connected(publish)

    async def _first(self, work: Sync) -> None:
        await sync.sync_accounts(self._of(work, 0))
        await self._published(work)

    async def _published(self, work: Sync) -> None:
        now = self._of(work, self.generation)
        await sync.sync_portfolio(now, self.books.whole.account)
        await sync.sync_transactions(now, self.books.whole.account, _START, _TODAY)
        if self._copy is not None:
            self._warehouse.publish_copy(self._copy)

    def _of(self, work: Sync, generation: int) -> Sync:
        run = Run(run_id=readers.name(generation), environment="simulator", history_start=_START, now=lambda: _NOW)
        return Sync(broker=work.broker, warehouse=work.warehouse, run=run)

    def _connected(self, work: Callable[[Sync], Awaitable[None]]) -> None:
        async def connected() -> None:
            sim = self._sim
            config = BrokerConfig(url=sim.url, requests_per_second=5000.0)
            async with connect(Credentials(sim.client_secret, sim.refresh_token), config) as broker:
                run = Run(run_id="", environment="simulator", history_start=_START)
                await work(Sync(broker=broker, warehouse=self._warehouse, run=run))

        asyncio.run(connected())
