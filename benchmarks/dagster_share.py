"""What Dagster costs beside our work: the same syncs on its default settings and on those that we write.

    python benchmarks/dagster_share.py [--days 1830] [--repeat 1] [--no-ui] [--json FILE]

For each of the two, in a folder of its own, on the same SQLite storage and the same simulated brokerage (three
accounts, a process of its own, a clock that stands still): the whole history from the command line, then the last ten
days from the command line, then the last ten days from a click in the UI. Ten minutes for five years, nearly all of
them on the default settings. Figures are medians; on a busy machine the processor's seconds say more than the clock's.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dagster_ui import opened

from tasty_pipeline.cli.home import prepare_home
from tasty_pipeline.simulator.config import CLIENT_SECRET, REFRESH_TOKEN

NEW_YORK = ZoneInfo("America/New_York")
# nothing of it changes what a run costs
DEFAULTS = "telemetry: {enabled: false}\nnux: {enabled: false}\n"
SETTINGS = ("default", "ours")
_TIMING = Path(__file__).with_name("dagster_timing.py")
_IMPORTS = ("imports of Dagster", "imports of ours")
_DAGSTER = ("definitions", "planning", "storing", "steps")
Figures = dict[str, float]


def main() -> None:
    """Measure and print; with --json also write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--days", type=int, default=1830, help="length of the history")
    parser.add_argument("--repeat", type=int, default=1, help="how often everything is measured")
    parser.add_argument("--no-ui", action="store_true", help="leave the UI out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    measured: dict[str, dict[str, list[Figures]]] = {name: {} for name in SETTINGS}
    with tempfile.TemporaryDirectory(prefix="tasty-share-") as folder, _brokerage(options.days) as (url, broker):
        for number in range(options.repeat):
            for name in SETTINGS:
                place = Path(folder) / f"{name}{number}"
                for what, figures in _measure(name, place, options.days, url, broker, ui=not options.no_ui):
                    measured[name].setdefault(what, []).append(figures)
                    print(f"{name}, {what}: {_one_line(figures)}", flush=True)
    medians = {name: {what: _median(runs) for what, runs in found.items()} for name, found in measured.items()}
    _print(medians, options.days)
    if options.json:
        content = {"days": options.days, "accounts": 3, "repeat": options.repeat, "seconds": medians}
        options.json.write_text(json.dumps(content, indent=1) + "\n")


def _measure(name: str, place: Path, days: int, url: str, broker: int, *, ui: bool) -> Iterator[tuple[str, Figures]]:
    home = place / "dagster"
    home.mkdir(parents=True)
    if name == "default":
        (home / "dagster.yaml").write_text(DEFAULTS)
    first = _today() - timedelta(days=days - 1)
    environment = {
        "DAGSTER_HOME": str(home),
        "TASTY_WAREHOUSE_URL": f"duckdb:///{place}/warehouse.duckdb",
        "TASTY_API_URL": url,
        "TT_SECRET": CLIENT_SECRET,
        "TT_REFRESH": REFRESH_TOKEN,
        "TASTY_HISTORY_START": first.isoformat(),
        "TASTY_SANDBOX": "",
        "COLUMNS": "120",
    }
    os.environ["DAGSTER_HOME"] = str(home)
    prepare_home(simulated=True)
    yield "whole history, command line", _sync(place, environment, broker, "--all")
    yield "last ten days, command line", _sync(place, environment, broker)
    if ui:
        tags = {
            "dagster/asset_partition_range_start": max(first, _today() - timedelta(days=10)).isoformat(),
            "dagster/asset_partition_range_end": _today().isoformat(),
        }
        config = {"ops": {"transactions": {"config": {"verify_totals": True}}}}
        with opened(place, environment) as page:
            page.rest()
            yield "last ten days, click in the UI", page.click("sync_history", config, tags)


def _sync(place: Path, environment: Mapping[str, str], broker: int, *arguments: str) -> Figures:
    told = place / "seconds.json"
    command = [sys.executable, str(_TIMING), str(told), *arguments]
    before, began = _processor_seconds(broker), time.perf_counter()
    done = subprocess.run(  # noqa: S603
        command, cwd=place, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    total = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"The sync failed:\n{done.stdout}\n{done.stderr}")
    content = json.loads(told.read_text())
    seconds, processor = content["seconds"], content["processor"]
    return {
        "total": total,
        "our part": seconds["ours"],
        "our part, processor": processor["ours"],
        "the simulator, processor (ours waits for it)": _processor_seconds(broker) - before,
        "Dagster's part": sum(seconds[name] for name in _DAGSTER),
        "Dagster's part, processor": sum(processor[name] for name in _DAGSTER),
        **{f"Dagster: {name}": seconds[name] for name in _DAGSTER},
        "imports, start and end of the process": total - sum(seconds[name] for name in ("ours", *_DAGSTER)),
        **{name: seconds[name] for name in _IMPORTS},
    }


@contextlib.contextmanager
def _brokerage(days: int) -> Iterator[tuple[str, int]]:
    """Run a simulated brokerage; its address and the number of its process."""
    start = _today() - timedelta(days=days - 1)
    now = datetime.combine(_today(), clock.min, NEW_YORK)
    command = [sys.executable, "-m", "tasty_pipeline.simulator", "--port", "0", "--accounts", "3"]
    command += ["--seed", "7", "--start", start.isoformat(), "--now", now.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:  # noqa: S603
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield line.split()[-1], server.pid
        finally:
            server.terminate()


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _today() -> Any:
    return datetime.now(UTC).astimezone(NEW_YORK).date()


def _median(runs: Sequence[Figures]) -> Figures:
    return {name: round(statistics.median(each[name] for each in runs), 3) for name in runs[0]}


def _one_line(figures: Figures) -> str:
    return ", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items())


def _print(medians: Mapping[str, Mapping[str, Figures]], days: int) -> None:
    print(f"\nThree accounts, {days:,} days; seconds")
    for what, figures in medians["default"].items():
        ours = medians["ours"][what]
        print(f"\n{what:<52}{'default':>9}{'ours':>9}{'ratio':>8}")
        for name, seconds in figures.items():
            ratio = f"{seconds / ours[name]:.1f}x" if ours[name] else ""
            print(f"  {name:<50}{seconds:>9.2f}{ours[name]:>9.2f}{ratio:>8}")
        if "our part" in figures:
            shares = (f"{each['our part'] / each['total']:>9.1%}" for each in (figures, ours))
            print(f"  {'our part of the total':<50}{''.join(shares)}")


if __name__ == "__main__":
    main()
