"""Asks for a range of days until the answers prove themselves complete.

Here belongs the order of the requests: one page if it fits, otherwise windows, read twice. What counts as proven is
decided in `proof.py`, which days a window holds in `windows.py`, what becomes of the rows meanwhile in `shelf.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from tasty_pipeline.core.broker import proof, windows
from tasty_pipeline.core.broker.contents import Page, digest_of
from tasty_pipeline.core.broker.proof import Pass, Reading
from tasty_pipeline.core.broker.shelf import Proven, Receipt, Shelf
from tasty_pipeline.core.broker.windows import Span
from tasty_pipeline.core.errors import AuthenticationError, ConfigurationError, IncompleteAnswerError

ATTEMPTS = 5
PASSES = 6
_MISSES_BEFORE_PAGES = 2
_PROBE_ROWS = 50
_REMEDY = (
    "nothing, if the account is being corrected right now: the old rows stay and the next run asks again. If it lasts, "
    "read a shorter range, and report the numbers above."
)
T = TypeVar("T")
DayRows = tuple[date, int]


class Listing(Protocol):
    """One paged list of one account, filtered by days.

    `inclusive` says whether the bounds of the filter are known to belong to the range; None where nobody asked yet.
    """

    table: sa.Table
    subject: str
    time_of_day: str | None
    page_rows: int  # that one answer can hold
    slots: int
    threads: Executor
    inclusive: bool | None

    async def fetch(self, span: Span, offset: int, size: int) -> bytes:
        """The bytes of one page of the rows in `span`, oldest first if the API sorts at all."""
        ...

    def read(self, body: bytes) -> Page:
        """What a page says; takes some milliseconds and may run in a thread."""
        ...


@dataclass(frozen=True)
class _TooLarge:
    """A window that does not fit one page: its total, and a day of the page with the number of its rows there."""

    total: int
    day: DayRows | None


class Prover:
    """Reads one range of one listing. Raises `IncompleteAnswerError` where no proof is reached."""

    def __init__(self, listing: Listing, shelf: Shelf, known: Iterable[Receipt] = ()) -> None:
        if shelf.start > shelf.end:
            raise ConfigurationError(
                f"The range {shelf.start} to {shelf.end} ends before it begins.", "swap the two days."
            )
        self._listing = listing
        self._shelf = shelf
        self._span = windows.padded(shelf.start, shelf.end)
        # what fits one page is read at once
        inside = [each for each in known if self._span.start <= each.span.start and each.span.end <= self._span.end]
        many = sum(each.rows for each in inside) > listing.page_rows
        self._known = {each.span: each for each in inside} if many else {}
        # an answer is read before the next is asked for: so many bodies are in memory, and no more
        self._slots = asyncio.Semaphore(listing.slots)

    async def read(self) -> Proven:
        """Every row of the range's days, both ends included."""
        if self._known:
            return await self._read_known()
        started_at = datetime.now(UTC)
        answer = await self._window(self._span)
        if isinstance(answer, Reading):
            return self._proven(Pass((answer,), started_at), started_at)
        await self._learn_bounds(answer.day)
        return await self._settled(await self._deepened(self._span, answer.total), started_at, answer.total)

    async def _learn_bounds(self, seen: DayRows | None) -> bool:
        """Say whether the bounds of the filter belong to the range: then windows need not overlap.

        Asked once: a range of one day shows that day's rows if they do. If one of them does not it is empty, but for
        what a leaky filter lets through. While no day with rows is known nothing is found out.
        """
        if self._listing.inclusive is None and seen is not None:
            day, rows = seen
            async with self._slots:
                page = self._listing.read(await self._listing.fetch(Span(day, day), 0, _PROBE_ROWS))
            self._listing.inclusive = page.total >= rows and day in self._shelf.days_of(page)
        return bool(self._listing.inclusive)

    async def _read_known(self) -> Proven:
        """Read with what was proven before, as far as that is of use."""
        started_at = datetime.now(UTC)
        total = await self._total()
        pieces = windows.filled(self._span, self._known)
        readings = await self._fitting(pieces, await together(self._window(piece) for piece in pieces))
        if all(reading.keys is None for reading in readings):
            first = Pass(tuple(readings), started_at)
            if first.rows(self._listing.table) == total:
                return self._proven(first, started_at)
        if all(reading.exact for reading in readings) and await self._learn_bounds(_day_in(readings)):
            return await self._settled(readings, started_at, total)
        return await self._anew(readings)

    async def _anew(self, readings: Sequence[Reading]) -> Proven:
        """Read everything, whatever was proven before."""
        self._known = {}
        self._shelf.drop(readings)
        return await self.read()

    async def _settled(self, readings: Sequence[Reading], started_at: datetime, counted: int) -> Proven:
        earlier, misses, unlike = Pass(tuple(readings), started_at), 0, ""
        # most often the second pass changes nothing
        self._listing.threads.submit(self._shelf.prepare, earlier)
        for _ in range(PASSES):
            later, verdict = await self._second(earlier)
            whole, counted = earlier.rows(self._listing.table) + earlier.others >= counted, verdict.before
            if verdict.still and verdict.counted and whole:
                # rows of other days than were asked for could be of the days of a window that was not looked into
                if self._known and not all(reading.exact for reading in later.readings):
                    return await self._anew(later.readings)
                return self._proven(later, earlier.started_at)
            unlike = str(verdict)
            missed = verdict.still and not verdict.counted
            misses += missed
            if missed and misses == _MISSES_BEFORE_PAGES:
                later = await self._by_pages(later)
            earlier = later
        raise IncompleteAnswerError(
            f"{self._listing.subject} from {self._span.start} to {self._span.end} could not be proven complete in "
            f"{PASSES + 1} passes: {unlike}.",
            _REMEDY,
        )

    async def _by_pages(self, tried: Pass) -> Pass:
        """Ask for the whole range in one question, where windows agree with each other and not with the total."""
        started_at = datetime.now(UTC)
        self._known = {}
        self._shelf.drop(tried.readings)
        return Pass(tuple(await self._pages(self._span)), started_at)

    async def _second(self, earlier: Pass) -> tuple[Pass, proof.Verdict]:
        started_at = datetime.now(UTC)
        # the slots are given in this order: the range is counted first and last
        asked: list[Awaitable[Any]] = [self._total(), *(self._again(each) for each in earlier.readings)]
        # the later pages of a window are asked for when its first ones are there: then the count has to wait
        at_once = all(reading.pages == 1 for reading in earlier.readings)
        results = await together([*asked, self._total()] if at_once else asked)
        before, after = results[0], results.pop() if at_once else await self._total()
        readings = sorted((each for some in results[1:] for each in some), key=lambda one: one.span)
        later = Pass(tuple(readings), started_at)
        verdict = proof.compare(self._listing.table, earlier, later, (before, after), self._shelf.content)
        kept = set(map(id, later.readings))
        self._shelf.drop(reading for reading in earlier.readings if id(reading) not in kept)
        return later, verdict

    async def _again(self, earlier: Reading) -> list[Reading]:
        if earlier.pages > 1:
            return await self._pages(earlier.span, earlier)
        answer = await self._window(earlier.span, earlier)
        return [answer] if isinstance(answer, Reading) else await self._deepened(earlier.span, answer.total)

    async def _deepened(self, span: Span, total: int) -> list[Reading]:
        pieces = windows.cut(span, total, overlapping=not self._listing.inclusive)
        answers = await together(self._window(piece) for piece in pieces)
        # Nothing to cut, or no piece holds less than the whole: a filter that does not filter.
        if all(isinstance(answer, _TooLarge) and answer.total >= total for answer in answers):
            return await self._pages(span)
        return await self._fitting(pieces, answers)

    async def _fitting(self, pieces: Sequence[Span], answers: Sequence[Reading | _TooLarge]) -> list[Reading]:
        deeper = await together(
            self._deepened(piece, answer.total)
            for piece, answer in zip(pieces, answers, strict=True)
            if isinstance(answer, _TooLarge)
        )
        fitting = [answer for answer in answers if isinstance(answer, Reading)]
        return sorted([*fitting, *(leaf for some in deeper for leaf in some)], key=lambda reading: reading.span)

    async def _window(self, span: Span, earlier: Reading | None = None) -> Reading | _TooLarge:
        flaw = ""
        known = self._known.get(span)
        for _ in range(ATTEMPTS):
            async with self._slots:
                body = await self._listing.fetch(span, 0, windows.PAGE_ROWS)
                if earlier is not None and await self._is(body, earlier.digests[0]):
                    return earlier
                if known is not None and await self._is(body, known.digest):
                    return known.reading()
                page = await self._aside(self._listing.read, body)
                if page.total > page.size:
                    return _TooLarge(page.total, self._shelf.middle_of(page))
                answer = await self._aside(self._shelf.one_page, span, page)
            if isinstance(answer, Reading):
                return answer
            flaw = answer
        raise self._contradiction(span, flaw)

    async def _pages(self, span: Span, earlier: Reading | None = None) -> list[Reading]:
        flaw = ""
        for _ in range(ATTEMPTS):
            pages = [await self._page(span, 0)]
            if pages[0].total > windows.MOST_PAGES * pages[0].size:
                raise self._endless(span, pages[0])
            while _goes_on(pages):
                pages.append(await self._page(span, len(pages)))
            if earlier is not None and earlier.digests == tuple(page.digest for page in pages):
                return [earlier]
            answer = await self._aside(self._shelf.many_pages, span, pages)
            if isinstance(answer, Reading):
                return [answer]
            flaw = answer
        raise self._contradiction(span, flaw)

    async def _page(self, span: Span, offset: int) -> Page:
        async with self._slots:
            body = await self._listing.fetch(span, offset, windows.PAGE_ROWS)
            return await self._aside(self._listing.read, body)

    async def _is(self, body: bytes, digest: str) -> bool:
        return await self._aside(digest_of, body) == digest

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Do what takes milliseconds in a thread, while the next answers arrive."""
        return await asyncio.get_running_loop().run_in_executor(self._listing.threads, work, *given)

    async def _total(self) -> int:
        async with self._slots:
            return self._listing.read(await self._listing.fetch(self._span, 0, 1)).total

    def _proven(self, taken: Pass, started_at: datetime) -> Proven:
        return Proven(self._listing.subject, self._listing.time_of_day, taken, started_at, datetime.now(UTC))

    def _endless(self, span: Span, page: Page) -> IncompleteAnswerError:
        return IncompleteAnswerError(
            f"{self._listing.subject} from {span.start} to {span.end} are said to be {page.total} rows on pages of "
            f"{page.size}, more than any account has.",
            _REMEDY,
        )

    def _contradiction(self, span: Span, flaw: str) -> IncompleteAnswerError:
        return IncompleteAnswerError(
            f"{self._listing.subject} from {span.start} to {span.end} contradicted itself {ATTEMPTS} times, "
            f"last with {flaw}.",
            _REMEDY,
        )


def _day_in(readings: Iterable[Reading]) -> DayRows | None:
    return next(((day, rows) for reading in readings for day, rows in reading.days.items()), None)


def _goes_on(pages: list[Page]) -> bool:
    """Say whether there is another page to ask for.

    A server that repeats itself is not asked for ever, nor one whose total grows with every page.
    """
    first, last = pages[0], pages[-1]
    read = sum(page.items for page in pages)
    some = len(pages) < -(-first.total // first.size) + windows.PAGES_AT_MOST
    return some and read < last.total and bool(last.items) and last.offset == len(pages) - 1


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
