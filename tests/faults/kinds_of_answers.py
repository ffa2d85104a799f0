"""Every kind of bad answer: what is done to a good one, and what a sync that hears nothing else may make of it.

Here belongs one line for each kind; kinds that the simulator has are used from there. To which endpoints they are done
belongs to `cases_of_answers.py`, how it is judged to `bad_answers.py`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tasty_pipeline.simulator.answers import Answer, error
from tasty_pipeline.simulator.spoiling import KINDS

Params = dict[str, Any]
Apply = Callable[[Answer, Params], Answer]
MEGABYTE = 1024 * 1024

# what a sync makes of it: it fails; a row is rejected; what was said is what is stored; nothing is different; it is
# believed, because nothing in it could be known to be wrong
REFUSED, QUARANTINED, STORED, HARMLESS, BELIEVED = "refused", "quarantined", "stored", "harmless", "believed"


@dataclass(frozen=True)
class Kind:
    """One kind: `change` makes a bad answer of a good one; `role` names the sort of field that it is about."""

    name: str
    change: Apply
    expect: str
    role: str | None = None
    params: tuple[tuple[str, Any], ...] = ()


def _whole(status: int, body: bytes, content_type: str = "application/json") -> Apply:
    return lambda _answer, _params: Answer(status, body, content_type)


def _bytes(change: Callable[[bytes], bytes]) -> Apply:
    def apply(answer: Answer, _: Params) -> Answer:
        answer.body = change(answer.body)
        return answer

    return apply


def _content(change: Callable[[Any], None]) -> Apply:
    """Change what a good answer says; one that is no list or object of rows stays as it is."""

    def apply(answer: Answer, _: Params) -> Answer:
        if answer.status == 200 and b'"data"' in answer.body:
            content = answer.edit()
            change(content)
            answer.put(content)
        return answer

    return apply


def _list(change: Callable[[dict[str, Any], list[Any]], None]) -> Apply:
    """Change the envelope of a list of rows, given with its items."""

    def edit(content: Any) -> None:
        if isinstance(content["data"], dict) and isinstance(content["data"].get("items"), list):
            change(content, content["data"]["items"])

    return _content(edit)


def _page(**said: Any) -> Apply:
    """Say other numbers in the pagination; a function is given the right one."""

    def change(content: Any, _: list[Any]) -> None:
        for key, value in said.items():
            name = key.replace("_", "-")
            if "pagination" in content:
                content["pagination"][name] = value(content["pagination"][name]) if callable(value) else value

    return _list(change)


def _fewer(content: Any, rows: list[Any], *counts: str) -> None:
    if rows:
        rows.pop(len(rows) // 2)
        for name in counts if "pagination" in content else ():
            content["pagination"][name] -= 1


def _fewer_everywhere(content: Any, rows: list[Any]) -> None:
    _fewer(content, rows, "current-item-count", "total-items")


def _cut_after_a_row(content: Any, rows: list[Any]) -> None:
    del rows[1:]
    content.pop("pagination", None)


def _row(payload: Any) -> Any:
    return payload.get("account", payload) if isinstance(payload.get("account"), dict) else payload


def _field(change: Callable[[Any], Any], *, every: bool = False) -> Apply:
    """Change the field that stands for the role, in a row in the middle or in every one."""

    def apply(answer: Answer, params: Params) -> Answer:
        def edit(content: Any) -> None:
            data = content["data"]
            rows = data.get("items", [data])
            for row in map(_row, rows if every else rows[len(rows) // 2 :][:1]):
                if params["field"] in row:
                    row[params["field"]] = change(row[params["field"]])

        return _content(edit)(answer, {})

    return apply


def _spelled(raw: str) -> Apply:
    """Write a field as no JSON writer would."""

    def apply(answer: Answer, params: Params) -> Answer:
        marked = _field(lambda _: "@@spelled@@")(answer, params)
        marked.body = marked.body.replace(b'"@@spelled@@"', raw.encode())
        return marked

    return apply


def _twice(answer: Answer, params: Params) -> Answer:
    """Name the field twice in one row, with two values."""
    name = json.dumps(params["field"])
    answer.body = answer.body.replace(f"{name}:".encode(), f'{name}:"0.0",{name}:'.encode(), 1)
    return answer


def _never_ends(answer: Answer, _: Params) -> Answer:
    # a piece now and then: only the whole takes too long
    answer.delivery, answer.seconds, answer.chunked = "trickle", 6.0, True
    return answer


def _another(content: Any, rows: list[Any]) -> None:
    """All rows are another account's, and say so."""
    for row in map(_row, rows):
        row["account-number"] = "5WX99999"


def _one_more(**unlike: Any) -> Apply:
    """One row more, like the first but for this, and counted."""

    def change(content: Any, rows: list[Any]) -> None:
        if rows and "account-number" in rows[0]:
            rows.append({**rows[0], **{name.replace("_", "-"): value for name, value in unlike.items()}})
            for name in ("total-items", "current-item-count") if "pagination" in content else ():
                content["pagination"][name] += 1

    return _list(change)


def _more_and_more(announced: int | None = None) -> Apply:
    """Full pages without end: every page has other rows, and says that there are more."""
    first: list[Any] = []

    def change(content: Any, rows: list[Any]) -> None:
        if "pagination" in content:
            page = content["pagination"]["page-offset"]
            first[:] = rows if rows and page == 0 else first
            rows[:] = [{**row, "id": 10**12 + page * 10_000 + place} for place, row in enumerate(first)]
            size = content["pagination"]["per-page"] = max(len(rows), 1)
            total = announced or (page + 2) * size
            content["pagination"] |= {"current-item-count": len(rows), "total-items": total}

    return _list(change)


def _deep(body: bytes, more: bytes = b"") -> bytes:
    return body[:-1] + more + b',"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def _simulators(name: str, kind: str, expect: str, role: str | None = None, **params: Any) -> Kind:
    return Kind(name, KINDS[kind], expect, role, tuple(params.items()))


# what can be done to any answer; the rest needs rows
ON_ANY = (
    _simulators("html with status 200", "html", REFUSED, status=200),
    _simulators("html with status 502", "html", REFUSED),
    _simulators("no body", "empty_body", REFUSED),
    _simulators("a body that breaks off", "truncated_body", REFUSED),
    _simulators("a body that breaks off in chunks", "truncated_body", REFUSED, chunked=True),
    _simulators("no answer", "drop_connection", REFUSED),
    _simulators("json that is cut", "cut_json", REFUSED),
    _simulators("status 500", "status", REFUSED),
    _simulators("status 429", "status", REFUSED, status=429),
    _simulators("status 404", "status", REFUSED, status=404),
    _simulators("status 403", "status", REFUSED, status=403),
    _simulators("status 401", "token_invalid", REFUSED),
    Kind("an error frame with status 200", lambda *_: Answer(200, error(422, "no_service", "not now").body), REFUSED),
    Kind("an error text with status 200", _whole(200, b'{"error":"not now"}'), REFUSED),
    Kind("status 204", _whole(204, b""), REFUSED),
    Kind("status 302", _whole(302, b""), REFUSED),
    Kind("status 206", lambda answer, _: Answer(206, answer.body), REFUSED),
    Kind("null", _whole(200, b"null"), REFUSED),
    Kind("a bare list", _whole(200, b"[]"), REFUSED),
    Kind("a bare text", _whole(200, b'"ok"'), REFUSED),
    Kind("an empty object", _whole(200, b"{}"), REFUSED),
    Kind("a body that never ends", _never_ends, REFUSED),
    Kind("a body of 65 MB", _bytes(lambda body: body + b" " * (65 * MEGABYTE)), REFUSED),
    Kind("a body of 10 MB", _bytes(lambda body: body + b" " * (10 * MEGABYTE)), HARMLESS),
    Kind("no utf-8", _bytes(lambda body: body.replace(b'":"', b'":"\xff', 1)), REFUSED),
    Kind("a byte order mark", _bytes(lambda body: b"\xef\xbb\xbf" + body), REFUSED),
    Kind("two documents", _bytes(lambda body: body + body), REFUSED),
    Kind("deep nesting", _bytes(_deep), REFUSED),
    Kind("deep nesting and odd braces", _bytes(lambda body: _deep(body, b',"brace":"{"')), REFUSED),
    Kind("an envelope twice", _bytes(lambda body: b'{"data":{"items":[]},' + body[1:]), REFUSED),
)
_ENVELOPE = (
    _simulators("null data", "null_data", REFUSED),
    _simulators("no items", "missing_items", REFUSED),
    _simulators("an empty list", "empty_list", REFUSED),
    _simulators("a stale page", "stale_page", BELIEVED),
    _simulators("a wiped sandbox", "wiped", REFUSED),
    _simulators("a row twice", "duplicate_row", REFUSED),
    _simulators("a row of another account", "wrong_account", REFUSED),
    Kind("no data", _content(lambda content: content.pop("data")), REFUSED),
    Kind("null items", _list(lambda content, _: content["data"].update(items=None)), REFUSED),
    Kind("items that are an object", _list(lambda content, _: content["data"].update(items={})), REFUSED),
    Kind("items that are a text", _list(lambda content, _: content["data"].update(items="none")), REFUSED),
    Kind("data that is a text", _content(lambda content: content.update(data="none")), REFUSED),
    Kind("data that is a list", _content(lambda content: content.update(data=[])), REFUSED),
    Kind("a row that is null", _list(lambda _, rows: rows.__setitem__(slice(0, 1), [None])), REFUSED),
    Kind("a row that is a text", _list(lambda _, rows: rows.__setitem__(slice(0, 1), ["row"])), REFUSED),
    Kind("a row that is empty", _list(lambda _, rows: rows.__setitem__(slice(0, 1), [{}])), QUARANTINED),
    Kind("items gone, total kept", _list(lambda _, rows: rows.clear()), REFUSED),
    Kind("a page short of its count", _list(_fewer), REFUSED),
    Kind("a page short of its total", _list(lambda c, rows: _fewer(c, rows, "current-item-count")), REFUSED),
    Kind("a page that lost a row and says so", _list(_fewer_everywhere), BELIEVED),
    Kind(
        "a page cut after a row",
        _list(_cut_after_a_row),
        REFUSED,
    ),
    Kind("no pagination", _list(lambda content, _: content.pop("pagination", None)), REFUSED),
    Kind("null pagination", _list(lambda content, _: content.update(pagination=None)), REFUSED),
    Kind("a negative total", _page(total_items=-1), REFUSED),
    Kind("a negative page count", _page(total_pages=-3), HARMLESS),
    Kind("a negative page size", _page(per_page=-250), REFUSED),
    Kind("a page size of nothing", _page(per_page=0), REFUSED),
    Kind("a total that is a text", _page(total_items=str), REFUSED),
    Kind("a total with a point", _page(total_items=float), REFUSED),
    Kind("a total that is true", _page(total_items=lambda _: True), REFUSED),
    Kind("a total that is null", _page(total_items=None), REFUSED),
    Kind("one more in the total", _page(total_items=lambda total: total + 1), REFUSED),
    Kind("a total of a billion", _page(total_items=10**9), REFUSED),
    Kind("another page than was asked for", _page(page_offset=lambda page: page + 1), REFUSED),
    Kind("endless pages", _more_and_more(), REFUSED),
    Kind("endless pages that are announced", _more_and_more(10**9), REFUSED),
    Kind("another account's answer", _list(_another), REFUSED),
    Kind("another account's row added", _one_more(account_number="5WX99999", id=999_999_999), REFUSED),
    Kind("a row with two contents", _one_more(created_at="2020-01-01T00:00:00Z", cash_balance="1.0"), REFUSED),
)
_FIELDS = (
    Kind("NaN", _spelled("NaN"), REFUSED, "money"),
    Kind("infinity", _spelled("-Infinity"), REFUSED, "money"),
    Kind("a key twice in a row", _twice, REFUSED, "money"),
    Kind("NaN as text", _field(lambda _: "NaN"), QUARANTINED, "money"),
    Kind("an exponent without end", _spelled("1e400"), QUARANTINED, "money"),
    Kind("an exponent of twenty digits", _spelled("1e99999999999999999999"), QUARANTINED, "money"),
    Kind("a number of 5,000 digits", _spelled("9" * 5_000), REFUSED, "money"),
    Kind("a huge decimal", _field(lambda _: "9" * 27 + ".5"), QUARANTINED, "money"),
    Kind("the largest decimal", _field(lambda _: "9" * 26 + "." + "9" * 12), STORED, "money"),
    Kind("a tiny decimal", _field(lambda _: "0." + "0" * 12 + "1"), QUARANTINED, "money"),
    Kind("the smallest decimal", _field(lambda _: "0." + "0" * 11 + "1"), STORED, "money"),
    Kind("a decimal with a comma", _field(lambda _: "1,234.50"), QUARANTINED, "money"),
    Kind("an empty decimal", _field(lambda _: ""), QUARANTINED, "money"),
    Kind("money as a flag", _field(lambda _: True, every=True), QUARANTINED, "money"),
    Kind("money as an object", _field(lambda was: {"amount": was}, every=True), QUARANTINED, "money"),
    Kind("money as a number", _field(lambda was: float(Decimal(was)), every=True), HARMLESS, "money"),
    Kind("control characters", _field(lambda _: "a\x01\x1f\x7f\u2028\r\n\tb"), STORED, "text"),
    Kind("a NUL", _field(lambda _: "a\x00b"), QUARANTINED, "text"),
    Kind("half a character", _field(lambda _: "a\ud800b"), QUARANTINED, "text"),
    Kind("sql", _field(lambda _: "'); DROP TABLE tasty.transactions; --"), STORED, "text"),
    Kind("a long text", _field(lambda _: "x" * 300_000), STORED, "text"),
    Kind("text as a list", _field(lambda was: [was], every=True), QUARANTINED, "text"),
    Kind("time travel back", _field(lambda _: "1970-01-01T00:00:00.000+00:00"), STORED, "time"),
    Kind("time travel ahead", _field(lambda _: "9999-12-31T23:59:59.999Z"), STORED, "time"),
    Kind("a time out of the calendar", _field(lambda _: "0000-13-41T25:61:61Z"), QUARANTINED, "time"),
    Kind("a time that leaves the calendar", _field(lambda _: "9999-12-31T23:59:59-10:00"), QUARANTINED, "time"),
    Kind("a time without a zone", _field(lambda _: "2026-11-20T12:00:00"), QUARANTINED, "time"),
    Kind("a time in nanoseconds", _field(lambda _: "2026-11-20T12:00:00.123456789Z"), QUARANTINED, "time"),
    Kind("no key", _field(lambda _: None), QUARANTINED, "key"),
    Kind("keys that are lists", _field(lambda was: [was], every=True), QUARANTINED, "key"),
    Kind("a key that is an object", _field(lambda was: {"id": was}), QUARANTINED, "key"),
    Kind("a date of the first year", _field(lambda _: "0001-01-01"), QUARANTINED, "day"),
    Kind("a date of the last year", _field(lambda _: "9999-12-31"), QUARANTINED, "day"),
    Kind("no date", _field(lambda _: None), QUARANTINED, "day"),
)
ALL: dict[str, Kind] = {kind.name: kind for kind in (*ON_ANY, *_ENVELOPE, *_FIELDS)}
