"""What the tables must hold, from the simulator's ledger, and how they differ from it.

Nothing of the pipeline is used to say what is right: payloads become rows in tests/sync/ledger.py, a second time and
differently.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Self

import sqlalchemy as sa
from sync.ledger import row_of, stored

from tasty_pipeline.core import schema
from tasty_pipeline.core.warehouse import Reader, Warehouse
from tasty_pipeline.simulator import Simulator

KINDS = ("lost", "doubled", "phantom", "stale")
Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass
class Difference:
    """Rows that should be there and are not, that stand there more than once, should not, or read differently."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        return Counter({name: len(rows) for name, rows in vars(self).items()})

    def __iadd__(self, other: Self) -> Self:
        for name, rows in vars(other).items():
            getattr(self, name).extend(rows)
        return self

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        return "; ".join(f"{name}: {', '.join(rows[:5])}" for name, rows in vars(self).items() if rows) or "none"


def differences(
    sim: Simulator,
    warehouse: Warehouse,
    start: date,
    end: date,
    *,
    tables: Collection[str] = tuple(schema.MIRRORED),
    accounts: Collection[str] | None = None,
) -> Difference:
    """Compare mirrored tables with the ledger, histories from `start` to `end`: all of them, or what is asked for.

    What lies after `end` is not looked at unless everything is asked for; then it is a phantom.
    """
    found = Difference()
    ledger = expected(sim, start, end)
    with warehouse.read() as reader:
        for name in tables:
            table, rows = schema.MIRRORED[name], ledger[name]
            asked = []
            if accounts is not None:
                asked.append(table.c.account_number.in_(accounts))
                rows = [row for row in rows if row["account_number"] in accounts]
                day = schema.DAY.get(name)
                if day:
                    asked.append(table.c[day].between(start, end))
                    rows = [row for row in rows if row[day] <= end]
            compared(found, name, schema.key_of(table), rows, [stored(row) for row in held(reader, name, *asked)])
    return found


def held(reader: Reader, name: str, *conditions: sa.ColumnElement[bool]) -> list[Row]:
    """The rows of a mirrored table that are not marked removed, as they are stored."""
    table = schema.MIRRORED[name]
    live = [table.c.removed_at.is_(None)] if "removed_at" in table.c else []
    return reader.rows(sa.select(table).where(*live, *conditions))


def expected_transactions(sim: Simulator, start: date) -> list[Row]:
    """The rows of all transactions from a trade date on."""
    books = sim.brokerage
    with books.lock:
        numbers = [each["account-number"] for each in books.accounts()]
        rows = [row_of(each) for number in numbers for each in books.transactions(number)]
    return [row for row in rows if row["transaction_date"] >= start]


def expected(sim: Simulator, start: date, end: date) -> Mapping[str, list[Row]]:
    """The rows of all mirrored tables, histories from `start`, and snapshots to `end`."""
    books = sim.brokerage
    with books.lock:
        accounts = books.accounts()
        numbers = [each["account-number"] for each in accounts]
        return {
            # a flag that the API may send as text as well: it is kept as text
            "accounts": [
                row_of(each | {"day-trader-status": str(each["day-trader-status"]).lower()}) for each in accounts
            ],
            "transactions": expected_transactions(sim, start),
            "positions": [row_of(each) for number in numbers for each in books.positions(number)],
            "balances": [row_of(books.balances(number), money=True) for number in numbers],
            "balance_snapshots": [
                row_of(each, money=True)
                for number in numbers
                for time_of_day in ("BOD", "EOD")
                for each in books.snapshots(number, time_of_day, start, end)
            ],
        }


def compared(found: Difference, name: str, key: tuple[str, ...], expected: Iterable[Row], held: Iterable[Row]) -> None:
    """Note how the rows that a table holds differ from those that it must."""

    def by_key(rows: Iterable[Row]) -> dict[Key, list[Row]]:
        keyed: dict[Key, list[Row]] = {}
        for row in rows:
            keyed.setdefault(tuple(row[part] for part in key), []).append(row)
        return keyed

    want, have = by_key(expected), by_key(held)
    for each in want.keys() | have.keys():
        shown = f"{name} {' '.join(map(str, each))}"
        if each not in have:
            found.lost.append(shown)
        elif each not in want:
            found.phantom.append(shown)
        elif len(have[each]) > 1:
            found.doubled.append(shown)
        elif have[each] != want[each]:
            names = have[each][0].keys() | want[each][0].keys()
            differ = sorted(part for part in names if have[each][0].get(part) != want[each][0].get(part))
            found.stale.append(f"{shown} ({', '.join(differ)})")
