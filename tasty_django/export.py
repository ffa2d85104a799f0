"""Transactions as CSV: every amount with all its digits, times in ISO 8601, no cell that a spreadsheet would run.

Here belong the columns of the file and how a value becomes a cell. The rows are streamed: a file of a million rows
needs no more memory than one of a hundred.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import Any

from django.db.models import QuerySet

from tasty_django.figures import plain
from tasty_django.models import Transaction

# heading of the file, and the field behind it
COLUMNS: dict[str, str] = {
    "transaction_id": "transaction_id",
    "account_number": "account_id",
    "executed_at": "executed_at",
    "transaction_date": "transaction_date",
    "transaction_type": "transaction_type",
    "transaction_sub_type": "transaction_sub_type",
    "action": "action",
    "symbol": "symbol",
    "underlying_symbol": "underlying_symbol",
    "instrument_type": "instrument_type",
    "quantity": "quantity",
    "price": "price",
    "value": "value",
    "commission": "commission",
    "clearing_fees": "clearing_fees",
    "regulatory_fees": "regulatory_fees",
    "proprietary_index_option_fees": "proprietary_index_option_fees",
    "currency_conversion_fees": "currency_conversion_fees",
    "other_charge": "other_charge",
    "other_charge_description": "other_charge_description",
    "net_value": "net_value",
    "currency": "currency",
    "description": "description",
    "order_id": "order_id",
    "exec_id": "exec_id",
    "reverses_id": "reverses_id",
    "is_estimated_fee": "is_estimated_fee",
    "created_at": "created_at",
}
_AT_ONCE = 2000
# what makes a spreadsheet read a text as a formula, or start a new cell
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> str:
    """Return a value as it stands in the file; before a text that a spreadsheet would take for a formula comes `'`."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case datetime() | date():
            return value.isoformat()
        case int():
            return str(value)
        case _:
            text = str(value)
            return f"'{text}" if text.startswith(_DANGEROUS) else text


def pieces(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the file piece by piece: the headings, then some thousand lines at a time."""
    yield _piece([headings])
    remaining = iter(rows)
    while some := [[cell(value) for value in row] for row in islice(remaining, _AT_ONCE)]:
        yield _piece(some)


def _piece(rows: Iterable[Sequence[str]]) -> str:
    written = StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()


def transactions(rows: QuerySet[Transaction]) -> Iterator[str]:
    """Yield the file of these transactions, in their order, from one reading of the table."""
    values = rows.values_list(*COLUMNS.values()).iterator(chunk_size=_AT_ONCE)
    return pieces(list(COLUMNS), values)
