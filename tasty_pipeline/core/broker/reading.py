"""Asks for a range of days until the answers prove themselves complete.

Here belongs the order of the requests: one page if it fits, otherwise windows, read twice. What counts as proven is
decided in `proof.py`, which days a window holds in `windows.py`.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol, TypeVar

from tasty_pipeline.core.broker import proof, windows
from tasty_pipeline.core.broker.decode import Page
from tasty_pipeline.core.broker.proof import Collection, Key, KeyOf, Reading, Row
from tasty_pipeline.core.broker.windows import Span, Window
from tasty_pipeline.core.errors import AuthenticationError, ConfigurationError, IncompleteAnswerError

ATTEMPTS = 5
PASSES = 6
_MISSES_BEFORE_PAGES = 2
_REMEDY = (
    "nothing, if the account is being corrected right now: the old rows stay and the next run asks again. If it lasts, "
    "read a shorter range, and report the numbers above."
)
T = TypeVar("T")


@dataclass(frozen=True)
class ProvenRead:
    """Rows of the API, complete for the days from `start` to `end` by the argument of `proof.py`.

    `rows` are raw payloads, distinct by key, all that came back, also from days outside the range: the caller decides
    by each row's own date. `windows` are the windows of the pass that was taken. `started_at` is before the first
    request whose answer was used, `ended_at` after the last; both aware, in UTC.
    """

    rows: tuple[dict[str, Any], ...] = field(repr=False)
    start: date
    end: date
    windows: tuple[Window, ...]
    started_at: datetime
    ended_at: datetime


class Listing(Protocol):
    """One paged list of one account, filtered by days."""

    subject: str
    time_of_day: str | None
    key_of: KeyOf

    async def page(self, span: Span, offset: int, size: int) -> Page:
        """One page of the rows in `span`, oldest first if the API sorts at all."""
        ...


@dataclass(frozen=True)
class _TooLarge:
    total: int


class Prover:
    """Reads ranges of one listing. Raises `IncompleteAnswerError` where no proof is reached."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    async def read(self, start: date, end: date) -> ProvenRead:
        """Every row of the days `start` to `end`, both included."""
        if start > end:
            raise ConfigurationError(f"The range {start} to {end} ends before it begins.", "swap the two days.")
        span = windows.padded(start, end)
        started_at = datetime.now(UTC)
        answer = await self._window(span)
        if isinstance(answer, Reading):
            found = proof.merged([answer], {}, started_at)
        else:
            found, started_at = await self._settled(span, answer.total)
        return ProvenRead(
            rows=tuple(found.rows.values()),
            start=start,
            end=end,
            windows=tuple(self._as_window(reading) for reading in found.readings),
            started_at=started_at,
            ended_at=datetime.now(UTC),
        )

    async def _settled(self, span: Span, total: int) -> tuple[Collection, datetime]:
        started_at = datetime.now(UTC)
        earlier = proof.merged(await self._deepened(span, total), {}, started_at)
        misses = 0
        for _ in range(PASSES):
            before = await self._total(span)
            later = await self._again(earlier)
            verdict = proof.compare(earlier, later, before, await self._total(span))
            if verdict.still and verdict.counted:
                return later, earlier.started_at
            misses += verdict.still
            if misses == _MISSES_BEFORE_PAGES:
                misses += 1
                later = await self._whole_by_pages(span, later.rows)
            earlier = later
        raise IncompleteAnswerError(
            f"{self._listing.subject} from {span.start} to {span.end} could not be proven complete in "
            f"{PASSES + 1} passes: {verdict}.",
            _REMEDY,
        )

    async def _again(self, earlier: Collection) -> Collection:
        started_at = datetime.now(UTC)
        nested = await together(
            self._pages(reading.span) if reading.pages > 1 else self._leaves(reading.span)
            for reading in earlier.readings
        )
        return proof.merged((reading for some in nested for reading in some), earlier.rows, started_at)

    async def _whole_by_pages(self, span: Span, known: Mapping[Key, Row]) -> Collection:
        started_at = datetime.now(UTC)
        return proof.merged(await self._pages(span), known, started_at)

    async def _leaves(self, span: Span) -> list[Reading]:
        answer = await self._window(span)
        return [answer] if isinstance(answer, Reading) else await self._deepened(span, answer.total)

    async def _deepened(self, span: Span, total: int) -> list[Reading]:
        pieces = windows.cut(span, total)
        answers = await together(self._window(piece) for piece in pieces)
        # Nothing to cut, or no piece holds less than the whole: a filter that does not filter.
        if all(isinstance(answer, _TooLarge) and answer.total >= total for answer in answers):
            return await self._pages(span)
        deeper = await together(
            self._deepened(piece, answer.total)
            for piece, answer in zip(pieces, answers, strict=True)
            if isinstance(answer, _TooLarge)
        )
        fitting = [answer for answer in answers if isinstance(answer, Reading)]
        return sorted([*fitting, *(leaf for some in deeper for leaf in some)], key=lambda reading: reading.span)

    async def _window(self, span: Span) -> Reading | _TooLarge:
        flaw = ""
        for _ in range(ATTEMPTS):
            page = await self._listing.page(span, 0, windows.PAGE_ROWS)
            if page.total > page.size:
                return _TooLarge(page.total)
            answer = proof.as_one_answer(span, page, self._listing.key_of)
            if isinstance(answer, Reading):
                return answer
            flaw = answer
        raise self._contradiction(span, flaw)

    async def _pages(self, span: Span) -> list[Reading]:
        flaw = ""
        for _ in range(ATTEMPTS):
            pages = [await self._listing.page(span, 0, windows.PAGE_ROWS)]
            while _goes_on(pages):
                pages.append(await self._listing.page(span, len(pages), windows.PAGE_ROWS))
            answer = proof.as_pages(span, pages, self._listing.key_of)
            if isinstance(answer, Reading):
                return [answer]
            flaw = answer
        raise self._contradiction(span, flaw)

    async def _total(self, span: Span) -> int:
        return (await self._listing.page(span, 0, 1)).total

    def _contradiction(self, span: Span, flaw: str) -> IncompleteAnswerError:
        return IncompleteAnswerError(
            f"{self._listing.subject} from {span.start} to {span.end} contradicted itself {ATTEMPTS} times, "
            f"last with {flaw}.",
            _REMEDY,
        )

    def _as_window(self, reading: Reading) -> Window:
        return Window(reading.span.start, reading.span.end, reading.total, reading.pages, self._listing.time_of_day)


def _goes_on(pages: list[Page]) -> bool:
    """Say whether there is another page to ask for; a server that repeats itself is not asked for ever."""
    last = pages[-1]
    read = sum(len(page.items) for page in pages)
    return read < last.total and bool(last.items) and last.offset == len(pages) - 1


async def together(waits: Iterable[Awaitable[T]]) -> list[T]:
    """All results in order; the first failure cancels the rest and is raised alone.

    Of several failures at once a refused login is the one that tells most.
    """

    async def one(wait: Awaitable[T]) -> T:
        return await wait

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(wait)) for wait in waits]
    except BaseExceptionGroup as failures:
        causes = sorted(failures.exceptions, key=lambda cause: not isinstance(cause, AuthenticationError))
    else:
        return [task.result() for task in tasks]
    raise causes[0]
