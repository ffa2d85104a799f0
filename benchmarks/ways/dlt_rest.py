"""dlt's REST source, merged on the id: declared columns, no nested tables, files as the destination loads them fastest.

What else it is set to is in its environment, see `contestants.py`.
"""

from collections.abc import Callable
from typing import Any

import dlt
import fields
import harness
import psycopg2  # noqa: F401 - dlt would import it in the middle
import pyarrow as pa  # noqa: F401
from dlt.sources.rest_api import rest_api_source

STRATEGY = "upsert"


def file_format(task: harness.Task) -> str:
    """What the destination loads fastest."""
    return "parquet" if task.duckdb_file else "csv"


def columns() -> dict[str, Any]:
    """The hints: every column with its type, decimals as decimals."""
    found: dict[str, Any] = {}
    for name, kind in fields.KINDS.items():
        hint: dict[str, Any] = {"name": fields.column(name), "data_type": kind}
        if kind == "decimal":
            hint |= {"precision": fields.PRECISION, "scale": fields.SCALE}
        found[fields.column(name)] = hint
    found["id"] |= {"primary_key": True, "nullable": False}
    return found


def pipeline(task: harness.Task) -> dlt.Pipeline:
    """The pipeline, with its state in the task's folder."""
    if task.duckdb_file:
        destination: Any = dlt.destinations.duckdb(task.duckdb_file)
    else:
        # it asks for a password even where the server does not
        destination = dlt.destinations.postgres(task.database.replace("postgres@", "postgres:none@"))
    return dlt.pipeline("bench", str(task.folder / "dlt"), destination=destination, dataset_name="peer")


def measure(task: harness.Task, source: Callable[[], Any]) -> None:
    """Measure one run of the pipeline; the phases are dlt's own steps."""
    phases = harness.Phases()

    def sync() -> None:
        bench = pipeline(task)
        bench.run(source(), loader_file_format=file_format(task)).raise_on_failed_jobs()
        for step in bench.last_trace.steps:
            phases.add(step.step, (step.finished_at - step.started_at).total_seconds())

    harness.measured(sync, phases)


def main() -> None:
    """Measure one sync."""
    task = harness.task()
    paginator = {
        "type": "page_number",
        "base_page": 0,
        "page_param": "page-offset",
        "total_path": "pagination.total-pages",
    }
    resource = {
        "name": "transactions",
        "primary_key": "id",
        "write_disposition": {"disposition": "merge", "strategy": STRATEGY},
        "columns": columns(),
        "max_table_nesting": 0,
        "endpoint": {"path": task.path, "params": task.query, "data_selector": "data.items"},
    }
    config: Any = {"client": {"base_url": task.api, "paginator": paginator}, "resources": [resource]}
    measure(task, lambda: rest_api_source(config))


if __name__ == "__main__":
    main()
