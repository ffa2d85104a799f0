"""What a connection has cost so far, for run metadata and the log of syncs.

Here belongs counting. When to count is decided by the layers of `transport.py`.
"""

from dataclasses import dataclass, fields, replace
from typing import Self


@dataclass
class Meter:
    """Counts since the connection was opened.

    `requests` are all requests that were put on the wire, logins and repeats included; `retries` are the repeats among
    them; `throttled` are answers with status 429; `token_refreshes` are logins that succeeded; `bytes_received` are
    bytes of bodies as transferred, compressed or not.
    """

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    token_refreshes: int = 0
    bytes_received: int = 0

    def snapshot(self) -> Self:
        """A copy that no longer counts."""
        return replace(self)

    def __sub__(self, earlier: "Meter") -> "Meter":
        """What was spent since `earlier`, a snapshot of this meter."""
        return Meter(**{each.name: getattr(self, each.name) - getattr(earlier, each.name) for each in fields(Meter)})
