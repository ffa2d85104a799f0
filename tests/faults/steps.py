"""A schedule: what happens to the brokerage, the network and the pipeline, one thing after the other.

Here belongs which steps there are and how they are drawn and left out again. A step is a name and three numbers;
`trouble.py` and `world.py` give them their meaning by what there is at that moment, so that a schedule stays one
whatever is left out of it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_NUMBERS = 10_000


@dataclass(frozen=True)
class Step:
    """One thing that happens; what its numbers choose is said where it happens."""

    name: str
    a: int = 0
    b: int = 0
    c: int = 0

    def __str__(self) -> str:
        return f"{self.name}({self.a}, {self.b}, {self.c})"


Schedule = tuple[Step, ...]

# how often each is drawn
OF_THE_BROKERAGE = {
    "trade": 8,
    "late": 6,
    "deposit": 2,
    "restate": 5,
    "remove": 4,
    "redate": 4,
    "close_position": 2,
    "open_account": 1,
    "close_account": 1,
    "share": 1,
    "wipe": 1,
    "pass_time": 5,
    "pass_days": 2,
}
OF_THE_NETWORK = {"fault": 6, "heal": 3, "trade_on": 2}
OF_THE_PIPELINE = {
    "run": 10,
    "spoilt": 14,
    "lookback": 4,
    "backfill": 4,
    "login": 2,
    "killed": 8,
    "beside": 3,
    "meddled": 8,
}
OF_THE_CLOCK = ("pass_time", "pass_days")
_WEIGHTS = OF_THE_BROKERAGE | OF_THE_NETWORK | OF_THE_PIPELINE
_LENGTHS = (3, 12)


def drawn(seed: str) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=chance.randint(*_LENGTHS))
    return tuple(Step(name, *(chance.randrange(_NUMBERS) for _ in range(3))) for name in names)


def shortest(schedule: Schedule, fails: Callable[[Schedule], bool], tries: int = 60) -> Schedule:
    """A schedule that still fails and of which no step can be left out, or the shortest of so many tries.

    Delta debugging: parts are left out, halves first.
    """
    size = max(len(schedule) // 2, 1)
    while size and tries:
        for start in range(0, len(schedule), size):
            shorter = (*schedule[:start], *schedule[start + size :])
            tries -= 1
            if fails(shorter):
                schedule = shorter
                break
            if not tries:
                break
        else:
            size //= 2
    return schedule


def written(schedule: Sequence[Step]) -> str:
    """As it is printed."""
    return ", ".join(map(str, schedule)) or "no step at all"
