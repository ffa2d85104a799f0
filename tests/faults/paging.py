"""Paging drift, exhaustively: every change at every position of a list, before every request of a read.

Here belongs when something happens and what must hold of the read; the lists, and what happens to them, are in
`lists.py`. What a whole sync makes of it is tried in `drift.py`.
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from broker.brokerage import Rows, typed

from tasty_pipeline.core.broker import ProvenRead, Receipt
from tasty_pipeline.core.errors import IncompleteAnswerError

from .lists import SHAPES, SMALL, Change, EndlessError, Listed, Shape, Start, held_after
from .tally import Tally

# the order in which answers are made of what was asked for at once; 0 is that of the questions
ORDERS = (0, 1)


@dataclass(frozen=True)
class Point:
    """One read: its list, its beginning, the order of its answers, and what happens before which of them."""

    name: str
    shape: Shape
    start: Start
    order: int
    requests: int  # of a read during which nothing happens
    moments: Sequence[tuple[int, Change]]

    def __str__(self) -> str:
        events = "; ".join(f"{change.said} before answer {moment}" for moment, change in self.moments)
        return f"{self.name}: {self.shape.name}, {self.start.name}, order {self.order}: {events}"


class Search:
    """Plays points. One is named by its beginning and, for each change, by the answer and the change: `17.5.120`."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.beginnings = [
            (shape, start, order, self._requests(shape, start, order))
            for shape in (*SHAPES, SMALL)
            for start in shape.starts
            for order in ORDERS
        ]
        self._repaired: dict[Any, bool] = {}

    @staticmethod
    def _requests(shape: Shape, start: Start, order: int) -> int:
        ledger = shape.ledger(start.rows)
        shape.read(ledger, start.receipts, order)
        return ledger.asked

    def singles(self) -> Iterator[tuple[int, ...]]:
        """Yield every change before every request, and after the last."""
        for number, (shape, _, _, requests) in enumerate(self.beginnings):
            for moment in range(1, requests + 2):
                for change in range(len(shape.changes)):
                    yield number, moment, change

    def pairs(self) -> Iterator[tuple[int, ...]]:
        """Yield every two changes of the small list, each before any request, also before those that the first adds."""
        for number, (shape, start, order, requests) in enumerate(self.beginnings):
            if shape is not SMALL or order or start not in shape.starts[:2]:
                continue
            chosen = [place for place, change in enumerate(shape.changes) if change in shape.moves]
            for earlier in range(1, requests + 1):
                for later in range(earlier, requests + 4):
                    for first, second in product(chosen, repeat=2):
                        if _possible(shape.changes[first], shape.changes[second]):
                            yield number, earlier, first, later, second

    def drawn(self, chance: random.Random) -> tuple[int, ...]:
        """Return two changes of any list; or three, where one row moves twice while another is booked."""
        number = chance.randrange(len(self.beginnings))
        shape, _, _, requests = self.beginnings[number]
        places = range(len(shape.changes))
        if chance.random() < 1 / 2:
            changes = chance.choices(places, k=2)
            while not _possible(*(shape.changes[place] for place in changes)):
                changes = chance.choices(places, k=2)
        else:
            key, ids = chance.choice(shape.rows)["id"], {row["id"] for row in shape.rows}
            moves = [place for place in places if shape.changes[place].key == key and shape.changes[place].row]
            booked = [place for place in places if shape.changes[place].key not in ids]
            changes = chance.sample([*chance.sample(moves, 2), chance.choice(booked)], 3)
        moments = sorted(chance.randint(1, 2 * requests) for _ in changes)
        return number, *chain(*zip(moments, changes, strict=True))

    def point(self, numbers: Sequence[int]) -> Point:
        """Return the point of this name."""
        shape, start, order, requests = self.beginnings[numbers[0]]
        moments = [(moment, shape.changes[change]) for moment, change in zip(numbers[1::2], numbers[2::2], strict=True)]
        return Point(".".join(map(str, numbers)), shape, start, order, requests, moments)

    def play(self, point: Point) -> None:
        """Read while it happens, then once more in peace; write down what is wrong."""
        shape, start, notes = point.shape, point.start, self.tally.notes
        ledger = shape.ledger(start.rows)
        states = [shape.truth(start.rows)]
        waiting = list(point.moments)

        def happen(number: float) -> None:
            while waiting and waiting[0][0] <= number:
                waiting.pop(0)[1].apply(ledger.rows)
                states.append(shape.truth(ledger.rows.values()))

        ledger.before = happen
        held, receipts, flaw = start.published, start.receipts, ""
        try:
            read = shape.read(ledger, start.receipts, point.order)
            held, flaw = held_after(start.published, read), misplaced(read)
            receipts = (*read.receipts, *(each for each in start.receipts if each.span in read.unchanged))
            flaw = flaw or unsound(held, states) or _between(held, states)
            notes["held as before" if held == states[0] else "held as after, or in between"] += 1
        except IncompleteAnswerError:
            notes["refused"] += 1
        except EndlessError:
            flaw = "it goes on asking"
        notes["asked again"] += ledger.asked > point.requests
        happen(math.inf)
        ledger.before = lambda _: None
        if not flaw and not self._repairs(shape, ledger, held, receipts):
            flaw = "a quiet read afterwards does not give the truth"
        self.tally.tried += 1
        if flaw:
            self.tally.broken.append(f"{point}: {flaw}")

    def _repairs(self, shape: Shape, ledger: Listed, held: Rows, receipts: Sequence[Receipt]) -> bool:
        """Say whether the table is as the ledger after a quiet read."""
        key = (shape, str(sorted(ledger.rows.items())), str(sorted(held.items())), tuple(receipts))
        if key not in self._repaired:
            repaired = held_after(held, shape.read(ledger, receipts))
            self._repaired[key] = repaired == shape.truth(ledger.rows.values())
        return self._repaired[key]


def _possible(first: Change, second: Change) -> bool:
    """Say whether one may follow the other: a row that was taken away never comes back with its id."""
    return first.key != second.key or (first.row is not None and first != second)


def misplaced(read: ProvenRead) -> str:
    """Say whether a row is there twice, or on the wrong side of the bounds that were asked for."""
    wanted = [day for part in read.rows.batches() for day in part["transaction_date"].to_pylist()]
    others = read.outside["transaction_date"].to_pylist()
    ids = [row["transaction_id"] for row in typed(read)]
    if len(ids) != len(set(ids)):
        return "a row twice"
    if any(not read.start <= day <= read.end for day in wanted) or any(read.start <= day <= read.end for day in others):
        return "a row on the wrong side of the bounds"
    return "" if {day: rows for day, (rows, _) in read.days.items()} == Counter(wanted) else "days that are miscounted"


def _between(held: Rows, states: Sequence[Rows]) -> str:
    return "" if len(states) > 2 or held in states else "neither the state before nor the one after"


def unsound(held: Rows, states: Sequence[Rows]) -> str:
    """Say which row was lost or invented, of a ledger that was in these states; empty if none was."""
    always = set.intersection(*(set(state) for state in states))
    lost = sorted(always - held.keys())
    wrong = sorted(key for key, row in held.items() if row not in [state.get(key) for state in states])
    return "; ".join(f"{what} {which}" for what, which in (("lost", lost), ("never so", wrong)) if which)


def search(*, seed: int = 0, reads: int | None = None, drawn: int = 0, only: str | None = None) -> Tally:
    """Try every single change, and every pair on a small list, or `reads` of the former.

    Besides so many of two or three are drawn from all lists. `only` plays one point again, by its name.
    """
    tally = Tally("a change at any position before any request of a read is seen or harmless", seed=seed)
    found, chance = Search(tally), random.Random(seed)  # noqa: S311 - no secret
    if only is not None:
        found.play(found.point([int(number) for number in only.split(".")]))
        return tally
    points: Iterable[tuple[int, ...]] = chain(found.singles(), found.pairs())
    if reads is not None:
        singles = list(found.singles())
        points = chance.sample(singles, min(reads, len(singles)))
    for numbers in chain(points, (found.drawn(chance) for _ in range(drawn))):
        found.play(found.point(numbers))
    return tally
