"""What the books held when, and whether the tables hold something older than a published read must have seen.

Here belong the changes of the books while they are read, and the judgement; which runs read them is in at_once.py.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sync.ledger import row_of, stored

from tasty_pipeline.core import schema
from tasty_pipeline.core.tradingdays import new_york_day
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import Simulator

Row = dict[str, Any]

_REMOVED = 3  # within one round: more at once is stopped as no correction
_DAYS = 24
_FOREVER = datetime.max.replace(tzinfo=UTC)


# first and last day, beginning and end
_Reading = tuple[date, date, datetime, datetime]


@dataclass(frozen=True)
class _Version:
    """What the books held of something from one moment on, until another."""

    since: datetime
    held: Any
    until: datetime = _FOREVER


class Journal:
    """Changes the books while they are read, and writes down what they held when, from the history's start on."""

    def __init__(self, sim: Simulator, start: date) -> None:
        self.brokerage = sim.brokerage
        (self.account,) = (each["account-number"] for each in self.brokerage.accounts())
        self._start = start
        self._transactions: dict[int, list[_Version]] = {}
        self._portfolios: list[_Version] = []
        self._settled = datetime.min.replace(tzinfo=UTC)
        self.changes = 0
        self._note()

    def changing(self, chance: random.Random) -> "_Changing":
        """Within this, every few reads find changed books."""
        return _Changing(self, chance)

    # --- what the books hold

    def _note(self) -> None:
        books, now = self.brokerage, datetime.now(UTC)
        rows = {row["transaction_id"]: row for row in map(row_of, books.transactions(self.account))}
        rows = {key: row for key, row in rows.items() if row["transaction_date"] >= self._start}  # no others are kept
        for identifier in rows.keys() | self._transactions.keys():
            _add(self._transactions.setdefault(identifier, []), rows.get(identifier), now)
        positions = sorted((row_of(each) for each in books.positions(self.account)), key=str)
        _add(self._portfolios, (positions, row_of(books.balances(self.account), money=True)), now)

    def change(self, chance: random.Random, kind: str) -> None:
        """One change, and what the books hold then."""
        brokerage, account = self.brokerage, self.account
        with brokerage.lock:
            rows = brokerage.archive(account).rows
            row = chance.choice(rows[-20:]).id
            match kind:
                case "trade":
                    brokerage.trade(account, symbol=chance.choice(("SPY", "AAPL", "KO")))
                case "deposit":
                    brokerage.deposit(account, chance.randrange(1, 1000))
                case "late":
                    brokerage.book_late(account, chance.randrange(1, _DAYS))
                case "restate":
                    brokerage.restate(row, value=chance.randrange(-1000, 1000))
                case "redate":
                    brokerage.redate(row, rows[-1].transaction_date - timedelta(days=chance.randrange(_DAYS)))
                case "remove":
                    brokerage.remove(row)
            self.changes += 1
            self._note()

    # --- what the tables must hold

    def settle(self, at: datetime) -> None:
        """Forget what was before: since then everything was read again while nothing else happened."""
        self._settled = at
        for versions in (self._portfolios, *self._transactions.values()):
            versions[:] = [each for each in versions if each.until > at]

    def overwritten(self, warehouse: Warehouse) -> list[str]:
        """Say which rows are older than a published read that must have seen a newer state of them."""
        log, own = schema.sync_log, schema.sync_log.c.account_number == self.account
        began = log.c.read_started_at >= self._settled
        tables = (schema.transactions, schema.positions, schema.balances)
        with warehouse.read() as reader:
            reads = reader.rows(sa.select(log).where(own, log.c.result == "published", began))
            live = schema.transactions.c.removed_at.is_(None)
            found = [
                [stored(row) for row in reader.rows(sa.select(table).where(*([live] if table is tables[0] else [])))]
                for table in tables
            ]
        transactions, positions, balances = found
        with self.brokerage.lock:
            return self._judged(reads, transactions, positions, balances)

    def _judged(
        self, reads: Sequence[Row], transactions: Sequence[Row], positions: Sequence[Row], balances: Sequence[Row]
    ) -> list[str]:
        held = {row["transaction_id"]: row for row in transactions}
        windows = [
            (each["window_start"], self._end(each["window_end"]), each["read_started_at"], each["read_ended_at"])
            for each in reads
            if each["table_name"] == "transactions"
        ]
        stale = [self._stale(identifier, held.get(identifier), windows) for identifier in self._transactions]
        newest = max((each["read_started_at"] for each in reads if each["table_name"] == "positions"), default=None)
        # each by itself: what is bought and taken back between two equal readings of the positions is in the balances
        state = (sorted(positions, key=str), balances[0] if balances else None)
        for part, name in enumerate(("positions", "balances")):
            if newest and not any(each.held[part] == state[part] and each.until > newest for each in self._portfolios):
                stale.append(f"the {name} are of no state since {newest}")
        return [*filter(None, stale), *(f"{each} is invented" for each in held.keys() - self._transactions.keys())]

    def _end(self, day: date) -> date:
        """Days after today are read with it."""
        return day if day < new_york_day(self.brokerage.clock.now()) else date.max

    def _stale(self, identifier: int, row: Row | None, windows: Iterable[_Reading]) -> str:
        versions = self._transactions[identifier]
        if row and all(each.held != row for each in versions):
            return f"transaction {identifier} was never so"
        for start, end, read, ended in windows:
            # what the books held in these days at some moment after the reading began
            since = [each.held for each in versions if each.until > read]
            if versions[0].since > read:
                since.append(None)
            if _within(row, start, end) not in [_within(each, start, end) for each in since]:
                return f"transaction {identifier} is older than the reading of {start} to {end} at {read}"
            seen = next((each.held for each in versions if each.since <= read and each.until > ended), None)
            if row is None and _within(seen, start, end) and None not in since:
                return f"transaction {identifier} was read at {read}, and is gone"
        return ""


def _within(row: Row | None, start: date, end: date) -> Row | None:
    return row if row and start <= row["transaction_date"] <= end else None


def _add(versions: list[_Version], held: Any, now: datetime) -> None:
    if versions and versions[-1].held == held:
        return
    if versions:
        versions[-1] = _Version(versions[-1].since, versions[-1].held, now)
    versions.append(_Version(now, held))


class _Changing:
    """Before every few reads that are served, the books change."""

    _KINDS = (
        ("trade", "deposit", "deposit", "late", "late", "restate", "restate", "redate", "remove"),
        ("trade", "late", "late", "redate", "redate", "redate"),  # over the edges of what is read
    )

    def __init__(self, journal: Journal, chance: random.Random) -> None:
        self._journal = journal
        self._chance = random.Random(chance.random())  # noqa: S311 - no secret
        self._kinds = chance.choice(self._KINDS)
        self._every = chance.randrange(2, 6)  # before each read, and nothing could be proven
        self._reads = self._removed = 0

    def __enter__(self) -> None:
        self._journal.changes = 0
        self._real = self._journal.brokerage.read_served
        self._journal.brokerage.read_served = self._served  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        self._journal.brokerage.read_served = self._real  # type: ignore[method-assign]

    def _served(self, account: str, login: str) -> None:
        self._real(account, login)
        self._reads += 1
        if self._reads % self._every:
            return
        kind = self._chance.choice(self._kinds)
        self._removed += kind == "remove"
        self._journal.change(self._chance, "late" if self._removed > _REMOVED and kind == "remove" else kind)
