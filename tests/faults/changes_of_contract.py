"""Every change of every field of every payload: what `drift_of_contract.py` tries.

Here belongs which fields there are (those that the simulator sends) and what is done to them; how that is judged does
not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasty_pipeline.simulator import Simulator
from tasty_pipeline.simulator.answers import Answer

from . import trial
from .cases_of_answers import ENDPOINTS
from .rows_said import Row
from .trial import HIT, Endpoint

Objects = Callable[[Any], list[Row]]
RENAMED = "new-{}"


@dataclass(frozen=True)
class Payload:
    """A kind of object in the answers of an endpoint; `is_row` if it becomes a row of the endpoint's table."""

    endpoint: Endpoint
    objects: Objects
    is_row: bool = True


def _items(content: Any) -> list[Row]:
    items: list[Row] = content["data"]["items"]
    return items


_SNAPSHOTS = Endpoint(f"/accounts/{HIT}/balance-snapshots$", "snapshots", "balance_snapshots")
PAYLOADS = {
    "account": Payload(ENDPOINTS["accounts"], lambda content: [item["account"] for item in _items(content)]),
    "listed account": Payload(ENDPOINTS["accounts"], _items, is_row=False),
    "position": Payload(ENDPOINTS["positions"], _items),
    "balance": Payload(ENDPOINTS["balances"], lambda content: [content["data"]]),
    "snapshot": Payload(_SNAPSHOTS, lambda content: [row for row in _items(content) if "updated-at" not in row]),
    "transaction": Payload(ENDPOINTS["transactions"], _items),
    "page of transactions": Payload(ENDPOINTS["transactions"], lambda content: [content["pagination"]], is_row=False),
    "page of snapshots": Payload(_SNAPSHOTS, lambda content: [content["pagination"]], is_row=False),
    "list": Payload(ENDPOINTS["transactions"], lambda content: [content["data"]], is_row=False),
    "answer": Payload(ENDPOINTS["transactions"], lambda content: [content], is_row=False),
    "token": Payload(ENDPOINTS["token"], lambda content: [content], is_row=False),
}


def _number(value: Any) -> Any:
    try:
        return int(value) if str(value).isdecimal() else float(value)
    except (TypeError, ValueError):
        return 12_345


# how a value becomes one of another type, and which types it then is; None leaves it out
_TYPES: dict[str, tuple[type | tuple[type, ...], Callable[[Any], Any]]] = {
    "a text": (str, lambda value: {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)),
    "a number": ((int, float), _number),
    "a flag": (bool, lambda _: True),
    "an object": (dict, lambda value: {"was": value}),
    "a list": (list, lambda value: [value]),
}
CHANGES = ("removed", "renamed", "null", *_TYPES)


def _changed(row: Row, field: str, change: str) -> bool:
    """Change a field of a row that has it; say whether anything is different now."""
    if field not in row:
        return False
    value = row.pop(field)
    if change == "renamed":
        row[RENAMED.format(field)] = value
    elif change == "null":
        row[field] = None
    elif change != "removed":
        kinds, made = _TYPES[change]
        already = isinstance(value, kinds) and (change == "a flag") >= isinstance(value, bool)
        row[field] = value if already else made(value)
        return not already
    return True


@dataclass(frozen=True)
class Case:
    """One change of one field of one payload, in all rows or in the first that has it."""

    payload: str
    field: str
    change: str
    rows: str

    def __str__(self) -> str:
        return f"{self.payload}/{self.field}/{self.change}/{self.rows}"

    def apply(self, answer: Answer, _: Row) -> Answer:
        """Turn a good answer into one with this change."""
        if answer.status == 200:
            content = answer.edit()
            for row in PAYLOADS[self.payload].objects(content):
                if _changed(row, self.field, self.change) and self.rows == "one":
                    break
            answer.put(content)
        return answer


def cases(sim: Simulator) -> list[Case]:
    """All cases: the fields are those that the brokerage sends."""
    books = sim.brokerage
    snapshots = [row for time in ("BOD", "EOD") for row in books.snapshots(HIT, time, trial.START, trial.TODAY)]
    sent: dict[str, Sequence[Row]] = {
        "account": books.accounts(),
        "listed account": [{"account": {}, "authority-level": ""}],
        "position": books.positions(HIT),
        "balance": [books.balances(HIT)],
        "snapshot": snapshots,
        "transaction": books.transactions(HIT),
        "list": [{"items": []}],
        "answer": [{"data": {}, "context": "", "pagination": {}}],
        "token": [{"access_token": "", "token_type": "", "expires_in": 0}],
    }
    pagination = ("per-page", "page-offset", "item-offset", "total-items", "total-pages", "current-item-count")
    links = ("previous-link", "next-link", "paging-link-template")
    for name in ("page of transactions", "page of snapshots"):
        sent[name] = [dict.fromkeys(pagination, 1) | dict.fromkeys(links)]
    return [
        Case(name, field, change, rows)
        for name, objects in sent.items()
        for field in dict.fromkeys(field for row in objects for field in row)
        for change in CHANGES
        if any(_changed({**row}, field, change) for row in objects)
        for rows in (("all", "one") if len(objects) > 1 else ("all",))
    ]
