# ruff: noqa: E402 - the imports are timed
"""`tasty-pipeline sync` with a stop-watch in it: `dagster_timing.py FILE [OPTIONS OF SYNC]` writes seconds as JSON.

Here belongs what is measured inside the process; what is run, and on which settings, belongs to dagster_share.py.

`ours` is the time inside our asset and check functions, less what Dagster stores of their log lines, and what the
command does before and after the run. `imports` is until the command begins. What is left is Dagster's: `storing` (the
events), `planning` (what else is done for them before the run begins), `definitions` and `steps` (all the rest).
"""

import time

_BEGAN = time.perf_counter()

import contextlib
import inspect
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster  # noqa: F401 - timed by itself

_DAGSTER = time.perf_counter()

from dagster._core.execution.plan import compute_generator
from dagster._core.instance.methods.event_methods import EventMethods
from dagster._core.instance.runs.run_domain import RunDomain

from tasty_pipeline.cli import main, running, sync

_COMMAND = time.perf_counter()


class StopWatch:
    """Seconds by name; what is measured inside something else is taken from that."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.processor: Counter[str] = Counter()
        self._inside: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time of a block, less that of blocks in it."""
        self._inside.append((0.0, 0.0))
        began, worked = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            took, work = time.perf_counter() - began, time.process_time() - worked
            seconds, processor = self._inside.pop()
            self.seconds[name] += took - seconds
            self.processor[name] += work - processor
            if self._inside:
                self._inside[-1] = (self._inside[-1][0] + took, self._inside[-1][1] + work)

    def around(self, owner: Any, name: str, told: str) -> None:
        """Measure every call of a function."""
        function = getattr(owner, name)

        def measured(*positional: Any, **named: Any) -> Any:
            with self.measure(told):
                return function(*positional, **named)

        setattr(owner, name, measured)

    def inside(self, invoke: Callable[..., Any]) -> Callable[..., Any]:
        """Measure an asset's or check's function: also between the results that it yields, but not what waits there."""

        def invoked(*positional: Any, **named: Any) -> Any:
            with self.measure("ours"):
                result = invoke(*positional, **named)
            return self._each(result) if inspect.isgenerator(result) else result

        return invoked

    def _each(self, results: Iterator[Any]) -> Iterator[Any]:
        while True:
            with self.measure("ours"):
                try:
                    result = next(results)
                except StopIteration:
                    return
            yield result


def run(told: Path, arguments: list[str]) -> int:
    """Run the command and write what it took; return its exit status."""
    watch = StopWatch()
    compute_generator.invoke_compute_fn = watch.inside(compute_generator.invoke_compute_fn)
    watch.around(EventMethods, "handle_new_event", "storing")
    watch.around(running, "build_defs", "definitions")
    watch.around(RunDomain, "create_run", "planning")
    watch.around(sync, "run_history", "steps")
    with watch.measure("ours"):
        status = main(["sync", *arguments])
    seconds = {"imports of Dagster": _DAGSTER - _BEGAN, "imports of ours": _COMMAND - _DAGSTER, **watch.seconds}
    told.write_text(json.dumps({"seconds": seconds, "processor": watch.processor}))
    return status


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
