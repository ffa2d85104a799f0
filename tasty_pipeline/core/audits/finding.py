"""What an audit finds, and how it is told.

Here belongs only the form; what is asked of the tables is in the modules beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import sqlalchemy as sa

from tasty_pipeline.core.schema import DAY

SAMPLE = 10

Days = tuple[date, date] | None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one audit. `breaks` counts what is wrong, `sample` shows at most ten of it."""

    passed: bool
    summary: str
    breaks: int = 0
    sample: Sequence[dict[str, Any]] = ()
    recovery: str = ""
    warning: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def found(
    rows: Sequence[dict[str, Any]], good: str, bad: str, recovery: str, *, warning: bool = False, **facts: Any
) -> Finding:
    """Return the outcome: it holds where there are no `rows` that break it; `bad` has a place for their number."""
    if not rows:
        return Finding(passed=True, summary=good, facts=facts)
    return Finding(
        passed=False,
        summary=bad.format(len(rows)),
        breaks=len(rows),
        sample=rows[:SAMPLE],
        recovery=recovery,
        warning=warning,
        facts=facts,
    )


def within(table: sa.Table, window: Days) -> list[Any]:
    """Return the condition that a row's day lies in the window, for tables that have days."""
    return [table.c[DAY[table.name]].between(*window)] if window and table.name in DAY else []
