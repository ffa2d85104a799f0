"""The kinds of columns, each as one function: exact types for people and type checkers, one rule per kind.

Here belongs how a kind of column becomes a Django field. Which columns a model has belongs to the model.
"""

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, overload

from django.db import models
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor

if TYPE_CHECKING:
    from datetime import date, datetime

    from tasty_django.models.accounts import Account, Connection

PRECISION, SCALE = 38, 12


class _ExactDecoder(json.JSONDecoder):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "parse_float": Decimal})


class _ExactEncoder(json.JSONEncoder):
    """Writes Decimals as JSON numbers with all their digits."""

    def encode(self, o: Any) -> str:
        if isinstance(o, Decimal):
            return str(o)
        if isinstance(o, dict):
            return (
                "{"
                + ", ".join(f"{super(_ExactEncoder, self).encode(str(k))}: {self.encode(v)}" for k, v in o.items())
                + "}"
            )
        if isinstance(o, (list, tuple)):
            return "[" + ", ".join(map(self.encode, o)) + "]"
        return super().encode(o)


class _AccountDescriptor(ForwardManyToOneDescriptor):  # type: ignore[type-arg]  # no generic at run time
    def __get__(self, instance: Any, cls: Any = None) -> Any:
        try:
            return super().__get__(instance, cls)
        except self.field.remote_field.model.DoesNotExist:
            self.field.set_cached_value(instance, None)
            return None


class AccountKey(models.ForeignKey[Any, Any]):
    """The account of a row, None where no connection lists it any more: the row stays, and so does its number.

    Nullable only so that `select_related` joins outer and drops no row. (Together with a filter on the account itself
    Django joins inner: that asks for accounts that are listed.)
    """

    forward_related_accessor_class = _AccountDescriptor


@overload
def text(told: str, *, choices: Any = None) -> "models.TextField[str, str]": ...
@overload
def text(told: str, *, null: Literal[True], choices: Any = None) -> "models.TextField[str | None, str | None]": ...
def text(told: str, *, null: bool = False, choices: Any = None) -> Any:
    """Text of any length."""
    return models.TextField(help_text=told, null=null, blank=null, choices=choices)


def key(told: str) -> "models.TextField[str, str]":
    """Text that is the row's key."""
    return models.TextField(help_text=told, primary_key=True)


@overload
def amount(told: str) -> "models.DecimalField[Decimal, Decimal]": ...
@overload
def amount(told: str, *, null: Literal[True]) -> "models.DecimalField[Decimal | None, Decimal | None]": ...
def amount(told: str, *, null: bool = False) -> Any:
    """An exact decimal: 26 digits before the point, 12 after it."""
    return models.DecimalField(help_text=told, null=null, blank=null, max_digits=PRECISION, decimal_places=SCALE)


@overload
def whole(told: str, *, primary_key: bool = False) -> "models.BigIntegerField[int, int]": ...
@overload
def whole(told: str, *, null: Literal[True]) -> "models.BigIntegerField[int | None, int | None]": ...
def whole(told: str, *, null: bool = False, primary_key: bool = False) -> Any:
    """A whole number of 64 bits."""
    return models.BigIntegerField(help_text=told, null=null, blank=null, primary_key=primary_key)


@overload
def flag(told: str) -> "models.BooleanField[bool, bool]": ...
@overload
def flag(told: str, *, null: Literal[True]) -> "models.BooleanField[bool | None, bool | None]": ...
def flag(told: str, *, null: bool = False) -> Any:
    """Yes or no."""
    return models.BooleanField(help_text=told, null=null, blank=null)


@overload
def day(told: str) -> "models.DateField[date, date]": ...
@overload
def day(told: str, *, null: Literal[True]) -> "models.DateField[date | None, date | None]": ...
def day(told: str, *, null: bool = False) -> Any:
    """A date without a time, mostly a New York trade date."""
    return models.DateField(help_text=told, null=null, blank=null)


@overload
def instant(told: str) -> "models.DateTimeField[datetime, datetime]": ...
@overload
def instant(told: str, *, null: Literal[True]) -> "models.DateTimeField[datetime | None, datetime | None]": ...
def instant(told: str, *, null: bool = False) -> Any:
    """A point in time, aware (with USE_TZ, which is checked)."""
    return models.DateTimeField(help_text=told, null=null, blank=null)


def json_value(told: str, *, null: bool = False) -> "models.JSONField[Any, Any]":
    """JSON as the API sent it; numbers with a point are Decimal."""
    return models.JSONField(help_text=told, null=null, blank=null, encoder=_ExactEncoder, decoder=_ExactDecoder)


def account_key(related_name: str, told: str) -> "models.ForeignKey[Account | None, Account | None]":
    """The account of a row, in the column `account_number`; see `AccountKey`."""
    return AccountKey(
        "tasty_django.Account",
        models.DO_NOTHING,
        related_name=related_name,
        db_column="account_number",
        db_constraint=False,
        db_index=False,
        null=True,
        help_text=told,
    )


def connection_key(related_name: str, told: str) -> "models.ForeignKey[Connection, Connection]":
    """The connection of a row, in the column `connection_id`."""
    return models.ForeignKey(
        "tasty_django.Connection",
        models.DO_NOTHING,
        related_name=related_name,
        db_constraint=False,
        db_index=False,
        help_text=told,
    )
