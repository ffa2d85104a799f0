"""How far a run has come that an application asked for: told to `sync_requests` while the assets work.

What the table holds is in core.requests; a run that nobody asked for tells nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg

from tasty_pipeline.core import requests
from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.sync import SyncResult
from tasty_pipeline.core.warehouse import Warehouse

# the tag of a run that works on a request: the request's id
REQUEST_TAG = "tasty/request"
# which tables each step of a run synchronises
_TABLES: Mapping[str, tuple[str, ...]] = {
    "accounts": ("accounts",),
    "portfolio": ("positions", "balances"),
    "transactions": ("transactions",),
    "balance_snapshots": ("balance_snapshots",),
}


@dataclass
class Outcome:
    """What came of all accounts: results of those that succeeded, errors of those that failed.

    `left_out` names the logins that need reauthorisation and were not tried.
    """

    results: list[SyncResult] = field(default_factory=list)
    failures: list[tuple[str, TastyError]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def of(self, table: str) -> list[SyncResult]:
        """Return the results of one table."""
        return [result for result in self.results if result.table == table]


@dataclass(frozen=True)
class Progress:
    """Tells of one step's tables; where no request is worked on it does nothing."""

    warehouse: Warehouse
    tables: Sequence[str]
    request_id: str | None

    def report(self, outcome: Outcome, state: str = "running") -> None:
        """Write what is done of each table so far, and why the rest is not."""
        told = "" if state == "running" else _told(outcome)
        for name in self.tables if self.request_id else ():
            # one sentence for the step, not one for each of its tables
            error = told if name == self.tables[0] else ""
            requests.report(self.warehouse, str(self.request_id), name, state, outcome.of(name), error)

    def end(self, outcome: Outcome) -> None:
        """Write that the step's tables are done, or that they failed.

        They are done also where logins were left out: what the others brought is there. The request is not.
        """
        self.report(outcome, "failed" if outcome.failures else "done")

    def give_up(self, outcome: Outcome) -> None:
        """Write that the request failed: the run goes no further."""
        if self.request_id:
            requests.fail(self.warehouse, self.request_id, _told(outcome))


def steps_of(context: dg.AssetExecutionContext) -> set[str]:
    """Return the keys of all steps of the run; the run itself names them only where it leaves some of the job's out."""
    return set(context.get_step_execution_context().execution_plan.step_keys_to_execute)


@contextmanager
def progress_of(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[Progress]:
    """Tell of a step from its begin on; the request fails with what leaves the block, since the run goes no further."""
    request_id = context.run.tags.get(REQUEST_TAG)
    step = context.get_step_execution_context().step.key
    progress = Progress(warehouse, _TABLES[step], request_id)
    if request_id is None:
        yield progress
        return
    tables = [name for key in steps_of(context) for name in _TABLES.get(key, ())]
    requests.begin(warehouse, request_id, context.run.run_id, tables)
    progress.report(Outcome())
    try:
        yield progress
    except TastyError as error:
        failed = Outcome(failures=[("all", error)])
        if step == "accounts":  # the other steps do not begin without it
            progress.give_up(failed)
        else:
            progress.end(failed)
        raise


def _told(outcome: Outcome) -> str:
    failed = [f"[{name}] {error.what}" for name, error in outcome.failures]
    # nobody who waits may take the accounts of such a login for up to date
    left_out = [
        f"[login {name}] It needs reauthorisation and was left out: connect it again." for name in outcome.left_out
    ]
    return " ".join([*failed, *left_out])
