"""A brokerage's history of transactions, made from a seed and rendered once: what the benchmarks' fake API serves.

Here belongs where the rows lie in one long text, and how some are changed or added. What one looks like belongs to
`fake_shapes.py`, how they travel to `fake_api.py`. Nothing of the pipeline is imported: the sums that a benchmark is
checked against are counted here, from the same integers that the rows were written from.
"""

import json
import mmap
import random
import tempfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from fake_shapes import UNIT, amount_text, effect, writers

FIRST_DAY = date(2017, 1, 3)
DAYS = 3650
# Rows of the last thirty days do not follow the length of the history: its newest part must cost the same whatever
# lies behind it.
RECENT_DAYS, RECENT_ROWS = 30, 400
LATE_DAYS = 10
_VERSION = 3
_FIRST_ID, _ID_STEP, _SHUFFLED = 100_000_000, 11, 64


@dataclass(frozen=True)
class Shape:
    """How many rows over how many days, and the seed that they are made from."""

    rows: int
    days: int = DAYS
    seed: int = 1

    @property
    def last_day(self) -> date:
        """The last day of the history, which is today for whoever reads it."""
        return FIRST_DAY + timedelta(days=self.days - 1)


@dataclass
class History:
    """The rows, oldest first: each at `starts[i]` of one long text, `until[d]` rows being dated day `d` or before.

    The rows of the last thirty days stand in `tail` instead, as text, id and net value: there rows are added.
    `replaced` holds the rows that were changed.
    """

    shape: Shape
    text: mmap.mmap
    starts: "array[int]"
    ids: "array[int]"
    nets: "array[int]"
    until: list[int]
    replaced: dict[int, bytes] = field(default_factory=dict)
    tail: list[tuple[bytes, int, int]] = field(default_factory=list)
    _made: tuple[list[int], int] = ([], 0)

    def __post_init__(self) -> None:
        self._made = (list(self.until), sum(self.nets))
        self._pristine = array("q", self.nets)
        self.reset()

    @property
    def total(self) -> int:
        """How many rows there are now."""
        return self.until[-1]

    @property
    def net(self) -> Decimal:
        """The sum of all net values, signed."""
        return Decimal(sum(self.nets) + sum(net for _, _, net in self.tail)) / UNIT

    def reset(self) -> None:
        """Forget every change and addition."""
        self.until, self.replaced = list(self._made[0]), {}
        self.nets = array("q", self._pristine)
        first = self._first_recent
        self.tail = [(self._text(i), self.ids[i], self.nets[i]) for i in range(first, len(self.ids))]
        del self.nets[first:]

    @property
    def _first_recent(self) -> int:
        return self._made[0][max(0, self.shape.days - RECENT_DAYS - 1)]

    def between(self, start: date | None, end: date | None) -> tuple[int, int]:
        """The first row of a range of days, both included, and the one after its last."""
        first = (start - FIRST_DAY).days if start else 0
        last = (end - FIRST_DAY).days if end else self.shape.days - 1
        low = self.until[min(first, self.shape.days) - 1] if first > 0 else 0
        high = self.until[min(last, self.shape.days - 1)] if last >= 0 else 0
        return low, max(low, high)

    def slice(self, low: int, high: int) -> list[bytes | memoryview]:
        """Rows `low` to before `high` as one JSON list's inside, in pieces."""
        main = self._first_recent
        pieces: list[bytes | memoryview] = []
        place, end, view = low, min(high, main), memoryview(self.text)
        for changed in sorted(i for i in self.replaced if low <= i < end):
            if changed > place:
                pieces.append(view[self.starts[place] : self.starts[changed] - 1])
            pieces.append(self.replaced[changed])
            place = changed + 1
        if place < end:
            pieces.append(view[self.starts[place] : self.starts[end] - 1])
        pieces += [row for row, _, _ in self.tail[max(low, main) - main : max(high, main) - main]]
        return [part for piece in pieces for part in (b",", piece)][1:]

    def row(self, index: int) -> bytes:
        """One row."""
        return b"".join(self.slice(index, index + 1))

    def find(self, identifier: int) -> bytes | None:
        """One row by its id."""
        main = self._first_recent
        for row, known, _ in self.tail:
            if known == identifier:
                return row
        try:
            index = self.ids.index(identifier)
        except ValueError:
            return None
        return self.row(index) if index < main else None

    def change(self, count: int, seed: int) -> list[int]:
        """Book a dollar more in some rows, anywhere before the last thirty days; returns their ids."""
        chance = random.Random(seed)  # noqa: S311 - the same rows in every run
        ids: list[int] = []
        while len(ids) < min(count, self._first_recent):
            index = chance.randrange(self._first_recent)
            if index in self.replaced:
                continue
            row = json.loads(self.row(index))
            before = _signed(row, "net-value")
            for name in ("value", "net-value"):
                _put(row, name, _signed(row, name) + UNIT)
            row["description"] += " (corrected)"
            self.replaced[index] = _dump(row)
            self.nets[index] += _signed(row, "net-value") - before
            ids.append(self.ids[index])
        return ids

    def add(self, count: int, seed: int) -> list[int]:
        """Book more rows, of the last ten days; returns their ids."""
        chance = random.Random(seed)  # noqa: S311
        ids: list[int] = []
        newest = max(*self.ids, *(known for _, known, _ in self.tail))
        for number in range(count):
            low, high = self.between(self.shape.last_day - timedelta(days=LATE_DAYS - 1), None)
            pattern = chance.randrange(low, high) - self._first_recent
            row = json.loads(self.tail[pattern][0])
            row["id"] = newest + 1 + number
            row["description"] += " (late)"
            day = (date.fromisoformat(row["transaction-date"]) - FIRST_DAY).days
            place = self.until[day] - self._first_recent
            self.tail.insert(place, (_dump(row), row["id"], _signed(row, "net-value")))
            self.until[day:] = [rows + 1 for rows in self.until[day:]]
            ids.append(row["id"])
        return ids

    def _text(self, index: int) -> bytes:
        return self.text[self.starts[index] : self.starts[index + 1] - 1]


def _dump(row: dict[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode()


def _signed(row: dict[str, Any], name: str) -> int:
    amount = int(Decimal(row[name]) * UNIT)
    return -amount if row[f"{name}-effect"] == "Debit" else amount


def _put(row: dict[str, Any], name: str, amount: int) -> None:
    row[name], row[f"{name}-effect"] = amount_text(abs(amount)), effect(amount)


def load(shape: Shape, folder: Path | None = None) -> History:
    """The history of a shape, from the folder where it was kept, or made and kept there (1.3 GB at a million rows)."""
    folder = folder or Path(tempfile.gettempdir()) / "tasty-bench-rows"
    name = f"v{_VERSION}-{shape.rows}-{shape.days}-{shape.seed}"
    place = folder / name
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            made = Path(unfinished) / name
            made.mkdir()
            _make(shape, made)
            made.rename(place)
    arrays = []
    for part in ("starts", "ids", "nets", "until"):
        numbers = array("q")
        numbers.frombytes((place / part).read_bytes())
        arrays.append(numbers)
    with (place / "rows").open("rb") as rows:
        text = mmap.mmap(rows.fileno(), 0, access=mmap.ACCESS_READ)
    return History(shape, text, arrays[0], arrays[1], arrays[2], list(arrays[3]))


def _make(shape: Shape, place: Path) -> None:
    chance = random.Random(shape.seed)  # noqa: S311
    counts = _rows_of_days(shape)
    identifiers = _identifiers(shape.rows, chance)
    ways = writers(chance)
    starts, ids, nets, until = array("q", [0]), array("q"), array("q"), array("q")
    with (place / "rows").open("wb", buffering=1 << 22) as file:
        for offset, count in enumerate(counts):
            day = FIRST_DAY + timedelta(days=offset)
            if count:
                moments = sorted(int(chance.random() * 23_400_000) for _ in range(count))
                for moment in moments:
                    identifier = next(identifiers)
                    write = ways[int(chance.random() * len(ways))]
                    text, net = write(identifier, _moment(day, moment), day.isoformat(), chance)
                    row = text.encode()
                    file.write(row)
                    file.write(b",")
                    starts.append(starts[-1] + len(row) + 1)
                    ids.append(identifier)
                    nets.append(net)
            until.append(len(ids))
    for name, numbers in (("starts", starts), ("ids", ids), ("nets", nets), ("until", until)):
        (place / name).write_bytes(numbers.tobytes())


def _rows_of_days(shape: Shape) -> list[int]:
    """Rows of each day: none on weekends, the rest spread evenly, apart from the last thirty days."""
    first_recent = max(0, shape.days - RECENT_DAYS)
    recent = min(RECENT_ROWS, shape.rows // 2) if first_recent else 0
    counts = [0] * shape.days
    for low, high, rows in ((0, first_recent, shape.rows - recent), (first_recent, shape.days, recent)):
        weekdays = [day for day in range(low, high) if (FIRST_DAY + timedelta(days=day)).weekday() < 5]  # noqa: PLR2004
        for place, day in enumerate(weekdays):
            counts[day] = rows * (place + 1) // len(weekdays) - rows * place // len(weekdays)
    if not first_recent:
        return _rows_of_days_in_short(shape)
    return counts


def _rows_of_days_in_short(shape: Shape) -> list[int]:
    return [shape.rows * (day + 1) // shape.days - shape.rows * day // shape.days for day in range(shape.days)]


def _identifiers(rows: int, chance: random.Random) -> Iterator[int]:
    """Distinct ids that grow with time, but not from row to row."""
    for block in range(0, rows, _SHUFFLED):
        places = list(range(block, min(rows, block + _SHUFFLED)))
        chance.shuffle(places)
        for place in places:
            yield _FIRST_ID + place * _ID_STEP + int(chance.random() * _ID_STEP)


def _moment(day: date, milliseconds: int) -> str:
    """A moment of a New York trading day, as the API writes it."""
    seconds, rest = divmod(milliseconds + 52_200_000, 1000)  # from 14:30 UTC on
    return f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}+00:00"
