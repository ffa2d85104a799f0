"""The settings of a simulated brokerage, and nothing that acts on them."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from tasty_pipeline.simulator.logins import ALICE, BOB, DEFAULT, Login

CLIENT_SECRET = "simulator-client-secret"  # noqa: S105 - obviously fake, and meant to be printed
REFRESH_TOKEN = "simulator-refresh-token"  # noqa: S105 - obviously fake, and meant to be printed
API_VERSIONS = ("20250715", "20250813", "20251026", "20251101")

DateFilter = Literal["executed_utc", "executed_new_york", "transaction_date"]
Inclusive = Literal["both", "start", "end", "neither"]


@dataclass(frozen=True)
class SimulatorConfig:
    """Everything that decides what the brokerage holds and how its API behaves.

    Two configurations with the same ``seed``, ``start``, ``trades_per_day``, ``accounts`` and
    ``closed_after_days`` write the same rows with the same ids for every day that both have passed,
    whatever their clocks say.

    ``trades_per_day`` is the mean number of orders a session of the busiest account; the others trade a
    fixed share of it. ``now=None`` follows the real clock, any other (aware) time stands still until moved.
    ``date_filter``, ``inclusive``, ``leaky_filter``, ``total_pages_when_empty``, ``auth_error_status`` and
    ``balances_shape`` are the points on which the real API is not documented or has changed. ``journal`` is
    a file that keeps what is done by hand over the control endpoint, so that it survives a restart.
    ``further_logins`` are those beside the default one; one whose accounts the brokerage has not does not exist.
    """

    seed: int = 7
    start: date = date(2021, 1, 4)
    now: datetime | None = None
    trades_per_day: float = 4.0
    accounts: int = 4
    closed_after_days: int = 25
    date_filter: DateFilter = "transaction_date"
    inclusive: Inclusive = "both"
    leaky_filter: bool = False
    total_pages_when_empty: Literal[0, 1] = 1
    auth_error_status: Literal[400, 401] = 400
    balances_shape: Literal["object", "list"] = "object"
    sandbox: bool = False
    token_lifetime: int = 900
    trade_every: int | None = None
    live_trade_interval: float | None = None
    journal: Path | None = None
    further_logins: tuple[Login, ...] = (ALICE, BOB)
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no brokerage could have."""
        if self.now is not None and self.now.tzinfo is None:
            raise ValueError(f"now={self.now!r} has no time zone; give an aware time such as 2026-11-20T21:00:00-05:00")
        if not 1 <= self.accounts <= MAX_ACCOUNTS:
            raise ValueError(f"accounts={self.accounts}: the simulator holds 1 to {MAX_ACCOUNTS}")
        if self.trades_per_day < 0:
            raise ValueError(f"trades_per_day={self.trades_per_day}: give zero or more")
        everybody = [_EVERYTHING, *self.further_logins]
        if len({login.name for login in everybody} | {login.refresh_token for login in everybody}) < 2 * len(everybody):
            raise ValueError("further_logins: each needs a name and a refresh token of its own")

    @property
    def logins(self) -> dict[str, Login]:
        """Return the logins by name, the default one, which sees every account, first."""
        return {login.name: login for login in (_EVERYTHING, *self.further_logins) if login.fits(self.accounts)}


MAX_ACCOUNTS = 400
_EVERYTHING = Login(DEFAULT, REFRESH_TOKEN, sees_all=True)
