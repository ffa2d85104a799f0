"""One trial: a warehouse that was published, answers of the API that something is wrong with, and what came of it.

Here belongs what `bad_answers.py` and `drift_of_contract.py` share: the brokerage, the copies of the warehouse, the run
of each sync by itself, and the run that mends. Which answers are wrong, and how that is judged, belongs to those two.
"""

import asyncio
import random
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import duckdb
import psycopg
import sqlalchemy as sa
from sync.ledger import stored

from tasty_pipeline.core import audits, schema, sync
from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.digests import canonical_json
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import Run, Sync
from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, Warehouse, open_warehouse
from tasty_pipeline.simulator import Fault, Simulator
from tasty_pipeline.simulator.answers import Answer

from . import oracle, runs
from .rows_said import Row, Rows, by_key, flat
from .runs import PARTS

NOW = datetime(2026, 11, 20, 21, 0, tzinfo=ZoneInfo("America/New_York"))  # a Friday
START, TODAY = date(2026, 10, 26), date(2026, 11, 20)
LOOKBACK = TODAY - timedelta(days=9)
HIT = "5WT00701"  # the account whose answers go bad; the other one is left alone
HANGS = 60  # seconds
ASKS_FOR_EVER = 800  # requests
SETTINGS = {"now": NOW, "start": START, "accounts": 2, "trades_per_day": 2.0}

T = TypeVar("T")


@dataclass
class Heard:
    """What the API would have answered, and what it answered instead."""

    pairs: list[tuple[Answer, Answer]] = field(default_factory=list)

    @property
    def odd(self) -> list[Answer]:
        """The answers that were not what they would have been."""
        return [after for before, after in self.pairs if vars(before) != vars(after)]


@dataclass(frozen=True)
class Endpoint:
    """A question of the pipeline: how its requests are known, the sync that asks it and the table it is for."""

    path: str
    part: str
    table: str
    query: str | None = None


def hear(sim: Simulator, endpoint: Endpoint, kind: Any, times: int | None, after: int, **params: Any) -> Heard:
    """Let answers of an endpoint go bad, and listen."""
    heard = Heard()

    def before(answer: Answer, _: Row) -> Answer:
        heard.pairs.append((Answer(**vars(answer)), answer))
        return answer

    def afterwards(answer: Answer, _: Row) -> Answer:
        heard.pairs[-1] = (heard.pairs[-1][0], Answer(**vars(answer)))
        return answer

    for each, given in ((before, {}), (kind, params), (afterwards, {})):
        sim.brokerage.faults.add(Fault(each, endpoint.path, times, after, query=endpoint.query, **given))
    return heard


@dataclass
class Stage:
    """A brokerage whose books went on after the warehouse was published; copies of the warehouse as it was then."""

    sim: Simulator
    folder: Path
    server: str | None = None
    moves: bool = True  # whether rows were removed and moved as well
    healed: set[str] = field(default_factory=set)
    runs: int = 0

    def __post_init__(self) -> None:
        self._urls = {"empty": self._url("empty"), "published": self._url("published")}
        for url in self._urls.values():
            if self.server:
                self._admin(f"CREATE DATABASE {url.rpartition('/')[2]} TEMPLATE template0 STRATEGY file_copy")
            open_warehouse(url).migrate()
        published = open_warehouse(self._urls["published"])
        said = self.attempt(published, tuple(PARTS), start=START)
        said |= self.attempt(published, ("transactions", "snapshots"))  # so that these have been answered as they were
        if any(said.values()):
            raise AssertionError(f"nothing was wrong yet: {said}")
        self._go_on()

    def _go_on(self) -> None:
        """Book, restate, remove and move rows after the publication."""
        brokerage = self.sim.brokerage
        recent = [row for row in brokerage.archive(HIT).rows if row.transaction_date >= LOOKBACK]
        trades = [row for row in recent if row.type == "Trade"]
        brokerage.trade(HIT, n=2)
        brokerage.book_late(HIT, 4)
        brokerage.deposit(HIT, 1234)
        brokerage.restate(trades[0].id, value="4.56", description="restated")
        if self.moves:
            brokerage.redate(trades[1].id, START + timedelta(days=2))
            brokerage.remove(trades[2].id)

    def _url(self, name: str) -> str:
        if self.server:
            return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}_{uuid.uuid4().hex[:8]}"))
        return f"duckdb:///{self.folder / name}.duckdb"

    def _admin(self, statement: str) -> None:
        with psycopg.connect(str(self.server), autocommit=True) as admin:
            admin.execute(statement.encode())

    @contextmanager
    def opened(self, start: str) -> Iterator[Warehouse]:
        """A copy of the warehouse, empty or as it was published; DuckDB's file is kept open, which saves most time."""
        template, url = self._urls[start], self._url(f"copy-{start}".replace("-", "_"))
        with ExitStack() as stack:
            if self.server:
                name = url.rpartition("/")[2]
                self._admin(f"CREATE DATABASE {name} TEMPLATE {template.rpartition('/')[2]} STRATEGY file_copy")
                stack.callback(self._admin, f"DROP DATABASE {name} WITH (FORCE)")
            else:
                path = Path(url.removeprefix("duckdb:///"))
                shutil.copy(template.removeprefix("duckdb:///"), path)
                stack.callback(path.unlink)
                stack.enter_context(duckdb.connect(str(path), config=DUCKDB_CONFIG))
            yield open_warehouse(url, wait_seconds=10)

    def attempt(
        self,
        warehouse: Warehouse,
        parts: tuple[str, ...],
        *,
        start: date = LOOKBACK,
        timeout: float = 20.0,
    ) -> dict[str, str]:
        """Run syncs one after the other; what each one said where it failed, empty where it did not.

        What is no `TastyError`, a run that hangs and one that asks for ever begin with an exclamation mark.
        """
        self.runs += 1
        config = BrokerConfig(url=self.sim.url, **(runs.IMPATIENT | {"timeout_seconds": timeout}))
        run = Run(run_id=f"run-{self.runs}", environment="simulator", history_start=START, now=lambda: NOW)
        work: dict[str, Callable[[Sync], Any]] = {
            "accounts": sync.sync_accounts,
            "portfolio": lambda s: sync.sync_portfolio(s, HIT),
            "transactions": lambda s: sync.sync_transactions(s, HIT, start, TODAY),
            "snapshots": lambda s: sync.sync_snapshots(s, HIT, start, TODAY),
            "verify": lambda s: sync.verify_totals(s, HIT),
        }

        async def one(part: str, s: Sync) -> str:
            asked = len(self.sim.requests)
            try:
                async with asyncio.timeout(HANGS):
                    await work[part](s)
            except TastyError as error:
                said = f"{type(error).__name__}: {error}"
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what the search looks for
                said = f"!{type(error).__name__}: {error}"
            else:
                said = ""
            asked = len(self.sim.requests) - asked
            return said if asked < ASKS_FOR_EVER else f"!asked {asked} times: {said}"

        async def connected() -> dict[str, str]:
            async with connect(Credentials(self.sim.client_secret, self.sim.refresh_token), config) as broker:
                s = Sync(broker=broker, warehouse=warehouse, run=run)
                return {part: await one(part, s) for part in parts}

        return asyncio.run(connected())

    @cached_property
    def truth(self) -> dict[str, Rows]:
        """What the tables must hold, by key: the books have stood still since the stage was made."""
        kept = {
            name: [row for row in rows if name == "accounts" or row["account_number"] == HIT]
            for name, rows in oracle.expected(self.sim, START, TODAY).items()
        }
        return {name: by_key(name, rows) for name, rows in kept.items()}

    def held(self, warehouse: Warehouse, tables: Iterable[str]) -> dict[str, Rows]:
        """What tables hold of the account that is hit; the fields without a column are among the columns."""
        found = {}
        with warehouse.read() as reader:
            for name in tables:
                hit = [schema.MIRRORED[name].c.account_number == HIT] if name != "accounts" else []
                found[name] = by_key(name, [flat(row) for row in oracle.held(reader, name, *hit)])
        return found

    def heal(self, warehouse: Warehouse, parts: tuple[str, ...]) -> str:
        """Run the same syncs with nothing against them; say what is wrong then.

        From a state that was healed before it is not done again.
        """
        state = self._state(warehouse, parts)
        if state in self.healed:
            return ""
        said = self.attempt(warehouse, parts, start=START)
        if any(said.values()):
            return f"the run after it failed: {said}"
        tables = tables_of(parts)
        held = self.held(warehouse, tables)
        wrong = [f"{name} is not what the books have" for name in tables if held[name] != self.truth[name]]
        with warehouse.read() as reader:
            for table in (schema.MIRRORED[name] for name in tables):
                for ask in (audits.no_rejected_rows, audits.contract):
                    wrong += [] if ask(reader, table).passed else [f"{ask.__name__} of {table.name}"]
                if table.name in schema.DAY:
                    unlike = audits.complete(reader, table).sample
                    wrong += [f"{row['day']} of {table.name}" for row in unlike if row["account_number"] == HIT]
        if not wrong:
            self.healed.add(state)
        return "; ".join(wrong)

    def _state(self, warehouse: Warehouse, parts: tuple[str, ...]) -> str:
        """Everything that the next run goes by, but for when it was written and by whom."""
        tables = [schema.MIRRORED[name] for name in tables_of(parts)]
        tables += [schema.rejected_rows, schema.proven_days, schema.proven_windows, schema.connection_accounts]
        with warehouse.read() as reader:
            rows = [reader.rows(sa.select(table).order_by(*table.primary_key.columns)) for table in tables]
        return canonical_json([parts, *([stored(row) for row in some] for some in rows)])


def chosen(cases: Sequence[T], seed: int, count: int | None, only: Sequence[str]) -> list[T]:
    """All cases, or so many that are drawn with the seed and those that are named."""
    named = [case for case in cases if str(case) in only]
    if count is None:
        return named if only else [*cases]
    return named + random.Random(seed).sample(cases, min(count, len(cases)))  # noqa: S311 - no secret


def tables_of(parts: Iterable[str]) -> list[str]:
    """The tables that some syncs write."""
    return list(dict.fromkeys(table for part in parts for table in PARTS[part]))


def witness(part: str) -> str:
    """A sync that has nothing to do with another one, to show that it goes on."""
    return "snapshots" if part == "accounts" else "accounts"
