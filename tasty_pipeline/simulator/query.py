"""Transactions asked for: which rows a query selects, in which order, and which page of them.

The filters follow the official description; what it leaves open (which column the dates read, whether the ends are
included, whether rows from outside slip in) follows the configuration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import ceil
from typing import Any

from tasty_pipeline.simulator.archive import Archive
from tasty_pipeline.simulator.config import SimulatorConfig
from tasty_pipeline.simulator.days import new_york_date
from tasty_pipeline.simulator.rows import Row

MAX_PER_PAGE = 2000
DEFAULT_PER_PAGE = 250
_LEAK = timedelta(days=3)
_CACHED_ANSWERS = 32


class BadQueryError(ValueError):
    """A parameter is refused: ``domain`` names it, ``reason`` says why."""

    def __init__(self, domain: str, reason: str) -> None:
        super().__init__(f"{domain}: {reason}")
        self.domain = domain
        self.reason = reason


@dataclass(frozen=True)
class Query:
    """The parameters of one request. ``many`` holds those of the form ``key[]=``."""

    one: Mapping[str, str]
    many: Mapping[str, Sequence[str]]

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a whole number within bounds."""
        text = self.one.get(key)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise BadQueryError(key, "is invalid") from None
        if not low <= value <= high:
            raise BadQueryError(key, "does not have a valid value")
        return value

    def date(self, key: str) -> date | None:
        """Return a day."""
        text = self.one.get(key)
        if not text:
            return None
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise BadQueryError(key, "is invalid") from None

    def moment(self, key: str) -> datetime | None:
        """Return a moment; without an offset it is UTC."""
        text = self.one.get(key)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise BadQueryError(key, "is invalid") from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def truth(self, key: str) -> bool:
        """Return a yes or no; absent is no."""
        return self.one.get(key, "").lower() == "true"

    @property
    def cache_key(self) -> tuple[Any, ...]:
        """What two queries must share to select the same rows."""
        paging = {"page-offset", "per-page"}
        single = tuple(sorted((k, v) for k, v in self.one.items() if k not in paging))
        return single, tuple(sorted((k, tuple(v)) for k, v in self.many.items()))


Answers = dict[tuple[Any, ...], tuple[int, list[Row]]]


def select(archive: Archive, query: Query, config: SimulatorConfig, answers: Answers) -> list[Row]:
    """Return all rows that a query selects, in its order. ``answers`` remembers them until the archive changes."""
    key = query.cache_key
    known = answers.get(key)
    if known and known[0] == archive.version:
        return known[1]
    rows = _select(archive, query, config)
    if query.one.get("sort", "Desc").lower() != "asc":
        rows.reverse()
    if len(answers) >= _CACHED_ANSWERS:
        answers.clear()
    answers[key] = (archive.version, rows)
    return rows


def _select(archive: Archive, query: Query, config: SimulatorConfig) -> list[Row]:
    if query.one.get("sort", "Desc").lower() not in {"asc", "desc"}:
        raise BadQueryError("sort", "does not have a valid value")
    if "type" in query.one and "types" in query.many:
        raise BadQueryError("type", "and types are mutually exclusive")
    start, end = query.date("start-date"), query.date("end-date")
    leak = _LEAK if config.leaky_filter else timedelta()
    rows = archive.near(start - leak if start else None, end + leak if end else None)
    for keep in (*_date_filters(start, end, config), *_moment_filters(query), *_field_filters(query)):
        rows = [row for row in rows if keep(row)]
    return rows


Filter = Callable[[Row], bool]


def _date_filters(start: date | None, end: date | None, config: SimulatorConfig) -> list[Filter]:
    if start is None and end is None:
        return []
    day = _DAYS[config.date_filter]
    first, last = start or date.min, end or date.max
    if start and config.inclusive in {"end", "neither"}:
        first += timedelta(days=1)
    if end and config.inclusive in {"start", "neither"}:
        last -= timedelta(days=1)
    if config.leaky_filter:
        # Not every row from outside slips in: one in three, so that the edge looks plausible.
        low = first - _LEAK if start else first
        high = last + _LEAK if end else last
        return [lambda row: first <= day(row) <= last or (low <= day(row) <= high and row.id % 3 == 0)]
    return [lambda row: first <= day(row) <= last]


_DAYS: dict[str, Callable[[Row], date]] = {
    "executed_utc": lambda row: row.executed_at.date(),
    "executed_new_york": lambda row: new_york_date(row.executed_at),
    "transaction_date": lambda row: row.transaction_date,
}


def _moment_filters(query: Query) -> list[Filter]:
    filters: list[Filter] = []
    start, end = query.moment("start-at"), query.moment("end-at")
    if start is not None:
        filters.append(lambda row: row.executed_at >= start)
    if end is not None:
        filters.append(lambda row: row.executed_at <= end)
    return filters


def _field_filters(query: Query) -> list[Filter]:
    filters: list[Filter] = []
    one = query.one
    if "type" in one:
        filters.append(lambda row: row.type == one["type"])
    if types := query.many.get("types"):
        filters.append(lambda row: row.type in types)
    if sub_types := query.many.get("sub-type"):
        filters.append(lambda row: row.sub_type in sub_types)
    if "action" in one:
        filters.append(lambda row: row.action == one["action"])
    if "instrument-type" in one:
        filters.append(lambda row: row.kind == one["instrument-type"])
    if "symbol" in one:
        filters.append(lambda row: row.symbol == one["symbol"])
    if "underlying-symbol" in one:
        filters.append(lambda row: one["underlying-symbol"] in {row.underlying, row.symbol})
    if "futures-symbol" in one:
        filters.append(lambda row: one["futures-symbol"] in {row.symbol, row.underlying})
    if one.get("currency", "USD") != "USD":
        filters.append(lambda _row: False)
    return filters


def page_of(query: Query, total: int, config: SimulatorConfig) -> tuple[slice, dict[str, Any]]:
    """Return which items of a list to send, and the ``pagination`` block that says so."""
    per_page = query.number("per-page", DEFAULT_PER_PAGE, 1, MAX_PER_PAGE)
    offset = query.number("page-offset", 0, 0, 2**31 - 1)
    first = offset * per_page
    here = slice(first, first + per_page)
    pages = ceil(total / per_page) if total else config.total_pages_when_empty
    return here, {
        "per-page": per_page,
        "page-offset": offset,
        "item-offset": first,
        "total-items": total,
        "total-pages": pages,
        "current-item-count": max(min(total - first, per_page), 0),
        "previous-link": None,
        "next-link": None,
        "paging-link-template": None,
    }
