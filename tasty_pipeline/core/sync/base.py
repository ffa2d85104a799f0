"""What every sync shares: proven absence, the guard against mass removal, fresh reads, the log of failures.

What one table has of its own belongs to that table's module.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from tasty_pipeline import migrations
from tasty_pipeline.core import arrow, payloads, publish, schema
from tasty_pipeline.core.broker import Broker, Meter
from tasty_pipeline.core.broker.windows import united
from tasty_pipeline.core.errors import (
    ConfigurationError,
    IncompleteAnswerError,
    MassRemovalError,
    StaleReadError,
    TastyError,
    WarehouseError,
)
from tasty_pipeline.core.payloads import Parsed
from tasty_pipeline.core.publish import Answer, Run
from tasty_pipeline.core.schema import DAY
from tasty_pipeline.core.warehouse import Reader, Warehouse

# A restatement takes back a row or two; more than this at once is a wiped sandbox or an error dressed as an answer.
REMOVAL_ROWS, REMOVAL_SHARE = 3, 0.005
TRIES = 4

T = TypeVar("T")
Gone = TypeVar("Gone", bound=Sized)  # keys: a table of them, or a list


@dataclass(frozen=True, kw_only=True)
class Sync:
    """The broker to read, the warehouse to write, and the run they work for."""

    broker: Broker
    warehouse: Warehouse
    run: Run
    baseline: Meter = field(default_factory=Meter)

    def used(self) -> Meter:
        """Return what was read from the broker since the baseline."""
        return self.broker.meter - self.baseline


def gone_from(reader: Reader, table: sa.Table, account: str, answer: Answer) -> pa.Table:
    """Return the keys that we hold as live in the answer's window and that the answer does not list, in order.

    A rejected row is listed all the same. Where one has no readable key, it could be any of those that are missing,
    and nothing is gone.
    """
    names = list(schema.key_of(table))
    held = sa.select(*(table.c[name] for name in names)).where(
        *publish.live_rows(table, account, answer.start, answer.end)
    )
    for span in united(answer.unchanged):
        held = held.where(sa.not_(table.c[DAY[table.name]].between(span.start, span.end)))
    keys = reader.table(held)
    bad = {payloads.key_of_payload(table, each.payload) for each in answer.rejected}
    if None in bad or not keys.num_rows:
        return keys.slice(0, 0)
    listed = answer.keys(table)
    if bad:
        rows = [dict(zip(names, key, strict=True)) for key in bad if key is not None]
        listed = pa.concat_tables([listed, arrow.to_arrow(table, rows, names)])
    missing = keys.join(listed, keys=names, join_type="left anti")
    return missing.sort_by([(name, "ascending") for name in names])


def refuse_moved(reader: Reader, table: sa.Table, account: str, answer: Answer, gone: pa.Table) -> None:
    """Raise `StaleReadError` where the table no longer lacks what it lacked when `gone` was agreed on.

    Another sync published in between: what it wrote was never looked for in our second reading.
    """
    if gone_from(reader, table, account, answer) != gone:
        raise publish.stale_read(table, account)


async def agreed(answer_once: Callable[[], Awaitable[T]], missing_from: Callable[[T], Gone]) -> tuple[T, Gone]:
    """Return an answer and what is gone from it; an absence counts only when two answers in a row agree on it."""
    answer = await answer_once()
    gone = missing_from(answer)
    for _ in range(TRIES):
        if not gone:
            break
        before, answer = gone, await answer_once()
        gone = missing_from(answer)
        if gone == before:
            break
    else:
        if gone:
            raise IncompleteAnswerError(
                f"{len(gone)} rows are missing from the newest answer, and no two answers in a row agree on which.",
                "run it again; the rows of the last sync are untouched.",
            )
    return answer, gone


def refuse_mass_removal(table: sa.Table, account: str, gone: int, stored: int) -> None:
    """Raise `MassRemovalError` where more is gone than a correction takes back, or everything."""
    if gone > max(REMOVAL_ROWS, REMOVAL_SHARE * stored) or gone >= stored:
        raise mass_removal(table.name, account, gone, stored)


def mass_removal(table: str, account: str, gone: int, stored: int) -> MassRemovalError:
    """Return the error that stops a removal until the operator confirms it."""
    return MassRemovalError(
        f"{table} of {account or 'the login'}: the answer lacks {gone} of {stored} rows that are stored.",
        "look at the account at the broker's. If the rows are really gone (a sandbox is wiped every day), run it again "
        "with confirm_mass_removal: true in the run config. Nothing was changed.",
    )


async def unless_stale(work: Callable[[], Awaitable[T]]) -> T:
    """Do work again from its first request when a newer read was published meanwhile."""
    for _ in range(TRIES - 1):
        try:
            return await work()
        except StaleReadError:
            continue
    return await work()


@asynccontextmanager
async def logged(
    sync: Sync, table: str, account: str, start: date | None = None, end: date | None = None
) -> AsyncIterator[Sync]:
    """Give a sync that measures from here; write a failure to `sync_log` before it goes on.

    Before anything is read it is made sure that the tables are there and hold the data of this broker.
    """
    _prepare(sync)
    started = datetime.now(UTC)
    sync = replace(sync, baseline=sync.broker.meter.snapshot())
    try:
        with sync.warehouse.read() as reader:
            publish.refuse_other_environment(reader, sync.run)
        yield sync
    except WarehouseError:
        raise  # the log is in the same database
    except TastyError as error:
        if not sync.run.dry_run:
            failed = {"error": str(error), "window_start": start, "window_end": end, "read_started_at": started}
            entry = publish.log_entry(sync.run, table, account, None, None, meter=sync.used(), **failed)
            with sync.warehouse.write() as writer:
                writer.insert(schema.sync_log, [entry])
        raise


def _prepare(sync: Sync) -> None:
    if not sync.run.dry_run:
        sync.warehouse.migrate()
    elif (found := sync.warehouse.version()) != migrations.head():
        raise ConfigurationError(
            f"The {sync.warehouse.label} has {f'tables of version {found}' if found else 'no tables yet'}; a dry run "
            f"does not make those of version {migrations.head()}.",
            "run it once without dry_run, for a short range if you like.",
        )


def refuse_doubles(table: sa.Table, account: str, parsed: Parsed) -> None:
    """Raise `IncompleteAnswerError` where an answer lists one key twice: it is no statement of what is there."""
    names = list(schema.key_of(table))
    counted = parsed.table.group_by(names).aggregate([([], "count_all")])
    doubled = counted.filter(pc.greater(counted["count_all"], 1)).select(names).to_pylist()
    if doubled:
        first = min(tuple(row.values()) for row in doubled)
        raise IncompleteAnswerError(
            f"{table.name} of {account}: the answer lists {first} more than once.",
            "run it again; the rows of the last sync are untouched.",
        )
