"""The pipeline as its users run it: materializations of assets in Dagster, of any partitions, logins and accounts.

Here belongs how a run of a schedule becomes a run of Dagster, and what an operator does besides: storing a login,
trying one again that was refused, asking all checks. Days are real ones here, for Dagster's partitions end today: such
a world begins now, and its time stands still.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import dagster as dg
from orchestration.conftest import NO_TELEMETRY, RANGE

from tasty_pipeline.cli import main
from tasty_pipeline.core.settings import VARIABLES
from tasty_pipeline.definitions import build_defs
from tasty_pipeline.resources import BrokerResource, WarehouseResource

from . import runs
from .runs import IMPATIENT, Outcome, Task
from .trouble import SECOND_LOGIN
from .world import OURS, World

_ASSETS = {**runs.PARTS, "everything": tuple(dict.fromkeys(name for part in runs.PARTS.values() for name in part))}
_SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}
_OPS = ("accounts", "portfolio", "transactions", "balance_snapshots")


def run(task: Task) -> Outcome:
    """Materialize what the work names; raises AssertionError where a step ends with an error that is none of ours."""
    selection = {dg.AssetKey(name) for name in _ASSETS[task.work.what]}
    result = _launched(task, _config(task), asset_selection=selection, asset_check_selection=set())
    if result.success:
        return Outcome()
    failed = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    if not failed or None in failed:
        said = [event.step_failure_data.error_display_string for event in result.all_events if event.is_step_failure]
        raise AssertionError(f"a run of Dagster ended otherwise than by our own errors: {said}")
    kinds = {str(each.metadata["kind"].value) for each in failed}
    return Outcome(kind=", ".join(sorted(kinds)), said="; ".join(str(each.description) for each in failed))


def apart(task: Task) -> Outcome:
    """Do the same in a process of its own, as a run of the daemon has; it is killed at the task's moment, if any."""
    return runs.apart(task, _alone)


def _alone(task: Task) -> Outcome:
    os.environ.update(_settings(task.url, task.secret, task.token, task.warehouse, str(task.history_start)))
    return run(task)


def failing_checks(task: Task) -> list[str]:
    """Ask all checks of all assets; say which do not hold."""
    result = _launched(task, {}, asset_selection=set(), asset_check_selection=None)
    checks = result.get_asset_check_evaluations()
    if not checks:
        raise AssertionError("no check was asked")
    return [f"check {each.check_name} of {each.asset_key.to_user_string()}" for each in checks if not each.passed]


def _launched(task: Task, config: Mapping[str, Any], **selection: Any) -> dg.ExecuteInProcessResult:
    limits = {name: value for name, value in IMPATIENT.items() if name in BrokerResource.model_fields}
    resources = {"broker": BrokerResource(**limits), "warehouse": WarehouseResource(wait_seconds=20)}
    job = build_defs(**resources).resolve_implicit_global_asset_job_def()
    if selection["asset_check_selection"] is None:
        selection["asset_check_selection"] = set(job.asset_layer.asset_graph.asset_check_keys)
    subset = job.get_subset(**selection)
    ops = {op: {"config": values} for op, values in config.items() if op in {node.name for node in subset.nodes}}
    span = dict(zip(RANGE, map(str, (task.work.start, task.work.end)), strict=True))
    tags = span if {"transactions", "balance_snapshots"} & set(ops) else {}
    run_config = {"ops": ops, "loggers": _SILENT}
    with dg.DagsterInstance.ephemeral(settings=NO_TELEMETRY) as instance:
        return subset.execute_in_process(instance=instance, raise_on_error=False, tags=tags, run_config=run_config)


def _config(task: Task) -> dict[str, dict[str, Any]]:
    chosen = {"connections": [task.connection], "confirm_mass_removal": task.work.confirm}
    config = {op: {**chosen, "accounts": list(task.work.accounts)} for op in _OPS}
    config["transactions"]["verify_totals"] = task.work.what in {"verify", "everything"}
    return config


def _settings(url: str, secret: str, token: str, warehouse: str, start: str) -> dict[str, str]:
    return {
        "TT_SECRET": secret,
        "TT_REFRESH": token,
        "TASTY_API_URL": url,
        "TASTY_WAREHOUSE_URL": warehouse,
        "TASTY_HISTORY_START": start,
    }


@contextmanager
def environment(world: World) -> Iterator[None]:
    """Point the project at a world, and store its second login."""
    sim = world.sim
    with TemporaryDirectory() as folder, patch.dict(os.environ):
        for name in VARIABLES:
            os.environ.pop(name, None)
        os.environ |= _settings(sim.url, sim.client_secret, sim.refresh_token, world.warehouse, str(world.start))
        os.environ["TASTY_SEALING_KEYS"] = str(Path(folder) / "keys")
        _command("keygen")
        given = Path(folder) / "given"
        given.write_text(f"{sim.logins[SECOND_LOGIN]}\n", encoding="utf-8")
        with given.open(encoding="utf-8") as lines, patch("sys.stdin", lines):
            _command("connections", "add", SECOND_LOGIN, "--owner", "1", "--no-check")
        yield


def reauthorise() -> None:
    """Do what an operator does about logins that were refused, once the broker takes them again."""
    _command("connections", "check")


def _command(*arguments: str) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, patch("sys.stdout", nowhere):
        status = main(arguments)
    if status:
        raise AssertionError(f"{' '.join(arguments[:2])} ended with {status}")


def _audited(world: World) -> list[str]:
    every_day = runs.Work("everything", world.numbers, world.start, world.today)
    return [*OURS.audited(world), *failing_checks(world.task(every_day))]


THROUGH_DAGSTER = replace(
    OURS, run=run, killed=apart, beside=apart, within=environment, heals=reauthorise, audited=_audited, today=True
)
