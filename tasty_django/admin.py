"""The admin's pages: every model to look at, to filter and to search, none to change.

A list page asks a bounded number of queries however many rows there are: no joins row by row, and no second count.
"""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest

from tasty_django import models

_SAFE = ("GET", "HEAD", "OPTIONS")
_LAST = ("extra", "synced_at", "run_id")


def _only_shown(request: HttpRequest) -> HttpRequest:
    """Return a request that only looks; Django would ask where to write to before it asks whether one may."""
    if request.method not in _SAFE:
        raise PermissionDenied
    return request


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """Pages to look at."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002 - Django's signature
        """Return no."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Return no."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:  # noqa: ARG002
        """Return no."""
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show the page; refuse what a form would send."""
        return super().changeform_view(_only_shown(request), *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse."""
        return super().delete_view(_only_shown(request), *args, **kwargs)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:  # noqa: ARG002
        """Show the newest first."""
        names = self.opts.get_latest_by or ("pk",)
        return tuple(f"-{name}" for name in ([names] if isinstance(names, str) else names))

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:  # noqa: ARG002
        """Show the key first, and where the row comes from last."""
        names = [field.name for field in self.opts.concrete_fields]
        account = [name for name in ("account", "account_number") if name in names]
        first = [name for name in [self.opts.pk.name, *account] if name in names]
        return [
            *dict.fromkeys(first),
            *(n for n in names if n not in (*first, *_LAST)),
            *(n for n in _LAST if n in names),
        ]

    @admin.display(description="account", ordering="account_id")
    def number(self, row: Any) -> str:
        """Return the account's number, without a query for the account."""
        return str(row.account_id)


@admin.register(models.Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts."""

    list_display = ("account_number", "nickname", "account_type", "margin_or_cash", "is_closed", "opened_at")
    list_filter = ("is_closed", "margin_or_cash", "is_futures_approved")
    search_fields = ("account_number", "nickname")


@admin.register(models.Connection)
class ConnectionAdmin(ReadOnlyAdmin):
    """Logins."""

    list_display = ("connection_id", "label", "owner", "state", "sandbox", "connected_at", "disconnected_at")
    list_filter = ("state", "sandbox", "connected_at")
    search_fields = ("connection_id", "label", "=owner")


@admin.register(models.ConnectionAccount)
class ConnectionAccountAdmin(ReadOnlyAdmin):
    """Which login sees which account."""

    list_display = ("id", "connection_id", "number", "authority_level", "synced_at")
    list_filter = ("authority_level",)
    search_fields = ("account__account_number", "connection__connection_id")


@admin.register(models.Position)
class PositionAdmin(ReadOnlyAdmin):
    """Open positions."""

    list_display = ("id", "number", "symbol", "quantity", "average_open_price", "close_price", "updated_at")
    list_filter = ("instrument_type", "quantity_direction")
    search_fields = ("account__account_number", "^symbol", "^underlying_symbol")


@admin.register(models.AccountBalance)
class AccountBalanceAdmin(ReadOnlyAdmin):
    """Newest balances."""

    list_display = ("id", "number", "currency", "net_liquidating_value", "cash_balance", "snapshot_date")
    list_filter = ("snapshot_date",)
    search_fields = ("account__account_number",)


@admin.register(models.BalanceSnapshot)
class BalanceSnapshotAdmin(ReadOnlyAdmin):
    """Balances of past days."""

    list_display = ("id", "number", "snapshot_date", "time_of_day", "net_liquidating_value", "cash_balance")
    list_filter = ("time_of_day", "snapshot_date")
    search_fields = ("account__account_number",)


@admin.register(models.Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    """Transactions."""

    list_display = (
        "transaction_id",
        "executed_at",
        "number",
        "transaction_sub_type",
        "symbol",
        "quantity",
        "price",
        "net_value",
    )
    list_filter = ("transaction_type", "instrument_type", "transaction_date", "is_estimated_fee")
    search_fields = ("=transaction_id", "account__account_number", "^symbol", "^underlying_symbol", "description")


@admin.register(models.RemovedTransaction)
class RemovedTransactionAdmin(ReadOnlyAdmin):
    """Transactions that the broker no longer lists."""

    list_display = (
        "transaction_id",
        "removed_at",
        "executed_at",
        "number",
        "transaction_sub_type",
        "symbol",
        "net_value",
    )
    list_filter = ("transaction_type", "removed_at")
    search_fields = ("=transaction_id", "account__account_number", "^symbol", "^underlying_symbol", "description")


@admin.register(models.SyncLog)
class SyncLogAdmin(ReadOnlyAdmin):
    """The sync log."""

    list_display = (
        "sync_id",
        "read_started_at",
        "connection",
        "account_number",
        "table_name",
        "result",
        "rows_read",
        "rows_inserted",
        "rows_updated",
        "rows_removed",
        "rows_rejected",
    )
    list_filter = ("result", "table_name", "read_started_at")
    search_fields = ("account_number", "connection", "run_id", "error")


@admin.register(models.ProvenDay)
class ProvenDayAdmin(ReadOnlyAdmin):
    """Proven days."""

    list_display = ("id", "account_number", "table_name", "day", "row_count")
    list_filter = ("table_name", "day")
    search_fields = ("account_number",)


@admin.register(models.RejectedRow)
class RejectedRowAdmin(ReadOnlyAdmin):
    """Rows that did not fit."""

    list_display = ("id", "account_number", "table_name", "reason", "resolved_at")
    list_filter = ("table_name", "resolved_at")
    search_fields = ("account_number", "reason", "row_key")


@admin.register(models.SyncRequest)
class SyncRequestAdmin(ReadOnlyAdmin):
    """Sync requests."""

    list_display = ("request_id", "owner", "state", "requested_at", "started_at", "ended_at")
    list_filter = ("state", "requested_at")
    search_fields = ("request_id", "=owner", "run_id")


@admin.register(models.Change)
class ChangeAdmin(ReadOnlyAdmin):
    """The change feed."""

    list_display = ("sequence", "changed_at", "kind", "table_name", "account_number")
    list_filter = ("kind", "table_name", "changed_at")
    search_fields = ("account_number", "run_id")


@admin.register(models.SealingKey)
class SealingKeyAdmin(ReadOnlyAdmin):
    """Public keys."""

    list_display = ("key_id", "created_at", "retired_at")
    list_filter = ("retired_at",)
    search_fields = ("key_id",)
