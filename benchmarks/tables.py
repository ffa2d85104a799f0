"""Tables of measurements as text, for the terminal and, with bars, for the page.

Here belongs how a figure is written; which figures stand together on the page belongs to `report.py`.
"""

from collections.abc import Iterable, Mapping, Sequence

from cases import Case, Figure, Measurement, figures, ratio
from contestants import DATABASES, FLOOR, OURS, SCENARIOS, WAYS

Cells = Sequence[str]


def line(each: Measurement) -> str:
    """One measurement in the run's progress."""
    case = each.case
    where = (
        f"{case.rows:>9,} {DATABASES[case.database]:<8} {case.latency:>3} ms {f'{case.rate}/s' if case.rate else '':<5}"
    )
    if each.wrong.startswith("failed"):
        return f"{where} {each.way:<11}{each.scenario:<10} {each.wrong}"
    figures_ = f"{each.seconds:8.2f} s  cpu {each.cpu:7.2f} s  peak {each.peak_mb:6.0f} MB  {each.requests:>5} requests"
    return (
        f"{where} {each.way:<11}{each.scenario:<10}{figures_}  {f'WRONG: {each.wrong}' if each.wrong else ''}".rstrip()
    )


def of_case(case: Case, measurements: Sequence[Measurement]) -> list[str]:
    """Every way in every scenario of one case, with how many times as long as ours it took."""
    found = figures(measurements)
    scenarios = [each for each in SCENARIOS if any(key[1] == each for key in found)]
    rows: list[Cells] = [("way", *scenarios, "peak MB", "requests")]
    for way in WAYS:
        cells = [compared(found, case, scenario, way) for scenario in scenarios]
        if any(cells):
            first = next(found[key] for key in found if key[2] == way)
            rows.append((WAYS[way].title, *cells, f"{first.of('peak_mb'):,.0f}", f"{first.of('requests'):,.0f}"))
    return [title(case), *aligned(rows)]


def title(case: Case) -> str:
    """A case in words."""
    far = f", {case.latency} ms latency" if case.latency else ""
    return f"{case.rows:,} rows, {DATABASES[case.database]}{far}{f', {case.rate} requests/s' if case.rate else ''}"


def compared(found: Mapping[tuple[Case, str, str], Figure], case: Case, scenario: str, way: str) -> str:
    """The seconds of a way with their spread, and its ratio to ours with its spread."""
    figure = found.get((case, scenario, way))
    if figure is None:
        return ""
    if figure.failed:
        return "fails"
    ours = found.get((case, scenario, OURS))
    text = seconds(figure) + (" wrong" if figure.wrong else "")
    if ours is None or ours.failed or way in {OURS, FLOOR}:
        return text
    times = ratio(figure, ours)
    spread = f" ({times.least:.1f}-{times.most:.1f})" if len(figure.measurements) > 1 else ""
    return f"{text} = {times.middle:.1f}x{spread}"


def seconds(figure: Figure) -> str:
    """The median, and how far the others are from it."""
    least, most = figure.spread
    middle = f"{figure.seconds:.2f}" if figure.seconds < 10 else f"{figure.seconds:.1f}"  # noqa: PLR2004
    return (
        f"{middle} s"
        if len(figure.measurements) == 1
        else f"{middle} s ±{100 * (most - least) / 2 / figure.seconds:.0f}%"
    )


def aligned(rows: Sequence[Cells]) -> list[str]:
    """Columns of equal width."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def markdown(rows: Iterable[Cells]) -> list[str]:
    """The same for a page; the first row is the head."""
    head, *rest = [f"| {' | '.join(cells)} |" for cells in rows]
    return [head, f"| {' | '.join(['---'] * (head.count('|') - 1))} |", *rest]
