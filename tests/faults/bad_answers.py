"""Bad answers: every kind at every endpoint, always or once, over tables that were published and empty ones.

Each case asks: does every sync end, with a clear error or with rows that are right, quarantined or as they were; do the
others go on; is everything mended by the next run? Here belongs how that is judged; what is tried is in
`cases_of_answers.py`. A case is played again by its name, as it is printed.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import Fault, SimulatorConfig, serve
from tasty_pipeline.simulator.answers import Answer

from . import rows_said, trial
from .cases_of_answers import (
    EMPTY,
    ENDPOINTS,
    KIND_OF_SIMULATOR,
    PUBLISHED,
    SMALL,
    WAYS,
    Case,
    cases,
    expected,
    params,
)
from .kinds_of_answers import ALL, BELIEVED, QUARANTINED, REFUSED, STORED
from .rows_said import Key, Row, Rows
from .tally import Tally
from .trial import HIT, PARTS, Endpoint, Heard, Stage

_SHOWN = 4


def search(*, seed: int, count: int | None = None, database: str = "duckdb", only: Sequence[str] = ()) -> Tally:
    """Try all cases, or so many drawn with the seed and those that are named; on DuckDB, or on the server of a URL."""
    tally = Tally("bad answers: a clear error or a quarantined row", seed=seed)
    server = None if database == "duckdb" else database
    with tempfile.TemporaryDirectory() as folder, serve(SimulatorConfig(**trial.SETTINGS)) as sim:
        stage = Stage(sim, Path(folder), server)
        heard = {start: _asked(stage, start) for start in (PUBLISHED, EMPTY)}
        chosen = [case for case in cases() if str(case) in only or _means_something(case, heard)]
        for case in trial.chosen(chosen, seed, count, only):
            if wrong := _tried(stage, case, tally):
                tally.broken.append(f"{case}: {'; '.join(wrong[:_SHOWN])}")
    return tally


def _asked(stage: Stage, start: str) -> dict[str, list[Answer]]:
    """The good answers of every endpoint in a run that nothing is wrong with."""
    with stage.opened(start) as warehouse:
        heard = {name: trial.hear(stage.sim, endpoint, _as_it_is, None, 0) for name, endpoint in ENDPOINTS.items()}
        stage.attempt(warehouse, tuple(PARTS))
        stage.sim.brokerage.faults.clear()
    return {name: [good for good, _ in each.pairs] for name, each in heard.items()}


def _as_it_is(answer: Answer, _: object) -> Answer:
    return answer


def _means_something(case: Case, heard: dict[str, dict[str, list[Answer]]]) -> bool:
    """Whether the endpoint is asked often enough, and the kind makes anything else of its answer."""
    kind = ALL[case.kind]
    answers = heard[EMPTY if case.start == EMPTY else PUBLISHED][case.endpoint]
    if case.start == SMALL or kind.name == "a stale page":
        return True
    answers = answers[WAYS[case.way][1] :]
    told = params(case)
    return any(vars(kind.change(Answer(**vars(each)), told)) != vars(each) for each in answers)


def _tried(stage: Stage, case: Case, tally: Tally) -> list[str]:
    kind, endpoint = ALL[case.kind], ENDPOINTS[case.endpoint]
    start = PUBLISHED if case.start == SMALL else case.start
    with stage.opened(start) as warehouse:
        parts = _parts(endpoint)
        before = stage.held(warehouse, trial.tables_of(parts))
        if case.start == SMALL:
            stage.sim.brokerage.faults.add(Fault("small_pages", path=endpoint.path))
        times, after = WAYS[case.way]
        change = KIND_OF_SIMULATOR.get(kind.name, kind.change)
        heard = trial.hear(stage.sim, endpoint, change, times, after, **params(case))
        # a time that is long enough for honest answers, and short where one never comes
        said = stage.attempt(warehouse, parts, timeout=1.5 if "never ends" in kind.name else 20.0)
        stage.sim.brokerage.faults.clear()
        if not heard.odd:
            tally.notes["cases in which nothing was asked that could be spoilt"] += 1
            return []
        tally.tried += 1
        wrong = list(_judged(stage, warehouse, case, before, said, heard, tally))
        return wrong + ([f"afterwards: {left}"] if (left := stage.heal(warehouse, parts)) else [])


def _parts(endpoint: Endpoint) -> tuple[str, ...]:
    """The sync that asks, and one that has nothing to do with it; every one for the token."""
    if endpoint.path.startswith("/oauth"):
        return tuple(PARTS)
    return ("transactions", "verify") if endpoint.part == "verify" else (endpoint.part, trial.witness(endpoint.part))


def _judged(
    stage: Stage,
    warehouse: Warehouse,
    case: Case,
    before: dict[str, Rows],
    said: dict[str, str],
    heard: Heard,
    tally: Tally,
) -> Iterator[str]:
    endpoint = ENDPOINTS[case.endpoint]
    expect = expected(case)
    held, truth = stage.held(warehouse, before), stage.truth
    yield from (line for part, error in said.items() for line in _ending(case, part, error))
    failed = [bool(said[part]) for part in said if endpoint.table in PARTS[part]]
    tally.notes["refused" if any(failed) else "read"] += 1
    bad = rows_said.rejected(warehouse, endpoint.table)
    tally.notes["with rows in quarantine"] += bool(bad)
    if bad and not _is_reported(warehouse, endpoint.table):
        yield "rows in quarantine that no check reports"
    if expect == QUARANTINED and case.way == "always" and not bad and not any(failed):
        yield "nothing was quarantined"
    right = {" ".join(map(str, key)) for key in truth[endpoint.table]}
    for key in rows_said.removed(warehouse, endpoint.table) & right:
        if expect != BELIEVED or not _is_heard_out(case):
            yield f"{key} was removed"
    told = rows_said.told_by(endpoint.table, heard.odd) if expect in {STORED, BELIEVED} else {}
    for part, error in said.items():
        for table in PARTS[part]:
            ours = table == endpoint.table
            yield from _rows(
                table,
                before=before[table],
                held=held[table],
                truth=truth[table],
                told=told if ours else {},
                excused=[row["row_key"] for row in bad] if ours else [],
                whole=not error and not any(failed) if ours else not error,
                stale=ours and expect == BELIEVED,
                short=ours and expect == BELIEVED and _is_heard_out(case),
            )


def _is_reported(warehouse: Warehouse, table: str) -> bool:
    with warehouse.read() as reader:
        return not audits.no_rejected_rows(reader, schema.MIRRORED[table]).passed


def _is_heard_out(case: Case) -> bool:
    """Whether nobody heard anything else: an absence counts only when two answers in a row agree on it."""
    return case.way == "always" or case.start == EMPTY or case.endpoint in {"balances", "transaction"}


def _ending(case: Case, part: str, error: str) -> Iterator[str]:
    """What is wrong with how a sync ended."""
    endpoint = ENDPOINTS[case.endpoint]
    if error:
        yield from _unclear(part, error)
    mine = part == endpoint.part or case.endpoint == "token"
    if error and not mine and not (part == "transactions" and endpoint.part == "verify"):
        yield f"{part} did not go on: {error}"
    if mine and not error and expected(case) == REFUSED and case.way == "always":
        yield f"{part} succeeded"


def _unclear(part: str, error: str) -> Iterator[str]:
    if error.startswith("!"):
        yield f"{part} ended with {error[:300]}"
    elif "What to do: " not in error or not any(name in error for name in (HIT, "/customers/me", "login", "token")):
        yield f"{part} says neither what it is about nor what to do: {error[:300]}"


def _rows(
    table: str,
    *,
    before: Rows,
    held: Rows,
    truth: Rows,
    told: dict[Key, list[Row]],
    excused: Sequence[str | None],
    whole: bool,
    stale: bool,
    short: bool,
) -> Iterator[str]:
    """What is wrong with the rows of a table: each is as the books have it, as it was before, or as the API said.

    Where the sync succeeded (`whole`), every row of the days that it read is as the books have it, but for those in
    quarantine, which stay as they were. One without a readable key could be any row: none is missed then, and as many
    as there are such may be as they were. An answer that is believed may be `stale`, and where nothing else was heard
    lack rows (`short`).
    """
    day = schema.DAY.get(table)
    spare = keyless = excused.count(None)

    for key in held.keys() | truth.keys() | before.keys():
        now, right, was = held.get(key), truth.get(key), before.get(key)
        row = now or right or was or {}
        read = day is None or row[day] >= trial.LOOKBACK
        absent = right is None or (day is not None and right[day] < trial.LOOKBACK)
        quarantined = " ".join(map(str, key)) in excused or (keyless > 0 and absent)
        shown = f"{table} {' '.join(map(str, key))}"
        if now == right or now in told.get(key, ()) or (stale and now == was) or (short and now is None):
            continue
        if now != was:
            yield f"{shown} is neither as it was nor as it is: {_differing(now, right)}"
        elif whole and read and not quarantined and spare:
            spare -= 1
        elif whole and read and not quarantined:
            yield f"{shown} is not what the books have: {_differing(now, right)}"


def _differing(now: Row | None, right: Row | None) -> str:
    if now is None or right is None:
        return "it is not there" if now is None else "the books lack it"
    return ", ".join(f"{n}={now.get(n)!r}" for n in sorted(now.keys() | right.keys()) if now.get(n) != right.get(n))
