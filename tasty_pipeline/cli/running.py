"""One run of the job `sync_history` in this process, with bars for a person; what came of it is told in summary.py.

It is a run like those of the UI and of the schedules: in DAGSTER_HOME, with its days marked and its checks asked. No
daemon is needed, and one that runs meanwhile is not disturbed: the tables' own locks keep two runs apart.
"""

from datetime import date

import dagster as dg
from rich.console import Console

from tasty_pipeline.cli.progress import Progress
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.jobs import RANGE_END_TAG, RANGE_START_TAG, sync_history


def run_history(
    console: Console, start: date, end: date, config: dg.RunConfig, *, checks: bool = True
) -> dg.ExecuteInProcessResult:
    """Synchronise everything, of the history these days, as one run; a run that fails is returned as well.

    DAGSTER_HOME and the environment must be set up before.
    """
    days = (end - start).days + 1
    defs = build_defs()
    asked = sum(1 for each in defs.asset_checks or [] for _ in each.check_specs) if checks else 0
    with dg.DagsterInstance.get() as instance, Progress(console, days, asked) as progress:
        console.print(f"Dagster plans {days:,} days for each table of the history ...")
        logged = dg.Definitions.merge(defs, dg.Definitions(loggers={"bars": progress.logger()}))
        job = logged.resolve_job_def(sync_history.name)
        if not checks:
            every = set(job.asset_layer.executable_asset_keys)
            job = job.get_subset(asset_selection=every, asset_check_selection=set())
        return job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={RANGE_START_TAG: start.isoformat(), RANGE_END_TAG: end.isoformat()},
            run_config=dg.RunConfig(ops=dict(config.ops), loggers={"bars": {"config": {}}}),
        )
