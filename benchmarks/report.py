"""docs/performance.md, made of what is in `results/`: run by `bench.py`, in the environment that can draw.

Here belong the page and its words; how a figure is written belongs to `tables.py`, what is to be reached to `goals.py`.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import drawing
import results
import tables
from cases import Case, Figure, figures
from contestants import DATABASES, FLOOR, OURS, SCENARIOS, WAYS
from goals import goals, network_floor

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
IMAGES = "images"
Found = Mapping[tuple[Case, str, str], Figure]
_SPLIT_ROWS = 100_000

_INTRODUCTION = """\
# How fast a sync is

<!-- Written by benchmarks/report.py from benchmarks/results/: `make bench`. Do not edit. -->

Measured on a machine with two cores, which the client, the fake API and the database's server share. A sync is one
account's transactions, of about 36 fields, 41 in a trade; the API is `benchmarks/fake_api.py`, which cuts its pages of
2,000 rows out of one text, so that it costs next to nothing; the databases are a DuckDB file and a Postgres with its
default settings.

Every measurement is a process of its own: it starts, imports (not counted), and synchronises once, login included. This
project's tables exist before, as in a pipeline that has been set up; the others make theirs in the first run, which
takes them up to half a second. Then the table is counted: a way whose rows or whose sum of net values are not right is
marked *wrong*. Each figure is the median of three, the ways taking turns (at a million rows, of one); ± is half of what
lies between the least and the most. A ratio is how many times as long as this project another way took in the same
turn, with the least and the most. Memory is the most that the client's process held, with its largest child.

    make bench                                  # everything; over an hour
    make bench SIZES="1000 10000 100000"        # some minutes; what is measured anew replaces its part below
"""

_WAYS = """\
## The ways

- **this project**: `sync_transactions` as an asset calls it, with every proof: windows read twice where one page does
  not hold them, totals, digests, rejected rows, the change feed, one transaction.
- **floor**: all pages fetched eight at a time, then parsed by `pyarrow.json`, signed and put into the same, indexed
  table in one transaction, with no proof and no second read. Its parts are told apart above.
- **dlt, REST source**: `rest_api_source`, merge on the id, columns declared (decimals, timestamps), no nested tables,
  uncompressed files in the destination's fastest format, two processes to normalise, four threads to load.
- **dlt, fed with Arrow**: the same pipeline, from Arrow tables that `pyarrow.json` makes of the pages.
- **SDK + pandas**: `Account.get_history` at 2,000 rows a page, a DataFrame, one insert of the ids that are not there.
  It does not see what changed.
- **ORM, bulk upsert**: Django's `bulk_create(update_conflicts=True)`, a page at a time. **ORM, row by row**:
  `exists()`, then `create()`; it does not see what changed either. Both on Postgres alone.

None of the others proves that it read everything: they trust the API's pages.
"""


_MISSED = """\

Where the time of the missed ones goes, as far as it is known:

- *Fresh loads*: every row is fetched twice (the second time only compared), which is the proof. On two cores the HTTP
  client, the parser and the database want 4 to 5 s of processor for 100,000 rows. The floor on this page, which reads
  once and proves nothing, takes more than half as long as this project: 8 times dlt would be faster than the floor. In
  Postgres the server's share is as large as ours: COPY 0.8 s, six indexes 1.1 s, the change feed 0.4 s.
- *Unchanged*: one fetch of all pages is half of it, the questions to the tables that make the receipts worth something
  a quarter. An HTTP client in C took 0.2 s off, and 0.15 s more to import in every process: it was left.
- *Latency*: two passes of 67 windows, 8 at a time, and a load that begins when the last answer is there.
- *A limit of requests*: a first sync asks 139 times, where reading each page once takes 50.
- *A million rows into Postgres*: half of the time is the server's, with its indexes.
- *Ten million rows, DuckDB*: before a row is inserted the index of the key is read whole, which is the second, and the
  memory, of a small sync there.
- *Five years*: the rest of the run has become so small that our part, which has become smaller too, is a large share.
"""


def main() -> int:
    """Write the page and its pictures."""
    found = figures(results.sync())
    pictures = drawing.draw(found, DOCS / IMAGES)
    lines = [_INTRODUCTION, *_goals(found), *_syncs(found, pictures), *_far(found, pictures), *_split(found)]
    lines += [*_dagster(results.other("dagster")), *_growth(results.other("growth")), _WAYS.rstrip()]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"written: {PAGE.relative_to(DOCS.parent)}, {', '.join(pictures)}")
    return 0


def _goals(found: Found) -> Iterator[str]:
    yield "## Figures to reach\n"
    rows = [(goal.what, goal.wanted, goal.measured, goal.verdict) for goal in goals(found, results.other("dagster"))]
    yield from tables.markdown([("what", "wanted", "measured", ""), *rows])
    yield _MISSED


def _picture(name: str, words: str, pictures: list[str]) -> Iterator[str]:
    if name in pictures:
        yield f"![{words}]({IMAGES}/{name})\n"


def _syncs(found: Found, pictures: list[str]) -> Iterator[str]:
    yield "## By size\n"
    yield from _picture("performance-seconds.png", "Seconds by rows, for each database and scenario", pictures)
    for database, name in DATABASES.items():
        cases = sorted({case for case, _, _ in found if case == Case(case.rows, database)}, key=lambda each: each.rows)
        for scenario, words in SCENARIOS.items():
            rows = list(_by_size(found, cases, scenario))
            if rows:
                yield f"**{name}, {words}**\n"
                yield from tables.markdown([("", *(f"{case.rows:,}" for case in cases)), *rows])
                yield ""
    yield "### Memory and requests of a fresh load\n"
    yield from _picture("performance-memory.png", "Peak memory by rows, for each database", pictures)
    for database, name in DATABASES.items():
        cases = sorted({case for case, _, _ in found if case == Case(case.rows, database)}, key=lambda each: each.rows)
        rows = [
            (WAYS[way].title, *(_resources(found.get((case, "fresh", way))) for case in cases))
            for way in WAYS
            if any((case, "fresh", way) in found for case in cases)
        ]
        if rows:
            yield from tables.markdown([(name, *(f"{case.rows:,}" for case in cases)), *rows])
            yield ""


def _by_size(found: Found, cases: list[Case], scenario: str) -> Iterator[tuple[str, ...]]:
    for way in WAYS:
        cells = [tables.compared(found, case, scenario, way) for case in cases]
        if any(cells):
            yield WAYS[way].title, *cells


def _resources(figure: Figure | None) -> str:
    if figure is None or figure.failed:
        return "" if figure is None else "fails"
    return f"{figure.of('peak_mb'):,.0f} MB, {figure.of('requests'):,.0f} requests, {figure.of('cpu'):.1f} s of CPU"


def _far(found: Found, pictures: list[str]) -> Iterator[str]:
    cases = sorted(
        {case for case, _, _ in found if case.latency or case.rate}, key=lambda each: (each.rate, each.latency)
    )
    if not cases:
        return
    yield "## Far away, and held back\n"
    yield from _picture("performance-latency.png", "Seconds by latency", pictures)
    for case in cases:
        yield f"**{tables.title(case)}**\n"
        rows = [("", *(SCENARIOS[each].split(":")[0] for each in ("fresh", "late")), "requests", "refused (429)")]
        for way in WAYS:
            figure = found.get((case, "fresh", way))
            if figure:
                cells = [tables.compared(found, case, scenario, way) for scenario in ("fresh", "late")]
                counts = (f"{figure.of('requests'):,.0f}", f"{figure.of('throttled'):,.0f}")
                rows.append((WAYS[way].title, *cells, *counts))
        yield from tables.markdown(rows)
        ours = found.get((case, "fresh", OURS))
        if ours and case.latency:
            yield f"\nThe network's own floor for our requests, eight in flight: {network_floor(ours):.2f} s."
        yield ""


def _split(found: Found) -> Iterator[str]:
    rows = []
    for database, name in DATABASES.items():
        for way in (OURS, FLOOR):
            figure = found.get((Case(_SPLIT_ROWS, database), "fresh", way))
            if figure and figure.phases:
                parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in figure.phases.items())
                rows.append((f"{WAYS[way].title}, {name}", tables.seconds(figure), parts))
    if rows:
        yield f"## Where the time of a fresh load of {_SPLIT_ROWS:,} goes\n"
        yield "Parts that overlap are counted in each.\n"
        yield from tables.markdown([("", "in all", "parts"), *rows])
        yield ""


def _dagster(found: Any) -> Iterator[str]:
    if not found:
        return
    yield "## Dagster's share\n"
    yield (
        f"`python benchmarks/dagster_share.py`: the same syncs of {found['accounts']} accounts over {found['days']:,} "
        "days, on Dagster's default settings and on those that this project writes; seconds.\n"
    )
    settings: Mapping[str, Mapping[str, Mapping[str, float]]] = found["seconds"]
    for what in next(iter(settings.values())):
        names = list(dict.fromkeys(name for each in settings.values() for name in each.get(what, {})))
        rows = [(name, *(_number(each.get(what, {}).get(name)) for each in settings.values())) for name in names]
        yield from tables.markdown([(what, *settings), *rows])
        yield ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _growth(found: Any) -> Iterator[str]:
    """What a benchmark gives as `{"title", "text", "tables": [{"head": [...], "rows": [[...], ...]}, ...]}`."""
    if not found:
        return
    yield f"## {found['title']}\n"
    yield f"{found['text']}\n"
    for table in found["tables"]:
        yield from tables.markdown([table["head"], *table["rows"]])
        yield ""


if __name__ == "__main__":
    sys.exit(main())
