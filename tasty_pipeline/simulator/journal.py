"""What was done by hand to a brokerage, kept in a file and done again when it opens: trades survive a restart.

Only what goes through the control endpoint is kept; the days that the brokerage makes up follow from its seed.
"""

import json
from pathlib import Path
from typing import Any

#: The control methods that change the books. The clock is kept with each entry, so that it needs none of its own.
KEPT = frozenset({
    "trade", "book_late", "restate", "remove", "redate", "close_position", "deposit", "open_account", "close_account",
    "share", "unshare",
})  # fmt: skip


class Journal:
    """A file with one line of JSON for each thing that was done, or None for a brokerage that forgets."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def keep(self, now: str, method: str, arguments: dict[str, Any]) -> None:
        """Append what was done, if it changed the books."""
        if self.path is None or method not in KEPT:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"now": now, "method": method, "arguments": arguments}) + "\n")

    def entries(self) -> list[dict[str, Any]]:
        """Return what was done, oldest first. Raises ``ValueError`` naming the file if it cannot be read as such."""
        if self.path is None or not self.path.exists():
            return []
        try:
            return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line]
        except json.JSONDecodeError as problem:
            raise ValueError(f"{self.path} is no journal of a simulator ({problem}); remove it") from None
