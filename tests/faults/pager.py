"""Fuzzing of the pager: servers whose answers contradict themselves or each other, while rows come, go and move.

Here belongs what such a server says, and what may become of a read: a clear error, or rows that an honest server could
have had. A lie is one that shows: an answer whose numbers and rows do not fit, or that is no answer. Between lies the
server is honest about a ledger that changes at most twice, as in `paging.py`. Every read ends.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from broker.ledger import FIRST, transaction
from hypothesis import HealthCheck, given, settings, target
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tasty_pipeline.core.errors import TastyError

from .lists import DAY, SHAPES, Change, Listed, Shape, held_after
from .paging import misplaced, unsound
from .tally import Tally

Answer = dict[str, Any]


def _count(answer: Answer, by: int) -> None:
    answer["pagination"]["current-item-count"] += by


def _total(answer: Answer, by: int) -> None:
    answer["pagination"]["total-items"] += by


def _short(answer: Answer, place: int) -> None:
    items = answer["data"]["items"]
    del items[place % len(items)]


def _twice(answer: Answer, place: int) -> None:
    items = answer["data"]["items"]
    items.append(items[place % len(items)])
    _count(answer, 1)
    _total(answer, 1)


def _other_account(answer: Answer, place: int) -> None:
    items = answer["data"]["items"]
    items[place % len(items)] |= {"account-number": "A2"}


def _pagination(name: str, value: Callable[[int], Any]) -> Callable[[Answer, int], None]:
    def lie(answer: Answer, by: int) -> None:
        answer["pagination"][name] = value(by)

    return lie


# Each makes an answer with rows contradict itself, so that it is never taken for the truth.
CONTRADICTIONS: Mapping[str, Callable[[Answer, int], None]] = {
    "a count too high": _count,
    "a count too low": lambda answer, by: _count(answer, -by),
    "a row left out": _short,
    "a row twice": _twice,
    "a row of another account": _other_account,
    "another page than was asked for": _pagination("page-offset", lambda by: 50 + by),
    "a negative page": _pagination("page-offset", lambda by: -by),
    "a negative total": _pagination("total-items", lambda by: -by),
    "a total in words": _pagination("total-items", lambda _: "many"),
    "no total": _pagination("total-items", lambda _: None),
    "no rows in spite of all": lambda answer, _: answer["data"].update(items=[]),
    "null for the rows": lambda answer, _: answer["data"].update(items=None),
    "no data": lambda answer, _: answer.pop("data"),
}
# Each makes an answer that is asked for again or in another way.
ODDITIES: Mapping[str, Callable[[Answer, int], None]] = {
    "a total too high": _total,
    "a total beyond all pages": _pagination("total-items", lambda by: 10**12 + by),
    "a page of one": _pagination("per-page", lambda _: 1),
    "a page without end": _pagination("per-page", lambda _: 10**9),
    "pages of no size": _pagination("per-page", lambda _: 0),
    "another order": lambda answer, by: random.Random(by).shuffle(answer["data"]["items"]),  # noqa: S311
}


def _endless(total: Callable[[int], int]) -> Callable[[Answer, int], None]:
    def lie(answer: Answer, by: int) -> None:
        pagination = answer["pagination"]
        first, size = pagination["page-offset"] * pagination["per-page"], pagination["per-page"]
        answer["data"]["items"] = [transaction(5000 + first + n, FIRST + by * DAY) for n in range(size)]
        pagination |= {"current-item-count": size, "total-items": total(first + size)}

    return lie


# Each has new rows on every page that anybody asks for.
ENDLESS: Mapping[str, Callable[[Answer, int], None]] = {
    "a total that is never reached": _endless(lambda _: 10**12),
    "a total that grows with every page": _endless(lambda read: read + 1),
}
LIES = {**CONTRADICTIONS, **ODDITIES, **ENDLESS}
NEVER_TRUE = {*CONTRADICTIONS, *ENDLESS}


@dataclass
class Liar(Listed):
    """Answers honestly but for the answers in `lies`, by their number; `always` is told in every answer with rows."""

    lies: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    always: tuple[str, int] | None = None
    told: int = 0

    def body(self, start: str, end: str, offset: int, size: int) -> bytes:
        answer = json.loads(super().body(start, end, offset, size))
        kind, by = self.always or self.lies.get(self.asked, ("", 0))
        # one row and the total is how a range is counted: what it says too much or too little shows nowhere
        if kind and size > 1 and (answer["data"]["items"] or kind in ENDLESS):
            LIES[kind](answer, by)
            self.told += 1
        return json.dumps(answer).encode()


@dataclass(frozen=True)
class Case:
    """A list, a server's lies, and what happens meanwhile."""

    shape: Shape
    order: int
    moments: tuple[tuple[int, Change], ...]
    lies: Mapping[int, tuple[str, int]]
    always: tuple[str, int] | None


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a server."""
    days = draw(st.lists(st.one_of(st.integers(0, 39), st.just(20)), max_size=12))
    shape = Shape(
        "drawn",
        tuple(sorted(days)),
        page_rows=draw(st.integers(2, 5)),
        by=draw(st.sampled_from(["transaction-date", "executed-at"])),
        bounds=draw(st.sampled_from([(0, 0), (0, 0), (1, 0), (0, 1), (1, 1)])),
        leaky=draw(st.booleans()),
    )
    lie = st.tuples(st.sampled_from(sorted(CONTRADICTIONS | ODDITIES)), st.integers(1, 3))
    always = draw(st.one_of(st.none(), st.none(), st.tuples(st.sampled_from(sorted(LIES)), st.integers(1, 3))))
    lies = draw(st.dictionaries(st.integers(1, 30), lie, max_size=6))
    return Case(shape, draw(st.integers(0, 4)), draw(_moments(shape)), lies, always)


@st.composite
def _moments(draw: st.DrawFn, shape: Shape) -> tuple[tuple[int, Change], ...]:
    found: list[tuple[int, Change]] = []
    for key in draw(st.lists(st.sampled_from([row["id"] for row in shape.rows] + [2000, 2001]), max_size=2)):
        day = FIRST + timedelta(days=draw(st.integers(0, 39)))
        gone = key < 2000 and draw(st.booleans())
        if any(change.key == key and change.row is None for _, change in found):
            continue
        change = Change(f"{key} {'removed' if gone else f'to {day}'}", key, None if gone else shape.row(key, day))
        found.append((draw(st.integers(2, 30)), change))
    return tuple(sorted(found, key=lambda each: each[0]))


@dataclass
class Fuzz:
    """Reads from liars and counts what became of it."""

    tally: Tally
    last: Case | None = None

    def read(self, case: Case) -> int:
        """Read once; return how many requests it took.

        Raises AssertionError where the result is none that an honest server could have given.
        """
        self.last = case
        self.tally.tried += 1
        shape, notes = case.shape, self.tally.notes
        ledger = Liar.of(
            shape.rows,
            page_rows=shape.page_rows,
            by=shape.by,
            bounds=shape.bounds,
            leaky=shape.leaky,
            lies=case.lies,
            always=case.always,
        )
        states, waiting = [shape.truth(shape.rows)], list(case.moments)

        def happen(number: int) -> None:
            while waiting and waiting[0][0] <= number:
                waiting.pop(0)[1].apply(ledger.rows)
                states.append(shape.truth(ledger.rows.values()))

        ledger.before = happen
        try:
            read = shape.read(ledger, order=case.order)
            held = held_after({}, read)
        except TastyError:
            notes["refused"] += 1
            assert ledger.told or len(states) > 1, "an honest server is refused"
        else:
            notes["read"] += 1
            notes["read in spite of lies"] += bool(ledger.told)
            flaw = misplaced(read) or unsound(held, states)
            assert not flaw, flaw
            always = case.always is not None and case.always[0] in NEVER_TRUE
            assert not (always and held), "nothing but contradictions, and taken for the truth"
        notes["lies"] += ledger.told
        notes["changes"] += len(states) - 1
        notes["most requests of one read"] = max(notes["most requests of one read"], ledger.asked)
        return ledger.asked


def _single() -> list[Case]:
    """Return each lie told always, and once in each answer of a quiet read, of a few lists."""
    found = []
    for shape in SHAPES[:3]:
        ledger = shape.ledger(shape.rows)
        shape.read(ledger)
        found += [Case(shape, 0, (), {}, (kind, 1)) for kind in LIES]
        found += [
            Case(shape, 0, (), {answer: (kind, 1)}, None)
            for kind in sorted(CONTRADICTIONS | ODDITIES)
            for answer in range(1, ledger.asked + 1)
        ]
    return found


def search(*, seed: int = 0, examples: int = 1_000, lies: int | None = None) -> Tally:
    """Read from servers with one lie, all of them or so many, and from so many that Hypothesis draws."""
    promise = "a read from a server that contradicts itself ends, in an error or in rows that an honest one could have"
    tally = Tally(promise, seed=seed)
    fuzz = Fuzz(tally)
    single = _single()
    if lies is not None:
        single = random.Random(seed).sample(single, min(lies, len(single)))  # noqa: S311 - no secret

    @seeded(seed)
    @settings(max_examples=max(examples, 1), database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def drawn(case: Case) -> None:
        target(float(fuzz.read(case)), label="requests")

    for work in (*(partial(fuzz.read, case) for case in single), *([drawn] if examples else [])):
        try:
            work()
        except Exception as error:  # noqa: BLE001 - any error that is not one of our own is what is searched for
            tally.broken.append(f"seed {seed}: {type(error).__name__}: {error!s:.300} for {fuzz.last}")
    return tally
