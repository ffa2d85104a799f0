"""Contract drift, exhaustively: every field of every payload removed, renamed, nulled and retyped, one at a time.

The fields are those that the simulator sends. Each case asks: do the other tables go on, is the change reported, is
everything that was said still there - in its column, in `extra` or in `rejected_rows` - and is all well after the next
ordinary answer? A case is played again by its name, as it is printed.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasty_pipeline.core import audits, schema
from tasty_pipeline.core.publish.rejects import storable
from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import SimulatorConfig, serve
from tasty_pipeline.simulator.answers import Answer

from . import rows_said, trial
from .changes_of_contract import PAYLOADS, RENAMED, Case, Payload, cases
from .rows_said import Key, Row, Rows
from .tally import Tally
from .trial import PARTS, Stage

_SHOWN = 4
_KEYS = {"account-number", "symbol", "instrument-type", "quantity-direction", "currency", "time-of-day", "id"}


def search(*, seed: int, count: int | None = None, database: str = "duckdb", only: Sequence[str] = ()) -> Tally:
    """Try all cases, or so many drawn with the seed and those that are named; on DuckDB, or on the server of a URL."""
    tally = Tally("contract drift: every case reported, no other table stops, nothing lost", seed=seed)
    server = None if database == "duckdb" else database
    with tempfile.TemporaryDirectory() as folder, serve(SimulatorConfig(**trial.SETTINGS)) as sim:
        stage = Stage(sim, Path(folder), server, moves=False)
        for case in trial.chosen(cases(sim), seed, count, only):
            if wrong := _tried(stage, case, tally):
                tally.broken.append(f"{case}: {'; '.join(wrong[:_SHOWN])}")
    return tally


def _tried(stage: Stage, case: Case, tally: Tally) -> list[str]:
    payload = PAYLOADS[case.payload]
    with stage.opened("published") as warehouse:
        part = payload.endpoint.part
        parts = tuple(PARTS) if case.payload == "token" else (part, trial.witness(part))
        before = stage.held(warehouse, trial.tables_of(parts))
        heard = trial.hear(stage.sim, payload.endpoint, case.apply, None, 0)
        said = stage.attempt(warehouse, parts, start=trial.START)
        stage.sim.brokerage.faults.clear()
        if not heard.odd:
            tally.notes["cases in which nothing was asked that could be changed"] += 1
            return []
        tally.tried += 1
        pairs = [pair for before_, after in heard.pairs for pair in _pairs(payload, before_, after)]
        wrong = [f"{name} did not go on: {error}" for name, error in said.items() if error and name != part]
        if case.payload == "token":
            wrong = []
        wrong += [f"{name} ended with {error[:300]}" for name, error in said.items() if error.startswith("!")]
        wrong += _judged(stage, warehouse, case, before, said, pairs, tally)
        return wrong + ([f"afterwards: {left}"] if (left := stage.heal(warehouse, parts)) else [])


def _pairs(payload: Payload, before: Answer, after: Answer) -> list[tuple[Row, Row]]:
    """The rows that an answer would have had, each with what it was instead, where they differ."""
    if not payload.is_row or before.status != 200:
        return []
    both = zip(payload.objects(before.edit()), payload.objects(after.edit()), strict=True)
    return [(good, bad) for good, bad in both if json.dumps(good) != json.dumps(bad)]  # True is 1 in Python


def _judged(
    stage: Stage,
    warehouse: Warehouse,
    case: Case,
    before: dict[str, Rows],
    said: dict[str, str],
    pairs: list[tuple[Row, Row]],
    tally: Tally,
) -> Iterator[str]:
    endpoint = PAYLOADS[case.payload].endpoint
    table = schema.MIRRORED[endpoint.table]
    held, truth = stage.held(warehouse, before), stage.truth
    if said[endpoint.part]:
        tally.notes["refused"] += 1
        if held[table.name] != before[table.name]:
            yield "it failed, and has written"
        return
    bad = rows_said.rejected(warehouse, table.name)
    fates = _Fates(case, before[table.name], held[table.name], truth[table.name], [row["payload"] for row in bad])
    changed = {_key(table, good): odd for good, odd in pairs}
    moved = {_key(table, odd) for odd in changed.values()}
    for key in fates.unlike():
        odd = changed.get(_names(key))
        if odd is not None:
            yield from fates.wrong(key, odd, moved_to=_key(table, odd))
        elif fates.beside(key):
            fates.otherwise = True
        elif _names(key) not in moved:
            yield f"{' '.join(map(str, key))} is not as in the books, and nothing of it was changed"
    findings = _findings(warehouse, table, case)
    tally.notes["quarantined" if bad else "stored otherwise" if fates.otherwise else "understood"] += 1
    if bad and "rejected" not in findings:
        yield "rows in quarantine that no check reports"
    # what the login may do stands in a table of its own
    authority = case.field == "authority-level" and not bad
    if (fates.otherwise or authority) and "contract" not in findings:
        if case.change in {"removed", "null"} and not _never_absent(table, case, [good for good, _ in pairs]):
            tally.notes["absent, as the contract allows"] += 1
        else:
            yield "reported by nothing"


@dataclass
class _Fates:
    """What became of each row: as the books have it, in quarantine, or stored otherwise."""

    case: Case
    before: Rows
    held: Rows
    truth: Rows
    kept: list[Row]
    otherwise: bool = False

    def unlike(self) -> list[Key]:
        """The keys under which the table does not hold what the books have."""
        return [key for key in self.held.keys() | self.truth.keys() if self.held.get(key) != self.truth.get(key)]

    def beside(self, key: Key) -> bool:
        """Whether a row has but one thing more than in the books: a new name of a field that stood beside the rows."""
        now = dict(self.held.get(key, {}))
        new = now.pop(f"new_{self.case.field}".replace("-", "_"), None)
        return not PAYLOADS[self.case.payload].is_row and new is not None and now == self.truth.get(key)

    def wrong(self, key: Key, odd: Row, moved_to: Key) -> Iterator[str]:
        """What is wrong with a row, given with what the API said in its place, and under which key."""
        now, right = self.held.get(key), self.truth.get(key)
        shown = " ".join(map(str, key))
        if any(_same(storable(odd), each) for each in self.kept):
            if now != self.before.get(key):
                yield f"{shown} was quarantined, and written"
        elif now is not None and right is not None:
            self.otherwise = True
            yield from _stored(shown, self.case, now, right, odd)
        elif self.case.field in _KEYS and moved_to in {_names(each) for each in self.held}:
            self.otherwise = True  # it stands under the key that the API gives it now
        else:
            yield f"{shown} is {'lost' if now is None else 'invented'}"


def _never_absent(table: Any, case: Case, rows: list[Row]) -> bool:
    """Whether the contract says that the API always sends the field: always, or in the trades among these rows."""
    column = next((each for each in table.c if each.info["api"] == case.field), None)
    if column is None or column.info["expected"]:
        return True
    of_trades = table is schema.transactions and column.name in (*schema.OF_TRADES, "quantity")
    return of_trades and any(row["transaction-type"] == "Trade" for row in rows)


def _findings(warehouse: Warehouse, table: Any, case: Case) -> set[str]:
    """Which checks report the case."""
    with warehouse.read() as reader:
        drift = audits.contract(reader, table)
        named = any(case.field in str(row["field"]) for row in drift.sample) or len(drift.sample) >= audits.SAMPLE
        found = {"contract"} if not drift.passed and named else set()
        return found | (set() if audits.no_rejected_rows(reader, table).passed else {"rejected"})


def _key(table: Any, payload: Row) -> Key:
    """The key that a payload says, its parts as text."""
    return _names(payload.get(table.c[part].info["api"]) for part in schema.key_of(table))


def _names(key: Iterable[Any]) -> Key:
    """A key whose parts are text, whatever their type is."""
    return tuple(_text(part) for part in key)


def _column(field: str) -> str:
    return {"id": "transaction_id", "account-type-name": "account_type"}.get(field, field.replace("-", "_"))


def _stored(shown: str, case: Case, now: Row, right: Row, odd: Row) -> Iterator[str]:
    """What is wrong with a row that was stored otherwise than the books have it."""
    column = _column(case.field)
    field = case.field.replace("-", "_")
    touched = {column, f"{column}_effect", field, f"new_{field}", f"{column} (extra)"}
    touched.add(f"{column.removesuffix('_amount')}_effect")  # four amounts name theirs so
    if case.field in {"quantity", "action", "quantity-direction"}:
        touched |= {"quantity", "quantity_unsigned"}
    other = sorted(name for name in (now.keys() | right.keys()) - touched if now.get(name) != right.get(name))
    if other:
        yield f"{shown} differs elsewhere: {', '.join(f'{name}={now.get(name)!r}' for name in other)}"
    value = odd.get(case.field, odd.get(RENAMED.format(case.field)))
    if value is not None and not any(_same(now[name], value) for name in touched & now.keys()):
        yield f"{shown} lost {value!r}: {[now[name] for name in touched & now.keys()]}"


def _same(one: Any, other: Any) -> bool:
    """Whether two values say the same, each as JSON or as a column has it."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or _text(one) == _text(other))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return format(Decimal(str(value)).normalize(), "f")
    return str(value)
