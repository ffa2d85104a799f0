"""Where figures are kept, and how those of a part of the matrix come to those of the rest.

`results/sync.json` is written by `bench.py`; `results/dagster.json` by `dagster_share.py --json`, `results/growth.json`
by the benchmark of growth. docs/performance.md is made of whatever is there.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cases import Measurement

FOLDER = Path(__file__).parent / "results"


def sync() -> list[Measurement]:
    """The kept measurements of syncs."""
    return [Measurement.from_json(each) for each in other("sync") or []]


def other(name: str) -> Any:
    """What another benchmark wrote, None where it did not."""
    path = FOLDER / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def merged(kept: Iterable[Measurement], new: Sequence[Measurement]) -> list[Measurement]:
    """Those of cases and scenarios that were not measured anew, and all new ones.

    A case's scenario is kept or replaced as a whole: ratios are of one run.
    """
    known = {(each.case, each.scenario) for each in new}
    return [*(each for each in kept if (each.case, each.scenario) not in known), *new]


def save_sync(measurements: Iterable[Measurement]) -> None:
    """Keep them, a line each."""
    FOLDER.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(each.as_json()) for each in measurements)
    (FOLDER / "sync.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
