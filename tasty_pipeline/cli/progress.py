"""What a run in this process shows while Dagster works: one bar per asset, moved by the run's own events."""

import logging
from types import TracebackType
from typing import Any, Self

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

PARTITIONED = ("transactions", "balance_snapshots")
STEPS = {"accounts": ("accounts",), "portfolio": ("positions", "balances"), "transactions": (), "balance_snapshots": ()}


class Progress(logging.Handler):
    """A log handler that turns a run's events into bars; a context manager that draws them."""

    def __init__(self, console: Console, partitions: int, checks: int) -> None:
        super().__init__()
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        for name in ("accounts", "positions", "balances"):
            self._tasks[name] = self._bars.add_task(name, total=1, note="", start=False)
        for name in PARTITIONED:
            self._tasks[name] = self._bars.add_task(name, total=partitions, note="days", start=False)
        self._checks = self._bars.add_task("checks", total=checks, note="", start=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def logger(self) -> dg.LoggerDefinition:
        """Return the Dagster logger that feeds these bars."""

        def build(_: dg.InitLoggerContext) -> logging.Logger:
            logger = logging.Logger("tasty_pipeline.bars")  # noqa: LOG001 - the run's own, not one of the process
            logger.addHandler(self)
            return logger

        return dg.LoggerDefinition(build, config_schema={})

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar that an event belongs to; print what went wrong."""
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event: dg.DagsterEvent | None = meta.get("dagster_event")
        if event is None:
            told = str(meta.get("orig_message", record.getMessage()))
            # of each step that does not begin after a failure Dagster says so; the failure is what matters
            if record.levelno >= logging.WARNING and not told.startswith("Dependencies for step"):
                self._bars.console.print(f"[yellow]{escape(told)}")
            return
        if event.is_step_start and event.step_key:
            for name in STEPS.get(event.step_key) or (event.step_key,):
                if name in self._tasks:
                    self._bars.start_task(self._tasks[name])
        elif event.is_step_materialization and event.asset_key:
            task = self._tasks[event.asset_key.to_user_string()]
            self._bars.start_task(task)
            self._bars.advance(task)
        elif event.event_type_value == "ASSET_CHECK_EVALUATION":
            self._bars.start_task(self._checks)
            self._bars.advance(self._checks)
