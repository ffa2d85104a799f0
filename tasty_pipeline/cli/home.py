"""Where Dagster keeps its runs on one machine, and how it is set up there."""

import os
from pathlib import Path

# Measured on two cores: with the storage of eventlog.py, which Dagster's own can follow on the same files, its share
# of five years is seconds instead of minutes; dequeuing every second instead of every five takes a click's run from
# 5.0 s to 2.1 s; and a slow sensor blocks no other one when they have threads of their own.
_INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}
storage:
  custom:
    module: tasty_pipeline.eventlog
    class: SqliteStorage
    config: {base_dir: {env: DAGSTER_HOME}}
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1, dequeue_use_threads: true}
sensors: {use_threads: true, num_workers: 4}
schedules: {use_threads: true, num_workers: 4}
run_monitoring: {enabled: true, poll_interval_seconds: 10, start_timeout_seconds: 120, max_runtime_seconds: 7200}
"""


def prepare_home(*, simulated: bool) -> Path:
    """Return DAGSTER_HOME, set up with a dagster.yaml where it has none; an existing one is left as it is.

    Runs on the simulator have a home of their own: what they materialized is not in the real account's tables.
    """
    default = Path("data") / ("dagster-simulated" if simulated else "dagster")
    home = Path(os.environ.get("DAGSTER_HOME") or default).absolute()
    home.mkdir(parents=True, exist_ok=True)
    instance = home / "dagster.yaml"
    if not instance.exists():
        instance.write_text(_INSTANCE, encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def create_storage() -> None:
    """Make the files of the runs where there are none, before several processes open them.

    The UI and the daemon, started at the same moment on an empty folder, were seen to stamp its version table twice:
    Dagster then refuses the folder for good.
    """
    import dagster as dg  # noqa: PLC0415 - a second that the refusals of `dev` need not wait for

    with dg.DagsterInstance.get():
        pass
