"""The brokerage: a ledger and everything that can be done to it by hand, by a test or over the control endpoint.

What can be read belongs to ``ledger``, what can be done about logins to ``frontdoor``.
Every method takes the lock and leaves the books balanced.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from tasty_pipeline.simulator.archive import Archive
from tasty_pipeline.simulator.books import Book
from tasty_pipeline.simulator.days import at, new_york_date
from tasty_pipeline.simulator.desk import Desk, Ids
from tasty_pipeline.simulator.frontdoor import FrontDoor
from tasty_pipeline.simulator.instruments import CRYPTO, FUTURE, read_symbol, trades_on
from tasty_pipeline.simulator.ledger import UnknownAccountError
from tasty_pipeline.simulator.logins import OWNER, UnknownLoginError, known
from tasty_pipeline.simulator.personas import CAST, Holder, account_number
from tasty_pipeline.simulator.rows import MONEY, Row


class UnknownTransactionError(LookupError):
    """No visible transaction has this id."""


class Brokerage(FrontDoor):
    """One fake brokerage. Numbers of accounts are text, ids are integers, amounts decimals (or their text)."""

    def trade(
        self, account: str | None = None, n: int = 1, symbol: str | None = None, login: str | None = None
    ) -> list[int]:
        """Fill an order now, in ``n`` byte-identical parts; the account's next ones differ. Returns the ids.

        Without an account it is the first open one; with a login, which trades only what it owns, the first of those.
        """
        with self.lock:
            now = self.catch_up()
            desk = self._desk(self._tradable(login, account, now))
            self._turn += 1
            desk.begin(new_york_date(now))
            if symbol is None:
                equities = ("SPY", "AAPL", "KO", "QQQ", "F")
                symbol = equities[self._turn % 5] if trades_on("Equity", desk.day) else "BTC/USD"
            quantity = Decimal("0.01") if read_symbol(symbol, desk.day.year).kind == CRYPTO else Decimal(1)
            return self._execute(desk, now, symbol, quantity, n)

    def _execute(self, desk: Desk, now: datetime, symbol: str, delta: Decimal, n: int = 1) -> list[int]:
        desk.stream = Ids.MANUAL
        desk.fill(desk.order(now), symbol, delta, self.market.mark(symbol, self.valued_on()), copies=n)
        return self._publish(desk)

    def _publish(self, desk: Desk) -> list[int]:
        """Show what a desk has just written by hand."""
        desk.stream = Ids.GENERATED
        rows = desk.take()
        self._show(rows)
        return [row.id for row in rows]

    def _desk(self, account: str) -> Desk:
        return self._generator.desks[self.holder(account).number]

    def trade_every_request(self, n: int | None) -> None:
        """Book a trade before every n-th served read of an account (None: stop)."""
        with self.lock:
            self._trade_every, self._reads = n, 0

    def read_served(self, account: str, login: str) -> None:
        """Count a read that is about to be answered (not one that is refused), and trade if it is the turn."""
        with self.lock:
            if self.access.level(login, account) is None:
                return
            self._reads += 1
            if self._trade_every and self._reads % self._trade_every == 0:
                self.trade(account)

    def drift(self, account: str, mode: str = "insert") -> None:
        """Change the list under a reader who pages: ``insert``, ``remove`` or ``redate`` one of the newest rows."""
        with self.lock:
            rows = self.archive(account).rows
            if mode == "insert" or not rows:
                self.trade(account)
            elif mode == "remove":
                self.remove(rows[-1].id)
            elif mode == "redate":
                self.redate(rows[-1].id, rows[0].transaction_date)
            else:
                raise ValueError(f"drift mode {mode!r}: insert, remove or redate")

    def book_late(self, account: str, days_ago: int) -> int:
        """Write now a row that is dated some days back. Returns its id."""
        with self.lock:
            now = self.catch_up()
            return self._money(
                account, now, Decimal("0.004"), ("Balance Adjustment", "Regulatory fee adjustment"), days_ago
            )

    def deposit(self, account: str, amount: Decimal | str | int) -> int:
        """Book a deposit (or with a negative amount a withdrawal) now. Returns its id."""
        with self.lock:
            value = Decimal(amount)
            kind = "Deposit" if value > 0 else "Withdrawal"
            now = self.catch_up()
            self._generator.desks[self.holder(account).number].asleep = False
            return self._money(account, now, value, (kind, f"ACH {kind.upper()}"), 0)

    def _money(self, account: str, now: datetime, value: Decimal, words: tuple[str, str], days_ago: int) -> int:
        desk = self._desk(account)
        desk.begin(new_york_date(now))
        desk.stream = Ids.MANUAL
        day = desk.day - timedelta(days=days_ago)
        executed = at(day, 17) if days_ago else now
        desk.write(Row(0, desk.holder.number, MONEY, words[0], words[1], executed, day, now, value))
        return self._publish(desk)[0]

    def _find(self, id: int) -> tuple[Archive, Row]:  # noqa: A002 - the API's word
        self.catch_up()
        for archive in self._archives.values():
            if id in archive.by_id:
                row = archive.by_id[id]
                self._generator.desks[row.account].stale = True
                return archive, row
        raise UnknownTransactionError(f"no visible transaction {id}")

    def restate(self, id: int, **fields: Any) -> None:  # noqa: A002
        """Change fields of a row in place.

        ``value``, ``price``, ``quantity``, ``commission``, ``clearing``, ``regulatory``, ``description``, ``symbol``
        and ``sub_type`` change the books; any other name is the API's key (``_`` for ``-``) and is sent as given.
        """
        with self.lock:
            archive, row = self._find(id)
            money = {name: Decimal(str(fields[name])) for name in fields if name in _MONEY_FIELDS}
            archive.discard(row)
            for name, value in fields.items():
                if name in money or name in _TEXT_FIELDS:
                    setattr(row, name, money.get(name, value))
                else:
                    row.overrides[name.replace("_", "-")] = value
            if row.delta and "quantity" in fields and row.quantity is not None:
                row.delta = row.quantity.copy_sign(row.delta)
            row.net_value = row.value + row.fees
            row.changed()
            archive.add([row])

    def remove(self, id: int) -> None:  # noqa: A002
        """Take a row away, as if it had never been."""
        with self.lock:
            archive, row = self._find(id)
            archive.discard(row)

    def redate(self, id: int, new_date: date | str) -> None:  # noqa: A002
        """Move a row to another day: its transaction date, and its time by as many days."""
        with self.lock:
            day = date.fromisoformat(new_date) if isinstance(new_date, str) else new_date
            archive, row = self._find(id)
            archive.discard(row)
            row.executed_at += day - row.transaction_date
            row.transaction_date = day
            row.changed()
            archive.add([row])

    def close_position(self, account: str, symbol: str) -> list[int]:
        """Close all of a symbol now; what was planned with it today does not happen. Returns the ids."""
        with self.lock:
            now = self.catch_up()
            desk = self._desk(account)
            self._generator.cancel(lambda row: row.account == account and row.symbol == symbol)
            desk.book = Book.of(self._archives[account].rows)
            desk.stale = True
            held = desk.held(symbol)
            if not held:
                raise ValueError(f"account {account} holds no {symbol!r}")
            desk.begin(new_york_date(now))
            return self._execute(desk, now, symbol, -held)

    def open_account(self, login: str | None = None) -> str:
        """Open a further account now, owned by the default login and by this one. Returns its number."""
        with self.lock:
            if login is not None:
                known(login, self.config.logins)
            now = self.catch_up()
            slot = len(self._holders)
            persona = CAST[slot % 3]
            holder = Holder(persona, slot, account_number(self.config, slot), now)
            self._enter(holder)
            if login is not None:
                self.access.share(holder.number, login, OWNER)
            return holder.number

    def close_account(self, number: str) -> None:
        """Close an account now: sell everything, pay out the cash; its history stays."""
        with self.lock:
            now = self.catch_up()
            holder = self.holder(number)
            self._generator.cancel(lambda row: row.account == number)
            for position in self._archives[number].book().held():
                self.close_position(number, position.instrument.symbol)
            self._settle(number, now)
            cash = self._archives[number].book().cash
            if cash:
                words = ("Withdrawal" if cash > 0 else "Deposit", "ACCOUNT CLOSING SETTLEMENT")
                self._money(number, now, -cash, words, 0)
            holder.closing = now

    def _settle(self, number: str, now: datetime) -> None:
        """Pay what closed futures have gained since their last settlement."""
        desk = self._desk(number)
        desk.begin(new_york_date(now))
        desk.stream = Ids.MANUAL
        for symbol, cost in sorted(self._archives[number].book().futures_cost.items()):
            if cost:
                words = (MONEY, "Mark to Market", f"{symbol} final mark to market")
                row = Row(0, number, *words, now, desk.day, now, -cost)
                row.symbol, row.kind, row.underlying = symbol, FUTURE, desk.instrument(symbol).underlying
                desk.write(row)
        self._publish(desk)

    def wipe(self) -> None:
        """Wipe the sandbox: transactions, positions and balances are gone, accounts stay and rest until a deposit."""
        with self.lock:
            self.catch_up()
            self._generator.cancel(lambda _row: True)
            for number, archive in self._archives.items():
                archive.clear()
                desk = self._generator.desks[number]
                desk.book = Book()
                desk.asleep = True

    def set_now(self, moment: datetime | str) -> None:
        """Freeze the clock at an aware moment. Going back does not unwrite rows."""
        with self.lock:
            self.clock.set(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)
            self.catch_up()

    def advance(self, by: timedelta | float) -> None:
        """Move the clock on (a number counts seconds) and write the days that pass."""
        with self.lock:
            self.clock.advance(by if isinstance(by, timedelta) else timedelta(seconds=by))
            self.catch_up()


_MONEY_FIELDS = {"value", "price", "quantity", "commission", "clearing", "regulatory"}
_TEXT_FIELDS = {"description", "symbol", "sub_type"}


__all__ = ["Brokerage", "UnknownAccountError", "UnknownLoginError", "UnknownTransactionError"]
