"""What was measured, as plain values: a case, a measurement, and how several become one figure.

Here belongs what both environments read; nothing but the standard library is imported.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(frozen=True)
class Case:
    """What all ways are given side by side: `latency` in milliseconds, `rate` in requests a second (0: no limit)."""

    rows: int
    database: str
    latency: int = 0
    rate: int = 0


@dataclass(frozen=True)
class Measurement:
    """What one sync took: seconds, of the processor too (this process, not the database's server), memory in MB.

    `wrong` is empty where the table held the right rows afterwards, or says what was amiss.
    """

    way: str
    case: Case
    scenario: str
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    before_mb: float = 0.0
    imports: float = 0.0
    requests: int = 0
    throttled: int = 0
    bytes: int = 0
    wrong: str = ""
    phases: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Rounded, so that a file of many stays small."""
        found = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if name not in {"case", "phases"}
        }
        phases = {name: round(seconds, 3) for name, seconds in self.phases.items()}
        return {**asdict(self.case), **found, "phases": phases}

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """What `as_json` gave."""
        case = {each.name: found[each.name] for each in fields(Case)}
        rest = {name: value for name, value in found.items() if name not in case}
        return cls(case=Case(**case), **rest)


@dataclass(frozen=True)
class Figure:
    """The median of some measurements of one way in one scenario, with the least and the most."""

    measurements: Sequence[Measurement]

    def of(self, name: str) -> float:
        """The median of a value."""
        return float(statistics.median(getattr(each, name) for each in self.measurements))

    @property
    def seconds(self) -> float:
        """The median of the seconds."""
        return self.of("seconds")

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most seconds."""
        seconds = [each.seconds for each in self.measurements]
        return min(seconds), max(seconds)

    @property
    def wrong(self) -> str:
        """What was amiss with the first that was not right."""
        return next((each.wrong for each in self.measurements if each.wrong), "")

    @property
    def failed(self) -> bool:
        """Whether it came to no end, so that its seconds say nothing."""
        return self.wrong.startswith("failed")

    @property
    def phases(self) -> dict[str, float]:
        """The medians of the phases' seconds."""
        names = self.measurements[0].phases
        return {name: statistics.median(each.phases.get(name, 0.0) for each in self.measurements) for name in names}


@dataclass(frozen=True)
class Ratio:
    """How many times as long another way took, repetition by repetition: the median, the least and the most."""

    middle: float
    least: float
    most: float


def ratio(other: Figure, ours: Figure) -> Ratio:
    """Pairs the repetitions: both met the same machine in the same minutes."""
    pairs = zip(other.measurements, ours.measurements, strict=False)
    found = [a.seconds / b.seconds for a, b in pairs if b.seconds]
    return Ratio(statistics.median(found), min(found), max(found)) if found else Ratio(0, 0, 0)


def figures(measurements: Iterable[Measurement]) -> dict[tuple[Case, str, str], Figure]:
    """By case, scenario and way."""
    found: dict[tuple[Case, str, str], list[Measurement]] = {}
    for each in measurements:
        found.setdefault((each.case, each.scenario, each.way), []).append(each)
    return {key: Figure(some) for key, some in found.items()}
