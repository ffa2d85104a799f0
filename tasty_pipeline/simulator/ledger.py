"""The ledger: accounts, clock and books under one lock, and everything that can be read from them.

What can be done to them by hand belongs to ``brokerage``, how rows come about to ``generator`` and ``desk``, how
answers are worded to ``statements``.
"""

import json
import threading
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

from tasty_pipeline.simulator import statements
from tasty_pipeline.simulator.archive import Archive, Sums
from tasty_pipeline.simulator.clock import Clock
from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.days import (
    at,
    close_hour,
    days_between,
    is_session,
    new_york_date,
    previous_session,
)
from tasty_pipeline.simulator.faults import Faults
from tasty_pipeline.simulator.generator import Generator
from tasty_pipeline.simulator.logins import Access
from tasty_pipeline.simulator.market import Market
from tasty_pipeline.simulator.personas import Holder, cast_of
from tasty_pipeline.simulator.rows import Row
from tasty_pipeline.simulator.tokens import Tokens


class UnknownAccountError(LookupError):
    """No account has this number."""


class Ledger:
    """What a reader sees. All public methods take the lock; numbers of accounts are text, ids are integers."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.lock = threading.RLock()
        self.clock = Clock(config.now)
        self.market = Market(config.seed, config.start)
        self.tokens = Tokens(config.token_lifetime, config.logins.values())
        self.access = Access(config.logins.values())
        self.faults = Faults()
        self._generator = Generator(config, self.market)
        self._holders: dict[str, Holder] = {}
        self._archives: dict[str, Archive] = {}
        self._trade_every = config.trade_every
        self._reads = 0
        self._turn = 0
        for holder in cast_of(config):
            self._enter(holder)
        self.catch_up()

    def _enter(self, holder: Holder) -> None:
        self._holders[holder.number] = holder
        self._archives[holder.number] = Archive()
        self._generator.enter(holder)
        self.access.enter(holder.number, holder.slot)

    def catch_up(self) -> datetime:
        """Write the days that have passed, show the rows whose time has come, and return the time."""
        with self.lock:
            now = self.clock.now()
            self._generator.write_through(new_york_date(now), lambda number: self._archives[number].rows)
            self._show(self._generator.due(now))
            return now

    def _show(self, rows: Iterable[Row]) -> None:
        by_account: dict[str, list[Row]] = {}
        for row in rows:
            by_account.setdefault(row.account, []).append(row)
        for number, new in by_account.items():
            self._archives[number].add(new)

    def archive(self, account: str) -> Archive:
        """Return an account's visible rows as of now."""
        with self.lock:
            self.catch_up()
            return self._archives[self.holder(account).number]

    def holder(self, account: str) -> Holder:
        """Return an account's holder."""
        try:
            return self._holders[account]
        except KeyError:
            raise UnknownAccountError(f"no account {account!r}; there are {', '.join(self._holders)}") from None

    def knows(self, account: str) -> bool:
        """Tell whether there is an account of this number."""
        return account in self._holders

    def accounts(self, login: str | None = None) -> list[dict[str, Any]]:
        """Return all accounts, or those that a login sees, as the API describes them, closed ones too."""
        with self.lock:
            now = self.catch_up()
            seen = self._holders if login is None else self.access.seen(login)
            holders = [holder for number, holder in self._holders.items() if number in seen]
            return [holder.payload(now) for holder in holders if holder.opened <= now]

    def transactions(self, account: str) -> list[dict[str, Any]]:
        """Return every visible transaction as the API would send it, by id."""
        with self.lock:
            rows = self.archive(account).by_id
            return [json.loads(rows[key].json()) for key in sorted(rows)]

    def positions(self, account: str, *, closed: bool = False, marks: bool = False) -> list[dict[str, Any]]:
        """Return the open positions, and on request those closed today, as the API describes them."""
        with self.lock:
            book = self.archive(account).book()
            today = new_york_date(self.clock.now())
            held = book.held()
            if closed:
                held = sorted(
                    [*held, *(p for p in book.closed.values() if p.realized_on == today)],
                    key=lambda p: p.instrument.symbol,
                )
            day = self.valued_on()
            return [statements.position(account, p, self.market, day, marks=marks, today=today) for p in held]

    def valued_on(self) -> date:
        """Return the session whose closing prices are the newest."""
        now = self.clock.now()
        today = new_york_date(now)
        if is_session(today) and now >= at(today, close_hour(today)):
            return today
        return previous_session(today)

    def balances(self, account: str) -> dict[str, Any]:
        """Return the current balance as the API describes it."""
        with self.lock:
            archive = self.archive(account)
            day = self.valued_on()
            closed = at(day, close_hour(day))
            updated = max(filter(None, (archive.last_written, closed)))
            today = new_york_date(self.clock.now())  # also of a balance that has not changed for days
            return statements.current(self._balance(account, archive.totals(), day), today, updated)

    def _balance(self, account: str, sums: Sums, day: date) -> dict[str, Any]:
        margin = self.holder(account).persona.margin
        return statements.balance(account, margin=margin, sums=sums, market=self.market, day=day)

    def snapshots(
        self, account: str, time_of_day: str = "EOD", start: date | None = None, end: date | None = None
    ) -> list[dict[str, Any]]:
        """Return the balance snapshots of the sessions between two days, oldest first."""
        with self.lock:
            archive = self.archive(account)
            found = []
            for day in self._session_days(account, start, end):
                if time_of_day == "EOD":
                    if self.clock.now() < at(day, close_hour(day)):
                        continue
                    sums, marked = archive.through(day), day
                else:
                    sums, marked = archive.through(day - timedelta(days=1)), previous_session(day)
                key = ("snapshot", time_of_day, day)
                if key not in archive.remembered:
                    balance = self._balance(account, sums, marked)
                    archive.remembered[key] = statements.snapshot(balance, day, time_of_day)
                found.append(archive.remembered[key])
            return found

    def _session_days(self, account: str, start: date | None, end: date | None) -> list[date]:
        holder, now = self.holder(account), self.clock.now()
        last = new_york_date(min(now, holder.closing or now))
        first = new_york_date(holder.opened)
        return [day for day in days_between(max(start or first, first), min(end or last, last)) if is_session(day)]

    def net_liquidating_values(self, account: str, start: date | None) -> list[dict[str, Any]]:
        """Return the daily net liquidating values from a day on."""
        with self.lock:
            archive = self.archive(account)
            found = []
            opening: Decimal | None = None
            for day in self._session_days(account, start, self.valued_on()):
                closing = statements.net_liquidating_value(archive.through(day), self.market, day)
                found.append(statements.net_liq(closing if opening is None else opening, closing, day))
                opening = closing
            return found

    def total_fees(self, account: str, day: date) -> dict[str, str]:
        """Return the fees of the rows executed on a New York day."""
        with self.lock:
            return statements.fees(self.archive(account).fees_on(day))

    def digest(self) -> str:
        """Return a fingerprint of everything that can be read now."""
        with self.lock:
            digest = sha256()
            for number in self._holders:
                rows = self.archive(number).by_id
                digest.update(b"".join(rows[key].json() for key in sorted(rows)))
                digest.update(json.dumps([self.positions(number), self.balances(number)]).encode())
            return digest.hexdigest()
