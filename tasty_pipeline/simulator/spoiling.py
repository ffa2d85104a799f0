"""What can go wrong, on request: one table of small functions, each turning a good answer into a bad one.

To add a kind, write a function from an answer and its parameters to an answer, and name it in ``KINDS``. Kinds that act
on the brokerage before the answer is made stand there as ``_ledger``; the server does what they mean. Faults of the
ledger itself (late, restated, removed rows) are methods of the brokerage, not faults.

Parameters (and what they are if not given): ``latency`` seconds=1; ``status`` status=500, code, message;
``html`` status=502; ``truncated_body`` chunked=False; ``cut_json`` share=0.5; ``slow_body`` seconds=2;
``drop_connection`` how="dropped" or "truncated" (in the middle of the body); ``revoked_grant`` status=400, code,
description; ``page_drift`` mode="insert", "remove" or "redate"; ``small_pages`` size=5 (rows that a page holds at
most, whatever is asked for); ``unknown_enum``, ``missing_field``, ``extra_field``,
``retyped_field``, ``bad_value``, ``wrong_account`` and ``duplicate_row`` row=0 (an index, or "all") or ids=[...],
the first five with field and (but for ``missing_field``) value, ``wrong_account`` with account.
"""

import re
from collections.abc import Callable
from typing import Any

from tasty_pipeline.simulator.answers import UNAUTHORIZED, Answer, error, html, oauth_error

Apply = Callable[[Answer, dict[str, Any]], Answer]


def _latency(answer: Answer, params: dict[str, Any]) -> Answer:
    """Answer late by ``seconds`` (1)."""
    answer.wait += float(params.get("seconds", 1))
    return answer


_MESSAGES = {
    400: ("validation_error", "Request validation failed"),
    401: ("unauthorized", "Unauthorized"),
    403: ("not_permitted", "User not permitted access"),
    404: ("record_not_found", "Record not found"),
    408: ("request_timeout", "Request Timeout"),
    422: ("unprocessable_entity", "Unprocessable Entity"),
    500: ("internal_server_error", "Internal Server Error"),
    503: ("service_unavailable", "Service Unavailable"),
}


def _status(answer: Answer, params: dict[str, Any]) -> Answer:
    """Answer with ``status`` (500) and the API's error; a 429 is empty and says nothing of when to return."""
    status = int(params.get("status", 500))
    if status == 429:  # noqa: PLR2004
        return Answer(429, b"", wait=answer.wait)
    code, message = _MESSAGES.get(status, ("error", f"Error {status}"))
    return error(status, params.get("code", code), params.get("message", message))


def _html(_answer: Answer, params: dict[str, Any]) -> Answer:
    """Answer with a web server's page and ``status`` (502; 200 happens too)."""
    return html(int(params.get("status", 502)))


def _oauth(answer: Answer, params: dict[str, Any]) -> Answer:
    """Refuse the refresh token: ``status`` (400), ``code``, ``description``."""
    del answer
    return oauth_error(
        int(params.get("status", 400)),
        params.get("code", "invalid_grant"),
        params.get("description", "Grant revoked"),
    )


def _delivered(delivery: str) -> Apply:
    def apply(answer: Answer, params: dict[str, Any]) -> Answer:
        answer.delivery = params.get("how", delivery)
        answer.seconds = float(params.get("seconds", 2))
        answer.chunked = bool(params.get("chunked", False))
        return answer

    return apply


def _cut_json(answer: Answer, params: dict[str, Any]) -> Answer:
    """Send a complete answer whose JSON ends in the middle (at ``share``, 0.5, of it)."""
    answer.body = answer.body[: int(len(answer.body) * float(params.get("share", 0.5)))]
    return answer


def _empty_body(answer: Answer, _params: dict[str, Any]) -> Answer:
    """Keep the status, send nothing."""
    answer.body = b""
    return answer


Items = list[dict[str, Any]]
Edit = Callable[[Items, dict[str, Any]], Items]


def _on_items(edit: Edit) -> Apply:
    """Make an edit of a list's items a fault; answers that are no lists stay as they are."""

    def apply(answer: Answer, params: dict[str, Any]) -> Answer:
        if answer.status != 200 or not answer.body.startswith(b'{"data":'):  # noqa: PLR2004
            return answer
        content = answer.edit()
        body = content["data"]
        if isinstance(body, dict) and "items" in body:
            body["items"] = edit(body["items"], params)
        elif isinstance(body, dict):
            content["data"] = next(iter(edit([body], params)), body)  # of one object nothing can be left out
        answer.put(content)
        return answer

    return apply


def _chosen(rows: Items, params: dict[str, Any]) -> Items:
    """Return the rows to be spoilt: those with one of ``ids``, or the one at ``row`` (0; "all")."""
    if "ids" in params:
        return [row for row in rows if row.get("id") in params["ids"]]
    which = params.get("row", 0)
    if which == "all":
        return rows
    return rows[which : which + 1] if which >= 0 else rows[which:][:1]


def _each(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Edit:
    def edit(rows: Items, params: dict[str, Any]) -> Items:
        for row in _chosen(rows, params):
            # An entry of the account list wraps the account: the field is inside.
            change(row.get("account", row) if isinstance(row.get("account"), dict) else row, params)
        return rows

    return edit


def _unknown_enum(row: dict[str, Any], params: dict[str, Any]) -> None:
    wanted = params.get("field")
    for key in (wanted,) if wanted else ("transaction-type", "instrument-type", "transaction-sub-type"):
        if wanted or key in row:
            row[key] = params.get("value", "Quantum Entanglement")


def _missing_field(row: dict[str, Any], params: dict[str, Any]) -> None:
    row.pop(params.get("field", "value"), None)


def _extra_field(row: dict[str, Any], params: dict[str, Any]) -> None:
    row[params.get("field", "brand-new-field")] = params.get("value", {"nested": ["new", 1]})


def _retyped_field(row: dict[str, Any], params: dict[str, Any]) -> None:
    field_name = params.get("field", "value")
    given = row.get(field_name)
    row[field_name] = (
        params["value"] if "value" in params else [given] if not isinstance(given, str) else _number(given)
    )


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return {"text": text}


def _bad_value(row: dict[str, Any], params: dict[str, Any]) -> None:
    row[params.get("field", "value")] = params.get("value", "12.3.4")


def _wrong_account(row: dict[str, Any], params: dict[str, Any]) -> None:
    row["account-number"] = params.get("account", "5WX99999")


def _in_body(change: Callable[[dict[str, Any]], None]) -> Apply:
    def apply(answer: Answer, _params: dict[str, Any]) -> Answer:
        if answer.status == 200 and answer.content_type == "application/json":  # noqa: PLR2004
            content = answer.edit()
            change(content)
            answer.put(content)
        return answer

    return apply


def _no_items(content: dict[str, Any]) -> None:
    if isinstance(content.get("data"), dict):
        content["data"].pop("items", None)


def _null_data(content: dict[str, Any]) -> None:
    content["data"] = None


def _emptied(content: dict[str, Any]) -> None:
    """Empty a list, and its pagination with it: it looks as if there were nothing."""
    if isinstance(content.get("data"), dict) and "items" in content["data"]:
        content["data"]["items"] = []
        if "pagination" in content:
            content["pagination"] |= {"total-items": 0, "total-pages": 0, "current-item-count": 0}


def _wiped(content: dict[str, Any]) -> None:
    """Show a freshly wiped sandbox: empty lists, balances of nothing; the accounts stay."""
    if "customers" in str(content.get("context")):
        return
    _emptied(content)
    payload = content.get("data")
    if isinstance(payload, dict) and "cash-balance" in payload:
        money = {key: "0.0" for key, value in payload.items() if _is_amount(key, value)}
        payload.update(money)


def _is_amount(key: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+\.\d+", value) is not None and "date" not in key


def _not_permitted(_answer: Answer, _params: dict[str, Any]) -> Answer:
    return error(403, *_MESSAGES[403])


def _unauthorized(_answer: Answer, _params: dict[str, Any]) -> Answer:
    return error(*UNAUTHORIZED)


def _ledger(answer: Answer, _params: dict[str, Any]) -> Answer:
    """Do nothing to the answer: the server acts on the brokerage before it is made."""
    return answer


KINDS: dict[str, Apply] = {
    "latency": _latency,
    "status": _status,
    "html": _html,
    "empty_body": _empty_body,
    "truncated_body": _delivered("truncated"),
    "cut_json": _cut_json,
    "slow_body": _delivered("trickle"),
    "drop_connection": _delivered("dropped"),
    "token_invalid": _unauthorized,
    "expired_token": _ledger,
    "revoked_grant": _oauth,
    "page_drift": _ledger,
    "stale_page": _ledger,
    "small_pages": _ledger,
    "empty_list": _in_body(_emptied),
    "missing_items": _in_body(_no_items),
    "null_data": _in_body(_null_data),
    "not_permitted": _not_permitted,
    "unknown_enum": _on_items(_each(_unknown_enum)),
    "missing_field": _on_items(_each(_missing_field)),
    "extra_field": _on_items(_each(_extra_field)),
    "retyped_field": _on_items(_each(_retyped_field)),
    "bad_value": _on_items(_each(_bad_value)),
    "wrong_account": _on_items(_each(_wrong_account)),
    "duplicate_row": _on_items(lambda rows, params: rows + [dict(row) for row in _chosen(rows, params)]),
    "short_page": _on_items(lambda rows, _params: rows[:-1]),
    "wiped": _in_body(_wiped),
}
