"""The pictures of docs/performance.md; matplotlib comes from the peers' environment.

One colour for each way in all pictures, ours the darkest. Seconds and rows stand on logarithmic scales: a straight line
is a cost that grows with the rows, a level one a cost that does not.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from cases import Case, Figure
from contestants import DATABASES, DLT, DLT_ARROW, DUCKDB, FLOOR, ORM_BULK, ORM_EACH, OURS, SCENARIOS, SDK, WAYS
from goals import network_floor
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

Found = Mapping[tuple[Case, str, str], Figure]
_COLOURS = {
    OURS: "#0b3d91",
    FLOOR: "#8a8a8a",
    DLT: "#d1495b",
    DLT_ARROW: "#edae49",
    SDK: "#2e8b57",
    ORM_BULK: "#8e5ea2",
    ORM_EACH: "#6b4226",
}
_PLAIN = FuncFormatter(lambda value, _: f"{value:,.10g}")
_TITLES = {
    "fresh": "fresh load",
    "unchanged": "unchanged",
    "late": "last ten days",
    "changed": "ten rows changed anywhere",
}


def draw(found: Found, folder: Path) -> list[str]:
    """Draw all that there are figures for; returns the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in (
        ("performance-seconds.png", _seconds),
        ("performance-memory.png", _memory),
        ("performance-latency.png", _latency),
    ):
        figure = picture(found)
        if figure is not None:
            figure.savefig(folder / name, dpi=100)
            plt.close(figure)
            drawn.append(name)
    return drawn


def _seconds(found: Found) -> Any:
    """One panel for each database and scenario: seconds by rows."""
    figure, panels = plt.subplots(2, 4, figsize=(15, 7.6), sharex=True, sharey=True, layout="constrained")
    for row, database in zip(panels, DATABASES, strict=True):
        for panel, scenario in zip(row, SCENARIOS, strict=True):
            _by_rows(panel, found, database, scenario, lambda each: each.seconds)
            panel.set_title(f"{DATABASES[database]}: {_TITLES[scenario]}", fontsize=11)
        row[0].set_ylabel("seconds")
    return _finished(figure, panels)


def _memory(found: Found) -> Any:
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6), sharex=True, sharey=True, layout="constrained")
    for panel, database in zip(panels, DATABASES, strict=True):
        _by_rows(panel, found, database, "fresh", lambda each: each.of("peak_mb"))
        panel.set_title(f"{DATABASES[database]}: fresh load", fontsize=11)
    panels[0].set_ylabel("peak memory of the client, MB")
    return _finished(figure, panels)


def _by_rows(panel: Any, found: Found, database: str, scenario: str, value: Callable[[Figure], float]) -> None:
    for way in WAYS:
        points = sorted(
            (case.rows, value(figure))
            for (case, of, by), figure in found.items()
            if (case.database, of, by) == (database, scenario, way)
            and not (case.latency or case.rate or figure.failed or figure.wrong)
        )
        if points:
            style = {"linestyle": "--"} if way == FLOOR else {"marker": "o", "markersize": 4}
            width = 2.6 if way == OURS else 1.5
            xs, ys = zip(*points, strict=True)
            panel.plot(xs, ys, color=_COLOURS[way], label=WAYS[way].title, linewidth=width, **style)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(visible=True, which="major", color="#dddddd")


def _finished(figure: Any, panels: Any) -> Any:
    labels: dict[str, Any] = {}
    for panel in panels.flat:
        panel.xaxis.set_major_formatter(_PLAIN)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(_PLAIN)
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.spines[["top", "right"]].set_visible(False)
        labels |= {label: line for line, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    if not labels:
        return None
    for panel in panels[-1] if panels.ndim > 1 else panels:
        panel.set_xlabel("rows of the history")
    figure.legend(labels.values(), labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _latency(found: Found) -> Any:
    rows = 100_000
    figure, panel = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for way in (OURS, DLT_ARROW, SDK, DLT):
        points = sorted(
            (case.latency, each.seconds, each)
            for (case, scenario, by), each in found.items()
            if (case.rows, case.database, scenario, by, case.rate) == (rows, DUCKDB, "fresh", way, 0)
            and not each.failed
        )
        if len(points) > 1:
            xs, ys, figures = zip(*points, strict=True)
            width = 2.6 if way == OURS else 1.5
            panel.plot(xs, ys, color=_COLOURS[way], label=WAYS[way].title, linewidth=width, marker="o", markersize=4)
            if way == OURS:
                floor = [network_floor(each) for each in figures]
                panel.plot(
                    xs, floor, color=_COLOURS[FLOOR], linestyle="--", label="the network's floor for our requests"
                )
    if not panel.lines:
        return None
    panel.set(
        xlabel="latency of a request, ms", ylabel="seconds", ylim=(0, None), title=f"{rows:,} rows, fresh, DuckDB"
    )
    panel.set_xticks(sorted({case.latency for case, _, _ in found}))
    panel.grid(visible=True, color="#dddddd")
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
