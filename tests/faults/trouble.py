"""What a schedule does to the brokerage and to the network, step by step.

Here belongs what the numbers of a step mean there; runs of the pipeline belong to `world.py`. A step that cannot happen
at that moment (a closed account trades no more) does nothing, so that a schedule stays one whatever is left out of it.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tasty_pipeline.simulator import Fault, Simulator
from tasty_pipeline.simulator.spoiling import KINDS

from .steps import Step

NEW_YORK = ZoneInfo("America/New_York")
HISTORY_DAYS = 25
SECOND_LOGIN = "alice"
_MOST_ACCOUNTS = 4
# the second is split ten for one on 2024-06-10, where the simulator's market has it
_SYMBOLS = (None, "NVDA", "SPY")
_PATHS = (None, "transactions", "positions", "balances", "balance-snapshots", "customers/me/accounts", "oauth/token")
_OF_MANY_REQUESTS = (None, "transactions", "balance-snapshots")
_FIELDS = (
    *("value", "net-value", "executed-at", "transaction-date", "id", "quantity", "symbol", "transaction-type"),
    *("snapshot-date", "time-of-day", "cash-balance", "updated-at", "quantity-direction", "account-number"),
)
_VALUES = (None, "", "NaN", "1E400", -1, "0.0000000000001", {"a": 1}, "'; DROP TABLE tasty.transactions; --", "\u0000")
# what a kind needs to say, and what keeps it from taking long
_FIELD_KINDS = {"missing_field", "retyped_field", "bad_value", "unknown_enum", "extra_field"}
_SHORT = {"latency": {"seconds": 0.01}, "slow_body": {"seconds": 0.05}}
_STATUS = (400, 403, 404, 408, 429, 500, 503)
# nobody takes them for the truth: a run that succeeds in spite of them has heard it all the same
HONEST = frozenset(
    {
        *("latency", "slow_body", "html", "empty_body", "truncated_body", "cut_json", "drop_connection", "small_pages"),
        *("token_invalid", "expired_token", "revoked_grant", "not_permitted", "missing_items", "null_data"),
    }
)
_CHANGES = ("trade", "late", "restate", "remove", "redate", "deposit", "pass_time")


@dataclass
class Trouble:
    """A simulated brokerage with a still clock, and everything that can happen to it."""

    sim: Simulator
    trades_on: bool = field(default=False, init=False)
    struck: Counter[str] = field(default_factory=Counter, init=False)

    @property
    def numbers(self) -> tuple[str, ...]:
        """All accounts, closed ones too."""
        return tuple(each["account-number"] for each in self.sim.brokerage.accounts())

    @property
    def today(self) -> date:
        """The day in New York."""
        return self.sim.brokerage.clock.now().astimezone(NEW_YORK).date()

    def happens(self, step: Step) -> None:
        """Let a step of the brokerage or the network happen."""
        getattr(self, f"_{step.name}")(step)

    def change(self, step: Step) -> None:
        """Let a change happen to the books, whichever the step's numbers choose."""
        self.happens(Step(_CHANGES[step.b % len(_CHANGES)], step.a, step.c, step.b))

    def heals(self) -> None:
        """End all faults, and all trading on requests."""
        for fault in self.sim.brokerage.faults.listed():
            self.struck[fault.kind] += fault.hits
        self.sim.brokerage.faults.clear()
        self.sim.brokerage.trade_every_request(None)
        self.trades_on = False

    def lies(self) -> int:
        """How many answers the faults that are set have made what could be believed, or changed the books at."""
        return sum(fault.hits for fault in self.sim.brokerage.faults.listed() if not _is_honest(fault))

    def account(self, number: int) -> str:
        """One of the accounts."""
        return self.numbers[number % len(self.numbers)]

    def _is_open(self, account: str) -> bool:
        (found,) = (each for each in self.sim.brokerage.accounts() if each["account-number"] == account)
        return not found.get("is-closed")

    def _row(self, step: Step) -> int | None:
        rows = self.sim.brokerage.archive(self.account(step.a)).rows
        return rows[-1 - step.b % len(rows)].id if rows else None

    def _trade(self, step: Step) -> None:
        account = self.account(step.a)
        if self._is_open(account):
            symbol = _SYMBOLS[step.c % len(_SYMBOLS)]
            self.sim.brokerage.trade(account, n=1 + step.b % 3, symbol=symbol)

    def _late(self, step: Step) -> None:
        self.sim.brokerage.book_late(self.account(step.a), 1 + step.b % (HISTORY_DAYS - 1))

    def _deposit(self, step: Step) -> None:
        self.sim.brokerage.deposit(self.account(step.a), step.b % 4_000 - 2_000 or 1)

    def _restate(self, step: Step) -> None:
        row = self._row(step)
        if row is not None:
            self.sim.brokerage.restate(row, **({"value": step.c} if step.c % 2 else {"description": f"no {step.c}"}))

    def _remove(self, step: Step) -> None:
        row = self._row(step)
        if row is not None:
            self.sim.brokerage.remove(row)

    def _redate(self, step: Step) -> None:
        row = self._row(step)
        if row is not None:
            self.sim.brokerage.redate(row, self.today - timedelta(days=step.c % HISTORY_DAYS))

    def _close_position(self, step: Step) -> None:
        account = self.account(step.a)
        held = self.sim.brokerage.positions(account)
        if held and self._is_open(account):
            self.sim.brokerage.close_position(account, held[step.b % len(held)]["symbol"])

    def _open_account(self, step: Step) -> None:
        if len(self.numbers) < _MOST_ACCOUNTS:
            self.sim.brokerage.open_account(SECOND_LOGIN if step.a % 2 else None)

    def _close_account(self, step: Step) -> None:
        account = self.account(step.a)
        if self._is_open(account):
            self.sim.brokerage.close_account(account)

    def _share(self, step: Step) -> None:
        account = self.account(step.a)
        if self.sim.brokerage.access.level(SECOND_LOGIN, account) is None:
            self.sim.brokerage.share(account, SECOND_LOGIN)
        else:
            self.sim.brokerage.unshare(account, SECOND_LOGIN)

    def _wipe(self, _: Step) -> None:
        self.sim.brokerage.wipe()

    def _pass_time(self, step: Step) -> None:
        self.sim.brokerage.advance(timedelta(minutes=step.a % 600))

    def _pass_days(self, step: Step) -> None:
        self.sim.brokerage.advance(timedelta(hours=step.a % 80))

    def _trade_on(self, step: Step) -> None:
        self.trades_on = step.a % 3 > 0
        self.sim.brokerage.trade_every_request(1 + step.b % 5 if self.trades_on else None)

    def _fault(self, step: Step) -> None:
        kinds = sorted(KINDS)
        kind = kinds[step.a % len(kinds)]
        params: dict[str, Any] = dict(_SHORT.get(kind, {}))
        if kind in _FIELD_KINDS:
            params |= {"field": _FIELDS[step.c % len(_FIELDS)], "row": "all" if step.b % 3 == 0 else step.c % 5}
            if kind != "missing_field":
                params |= {"value": _VALUES[step.c % len(_VALUES)]}
        if kind == "status":
            params |= {"status": _STATUS[step.c % len(_STATUS)]}
        if kind == "html":
            params |= {"status": (200, 502)[step.c % 2]}
        if kind == "page_drift":
            params |= {"mode": ("insert", "remove", "redate")[step.c % 3]}
        path = None if kind == "revoked_grant" else _PATHS[step.b % len(_PATHS)]
        after = step.c // 6 % 4 if path in _OF_MANY_REQUESTS else 0
        self.sim.brokerage.faults.add(Fault(kind, path=path, times=1 + step.c % 6, after=after, **params))

    def _heal(self, _: Step) -> None:
        self.heals()


def _is_honest(fault: Fault) -> bool:
    # of a row that is asked for by its id a 404 says that there is none
    return fault.kind in HONEST or (fault.kind == "status" and fault.params["status"] != 404)
