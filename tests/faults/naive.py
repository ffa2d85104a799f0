"""The same schedules for the usual ways to keep a table, beside ours: what is lost, doubled and stale in the end.

Here belongs how the ways of `naive_worker.py` are driven and judged. They follow the transactions alone, and so alone
these are counted; every way ends with a run over the whole history that nothing was against.
"""

import json
import queue
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from .oracle import KINDS, Difference, compared, expected_transactions
from .runs import Outcome, Task
from .schedules import play
from .steps import drawn
from .world import Way, World

WORKER = Path(__file__).with_name("naive_worker.py")
_AT_ONCE = 2
# so that an account's history is more than the 250 rows of a page that the API serves when nothing else is asked for
_TRADES_A_DAY = 16.0
_FAILED = "schedules whose last run failed"
_WHOLE = ("id", "account_number", "transaction_date", "executed_at", "value", "net_value", "description")


@contextmanager
def way(name: str, python: str = sys.executable) -> Iterator[Way]:
    """One of the naive ways, run by the interpreter of an environment that has what it needs."""
    command = [python, "-P", str(WORKER), name]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for _ in range(_AT_ONCE)
    ]
    idle: queue.Queue[subprocess.Popen[str]] = queue.Queue()
    for each in workers:
        idle.put(each)
    try:
        yield Way(partial(_run, idle), partial(_run, idle), _wrong, promises=False)
    finally:
        for each in workers:
            each.terminate()
            each.communicate()


def _run(idle: "queue.Queue[subprocess.Popen[str]]", task: Task) -> Outcome:
    if task.work.what not in {"transactions", "everything"}:
        return Outcome()
    run = {
        "url": task.url,
        "secret": task.secret,
        "token": task.token,
        "kill_at": task.kill_at,
        "file": task.warehouse.removeprefix("duckdb:///") + ".naive",
        "accounts": task.work.accounts,
        **{name: str(getattr(task.work, name)) for name in ("start", "end")},
        "history_start": str(task.history_start),
    }
    worker = idle.get()
    try:
        said = _answer(worker, run)
    finally:
        idle.put(worker)
    return Outcome(killed=True) if said == "killed" else Outcome(kind=said)


def _answer(worker: "subprocess.Popen[str]", run: dict[str, Any]) -> str:
    if worker.stdin is None or worker.stdout is None:
        raise TypeError("the worker is asked and answers by pipes")
    worker.stdin.write(json.dumps(run) + "\n")
    worker.stdin.flush()
    return str(json.loads(worker.stdout.readline()))


def _wrong(world: World) -> Difference:
    """The table of transactions, or all of them where each account has its own, beside the books."""
    found = Difference()
    expected = expected_transactions(world.sim, world.start)
    path = world.warehouse.removeprefix("duckdb:///") + ".naive"
    rows: list[dict[str, Any]] = []
    with duckdb.connect(path) as connection:
        tables = "SELECT table_schema || '.' || table_name FROM information_schema.tables ORDER BY ALL"
        for (table,) in connection.execute(tables).fetchall():
            read = connection.execute(f"SELECT {', '.join(_WHOLE)} FROM {table}").fetchall()  # noqa: S608
            rows += [dict(zip(_WHOLE, row, strict=True)) for row in read]
    held = [_as_expected(row) for row in rows]
    names = ("transaction_id", *_WHOLE[1:])
    compared(
        found, "transactions", ("transaction_id",), [{name: row.get(name) for name in names} for row in expected], held
    )
    return found


def _as_expected(row: dict[str, Any]) -> dict[str, Any]:
    day = row["transaction_date"]
    return {
        "transaction_id": row["id"],
        "transaction_date": day.date() if isinstance(day, datetime) else day,
        "executed_at": row["executed_at"].astimezone(UTC),
        **{name: Decimal(str(row[name])) for name in ("value", "net_value")},
        **{name: row[name] for name in ("account_number", "description")},
    }


def beside(*, seed: int, schedules: int, ways: Sequence[tuple[str, Way]], first: int = 0) -> dict[str, Counter[str]]:
    """Play so many schedules of a seed for each way; return by way what was wrong and how its runs ended."""
    counted = {name: Counter() for name, _ in ways}
    for number in range(first, first + schedules):
        schedule = drawn(f"{seed}/{number}")
        for name, each in ways:
            played = play(number, schedule, database="duckdb", way=each, trades_per_day=_TRADES_A_DAY)
            counted[name] += played.counts + played.notes + Counter({"schedules": 1, "wrong": bool(played.wrong)})
    return counted


def table(counted: dict[str, Counter[str]]) -> str:
    """As Markdown."""
    head = ["way", "schedules", "wrong in the end", "last run failed", *KINDS]
    lines = [" | ".join(head), " | ".join(["---", *["---:"] * (len(head) - 1)])]
    lines += [
        " | ".join([name, *(f"{counts[kind]:,}" for kind in ("schedules", "wrong", _FAILED, *KINDS))])
        for name, counts in counted.items()
    ]
    return "\n".join(f"| {line} |" for line in lines)
