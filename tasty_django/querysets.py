"""Questions that people ask of the tables, as methods of querysets and managers.

Here belongs narrowing and ordering. Every method returns a queryset that can be narrowed further; none of them runs.
Who a user is: `str(user.pk)` is the `owner` of his connections, and his accounts are those that his connections see.
"""

from datetime import date
from typing import Any, NoReturn, Self, TypeVar

from django.apps import apps
from django.db import models
from django.db.models import Q

from tasty_django.errors import refuse

_M = TypeVar("_M", bound=models.Model)


def owner_of(user: Any) -> str | None:
    """Return the owner that a user's connections have in the tables; None for nobody (an anonymous user)."""
    key = getattr(user, "pk", None)
    return None if key is None else str(key)


class Rows(models.QuerySet[_M]):
    """Rows of any model: they can be read and not written."""

    @classmethod
    def as_manager(cls) -> Self:  # type: ignore[override]
        """Return a manager; for type checkers it has the queryset's methods, which are all that it is used for."""
        manager: Any = super().as_manager()
        return manager  # type: ignore[no-any-return]

    def newest_first(self) -> Self:
        """Order by the model's own time or number, the newest row first; rows of one moment by their key."""
        names = self.model._meta.get_latest_by or ()
        return self.order_by(*(f"-{name}" for name in ([names] if isinstance(names, str) else names)))

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - takes what it refuses
        refuse(self.model)

    async def _arefuse(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002
        refuse(self.model)

    create = get_or_create = update_or_create = bulk_create = bulk_update = update = delete = _refuse
    acreate = aget_or_create = aupdate_or_create = abulk_create = abulk_update = aupdate = adelete = _arefuse
    # what all of Django's ways to write come down to
    _insert = _update = _raw_delete = _refuse


class OwnedRows(Rows[_M]):
    """Rows that name their owner."""

    def for_user(self, user: Any) -> Self:
        """Return only the user's own; none for an anonymous user."""
        owner = owner_of(user)
        return self.none() if owner is None else self.filter(owner=owner)


class ConnectionRows(OwnedRows[_M]):
    """Connections."""

    def live(self) -> Self:
        """Leave out the disconnected ones."""
        return self.filter(disconnected_at=None)


class RequestRows(OwnedRows[_M]):
    """Sync requests."""

    def open(self) -> Self:
        """Return those that are not done: a user has one at most."""
        return self.filter(state__in=("queued", "running"))


def _account_numbers(owner: str) -> "models.QuerySet[Any, Any]":
    """Return the accounts that the owner's live connections see, as a query within a query: each once."""
    seen: Any = apps.get_model("tasty_django", "ConnectionAccount")
    numbers: models.QuerySet[Any, Any] = seen.objects.filter(
        connection__owner=owner, connection__disconnected_at=None
    ).values("account_id")
    return numbers


class AccountRows(Rows[_M]):
    """Rows that belong to an account."""

    account_column = "account_id"

    def for_user(self, user: Any) -> Self:
        """Return only rows of accounts that the user's connections see, each once; none for an anonymous user."""
        owner = owner_of(user)
        if owner is None:
            return self.none()
        return self.filter(**{f"{self.account_column}__in": _account_numbers(owner)})


class NumberedRows(AccountRows[_M]):
    """Rows that belong to an account by its number only."""

    account_column = "account_number"


class Accounts(NumberedRows[_M]):
    """Accounts."""

    def open(self) -> Self:
        """Leave out closed accounts."""
        return self.exclude(is_closed=True)


class ConnectionAccounts(Rows[_M]):
    """Which connection sees which account."""

    def for_user(self, user: Any) -> Self:
        """Return only what the user's live connections see; none for an anonymous user."""
        owner = owner_of(user)
        if owner is None:
            return self.none()
        return self.filter(connection__owner=owner, connection__disconnected_at=None)


class _Underlyings(AccountRows[_M]):
    def by_underlying(self, *symbols: str) -> Self:
        """Order by underlying and symbol; of these underlyings only, where some are named."""
        rows = self.filter(underlying_symbol__in=symbols) if symbols else self
        return rows.order_by("underlying_symbol", "symbol", "pk")


class Positions(_Underlyings[_M]):
    """Positions."""

    def open(self) -> Self:
        """Leave out what holds nothing."""
        return self.exclude(quantity=0)


class _Days(AccountRows[_M]):
    day_column = "day"

    def between(self, start: date | None, end: date | None) -> Self:
        """Return rows of these trade dates, both included; None is no limit on that side."""
        limits = {f"{self.day_column}__gte": start, f"{self.day_column}__lte": end}
        return self.filter(**{name: day for name, day in limits.items() if day is not None})


class Transactions(_Underlyings[_M], _Days[_M]):
    """Transactions."""

    day_column = "transaction_date"

    def as_of(self, day: date) -> Self:
        """Return what had happened by the end of this trade date."""
        return self.between(None, day)


class Snapshots(_Days[_M]):
    """Balance snapshots."""

    day_column = "snapshot_date"

    def as_of(self, day: date) -> Self:
        """Return the newest snapshot of each account and currency that is not later than this trade date."""
        newest = ("account_id", "currency")
        # within the rows that were asked for so far; EOD is after BOD
        past = self.between(None, day)
        chosen = past.order_by(*newest, "-snapshot_date", "-time_of_day").distinct(*newest)
        return past.filter(pk__in=chosen.values("pk"))


class ProvenDays(_Days[_M]):
    """Days of which it is known what the broker holds."""

    account_column = "account_number"


class RejectedRows(NumberedRows[_M]):
    """Rows that did not fit the contract."""

    def standing(self) -> Self:
        """Leave out what a later answer settled."""
        return self.filter(resolved_at=None)


class SyncEntries(Rows[_M]):
    """Entries of the sync log."""

    def for_user(self, user: Any) -> Self:
        """Return what the user's live connections did, and what others published of his accounts."""
        owner = owner_of(user)
        if owner is None:
            return self.none()
        connections: Any = apps.get_model("tasty_django", "Connection")
        own = connections.objects.filter(owner=owner, disconnected_at=None).values("pk")
        published = Q(result="published", account_number__in=_account_numbers(owner))
        return self.filter(Q(connection__in=own) | published)

    def published(self) -> Self:
        """Leave out the failed ones."""
        return self.filter(result="published")


class Changes(NumberedRows[_M]):
    """The change feed."""

    def after(self, sequence: int) -> Self:
        """Return what came after this number, in order."""
        return self.filter(sequence__gt=sequence).order_by("sequence")
