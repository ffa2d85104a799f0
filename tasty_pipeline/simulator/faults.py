"""Which faults are set, and which requests they hit. What each does to an answer belongs to ``spoiling``."""

import re
import threading
from dataclasses import dataclass
from typing import Any

from tasty_pipeline.simulator.answers import Answer
from tasty_pipeline.simulator.spoiling import KINDS, Apply

OAUTH_PATH = "/oauth/token"


@dataclass(init=False)
class Fault:
    """One thing that goes wrong.

    ``login`` is the name of the login whose requests are concerned; None means every login's.
    ``path`` is a regular expression searched in the path; None means every path but the token's (``revoked_grant``:
    the token's). ``query`` is one too, searched in the query string. ``times`` requests are hit (None: all), after the
    first ``after`` matching ones went well. ``params`` are those of the kind: see ``KINDS``. Within this process a
    function can stand for the kind.
    """

    kind: str
    path: str | None
    query: str | None
    times: int | None
    after: int
    login: str | None
    params: dict[str, Any]
    hits: int
    seen: int

    def __init__(
        self,
        kind: str | Apply,
        path: str | None = None,
        times: int | None = None,
        after: int = 0,
        login: str | None = None,
        *,
        query: str | None = None,
        **params: Any,
    ) -> None:
        if isinstance(kind, str) and kind not in KINDS:
            raise ValueError(f"no fault is called {kind!r}; there are {', '.join(sorted(KINDS))}")
        self._apply = KINDS[kind] if isinstance(kind, str) else kind
        self.kind = kind if isinstance(kind, str) else kind.__name__
        self.path, self.query, self.times, self.after, self.login = path, query, times, after, login
        self.params = {**params.pop("params", {}), **params}
        self.hits = self.seen = 0

    def matches(self, path: str, login: str | None, query: str = "") -> bool:
        """Tell whether the fault concerns a path and query, asked by a login (None: by nobody who is known)."""
        if self.login not in {None, login} or not re.search(self.query or "", query):
            return False
        if self.path is not None:
            return re.search(self.path, path) is not None
        return (path == OAUTH_PATH) == (self.kind == "revoked_grant")

    def apply(self, answer: Answer) -> Answer:
        """Turn a good answer into what this fault makes of it."""
        return self._apply(answer, self.params)

    def describe(self) -> dict[str, Any]:
        """Return the fault as the control endpoint shows it."""
        keys = ("kind", "path", "query", "times", "after", "login", "params", "hits")
        return {key: getattr(self, key) for key in keys}


class Faults:
    """The faults that are set, in the order in which they were added. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Set a fault. Its ``hits`` count from now on."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Let everything go well again."""
        with self._lock:
            self._faults.clear()

    def listed(self) -> list[Fault]:
        """Return the faults that are set."""
        with self._lock:
            return list(self._faults)

    def striking(self, path: str, login: str | None, query: str = "") -> list[Fault]:
        """Return the faults that hit a request, and count the hit."""
        with self._lock:
            hits = []
            for fault in self._faults:
                if not fault.matches(path, login, query):
                    continue
                fault.seen += 1
                if fault.seen > fault.after and (fault.times is None or fault.hits < fault.times):
                    fault.hits += 1
                    hits.append(fault)
            return hits
