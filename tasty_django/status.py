"""How fresh a user's accounts are: last synchronised, proven until, what was asked for, what needs a new login.

Here belongs the question, in three queries however many accounts there are; how it is worded belongs to the pages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.db.models import F, OuterRef, Subquery
from django.utils import timezone

from tasty_django.models import Account, Connection, ProvenDay, SyncLog, SyncRequest

# what a synchronisation of an account is made of
TABLES = ("positions", "balances", "balance_snapshots", "transactions")
TRADE_DATES = ZoneInfo("America/New_York")

_When = TypeVar("_When", date, datetime)


@dataclass(frozen=True, kw_only=True)
class AccountStatus:
    """How fresh one account is. `tables` has when the newest published read of each table ended, None for never."""

    account: Account
    tables: Mapping[str, datetime | None]
    proven_until: date | None

    @property
    def synced_at(self) -> datetime | None:
        """When all of it was last synchronised: the oldest of its tables; None while one of them never was."""
        return _oldest(self.tables.values())


@dataclass(frozen=True, kw_only=True)
class SyncStatus:
    """How fresh all of a user's accounts are.

    `request` is the open sync request, or else the newest one; `needing_reauthorisation` are live connections whose
    credentials the broker refused.
    """

    accounts: tuple[AccountStatus, ...]
    request: SyncRequest | None
    needing_reauthorisation: tuple[Connection, ...]

    @property
    def synced_at(self) -> datetime | None:
        """When everything was last synchronised; None while something never was. Closed accounts do not count."""
        return _oldest([each.synced_at for each in self._open])

    @property
    def proven_until(self) -> date | None:
        """The trade date until which the transactions of every account are proven; None while one has no proof."""
        return _oldest([each.proven_until for each in self._open])

    @property
    def _open(self) -> list[AccountStatus]:
        return [each for each in self.accounts if not each.account.is_closed]


def sync_status(user: Any) -> SyncStatus:
    """Return how fresh the user's accounts are; nothing for an anonymous user."""
    needing = Connection.objects.for_user(user).live().filter(state="needs reauthorisation").order_by("label")
    return SyncStatus(
        accounts=tuple(map(_of, _accounts(user))),
        request=newest_request(user),
        needing_reauthorisation=tuple(needing),
    )


def newest_request(user: Any) -> SyncRequest | None:
    """Return the user's open sync request, or else the newest one; None if there never was one. One query."""
    mine = SyncRequest.objects.for_user(user)
    # of two made at the same moment the open one counts
    return mine.order_by(F("ended_at").desc(nulls_first=True), "-requested_at").first()


def _accounts(user: Any) -> Any:
    """Return the accounts with one value for each table: each is the top of an index, however long the log is."""
    newest = {
        f"read_{table}": Subquery(
            SyncLog.objects.published()
            .filter(account_number=OuterRef("account_number"), table_name=table)
            .newest_first()
            .values("read_ended_at")[:1]
        )
        for table in TABLES
    }
    # days after today may have rows too, and a proof of them
    today = timezone.now().astimezone(TRADE_DATES).date()
    proven = ProvenDay.objects.filter(
        account_number=OuterRef("account_number"), table_name="transactions", day__lte=today
    ).exclude(digest="")
    until = Subquery(proven.order_by("-day").values("day")[:1])
    return Account.objects.for_user(user).annotate(**newest, proven_until=until).order_by("account_number")


def _of(account: Any) -> AccountStatus:
    tables = {table: getattr(account, f"read_{table}") for table in TABLES}
    return AccountStatus(account=account, tables=tables, proven_until=account.proven_until)


def _oldest(values: Iterable[_When | None]) -> _When | None:
    all_of_them = list(values)
    known = [each for each in all_of_them if each is not None]
    return min(known) if known and len(known) == len(all_of_them) else None
