"""What a search tried and what broke: every search of this folder returns one, every command prints it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """A promise, how often it was tried, and one line for each time that it was broken, which says how to see it again.

    `notes` count what happened on the way, so that nobody takes a search that met nothing for one that held.
    """

    promise: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    seed: int | None = None

    def __str__(self) -> str:
        met = ", ".join(f"{count:,} {what}" for what, count in sorted(self.notes.items()))
        seed = "" if self.seed is None else f", seed {self.seed}"
        first = [f"  {self.promise}: {self.tried - len(self.broken):,} of {self.tried:,} held{seed}"]
        return "\n".join([*first, *([f"    {met}"] if met else []), *(f"    BROKEN {line}" for line in self.broken)])
