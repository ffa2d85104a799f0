"""From the bytes of an answer to raw rows, exactly and strictly.

Here belongs the shape that every answer of an endpoint has: the envelope, the list, the pagination. What a field means
does not; a row that is odd inside passes, so that the payload contract can reject it alone.
Shapes: the API's documentation of transactions, balances and positions, and captured answers.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Never

from tasty_pipeline.core.errors import ContractError, IncompleteAnswerError

_TYPE_NAMES = {dict: "an object", list: "a list", str: "a text", type(None): "null", int: "a number", bool: "a boolean"}
_UPDATE = "look whether a newer version of this package exists; the API's answers changed."
_AGAIN = "nothing; the old rows stay and the next run asks again."
# Levels of an answer. A payload is compared, digested and written down by functions that call themselves, and one that
# ends the stack of the interpreter there would take the good rows along.
_DEEPEST = 100


def parse(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `body`; numbers with a point become `Decimal`, so that nothing is rounded.

    Raises `ContractError` for anything that is not one UTF-8 JSON object with distinct keys and finite numbers.
    """
    try:
        found = json.loads(
            body.decode("utf-8"),
            parse_float=_exact,
            parse_constant=_not_finite,
            object_pairs_hook=_distinct,
        )
    except UnicodeDecodeError as error:
        flaw = f"it is not UTF-8 (byte {error.start})"
    except RecursionError:
        flaw = "it is nested too deeply"
    except ValueError as error:
        flaw = str(error)
    else:
        if isinstance(found, dict) and not _is_deep(found):
            return found
        flaw = "it is nested too deeply" if isinstance(found, dict) else f"it is {_kind(found)}, not an object"
    raise ContractError(f"The answer of {what} is not the JSON of the API: {flaw}.", _UPDATE)


def _is_deep(found: dict[str, Any]) -> bool:
    level: list[Any] = [found]
    for _ in range(_DEEPEST):
        parts = (part for each in level for part in (each.values() if isinstance(each, dict) else each))
        level = [part for part in parts if isinstance(part, dict | list)]
    return bool(level)


def _exact(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits: for the payload contract to reject, with its row alone
        return text


def data_of(payload: dict[str, Any], what: str) -> Any:
    """The content of the envelope. Raises `IncompleteAnswerError` when it is missing or null: that is not empty."""
    data = payload.get("data")
    if data is None:
        raise IncompleteAnswerError(f"The answer of {what} holds no data.", _AGAIN)
    return data


def items_of(payload: dict[str, Any], what: str) -> tuple[dict[str, Any], ...]:
    """The rows of a list. Raises `IncompleteAnswerError` for a missing list, `ContractError` for a malformed one."""
    data = data_of(payload, what)
    if not isinstance(data, dict):
        raise ContractError(f"The data of {what} is {_kind(data)}, not an object with items.", _UPDATE)
    items = data.get("items")
    if items is None:
        raise IncompleteAnswerError(f"The answer of {what} holds no list of items.", _AGAIN)
    return rows_in(items, what)


def rows_in(items: Any, what: str) -> tuple[dict[str, Any], ...]:
    """A list of objects as such. Raises `ContractError`."""
    if not isinstance(items, list):
        raise ContractError(f"The items of {what} are {_kind(items)}, not a list.", _UPDATE)
    for item in items:
        if not isinstance(item, dict):
            raise ContractError(f"An item of {what} is {_kind(item)}, not an object.", _UPDATE)
    return tuple(items)


def page_of(payload: dict[str, Any], what: str) -> tuple[tuple[dict[str, Any], ...], tuple[int, int, int, int]]:
    """The items of a page; its total, index, size and count. Raises `ContractError`, for no list as `items_of`."""
    items = items_of(payload, what)
    pagination = payload.get("pagination")
    if not isinstance(pagination, dict):
        raise ContractError(f"The answer of {what} does not say how many rows there are (no pagination).", _UPDATE)
    total, offset, size, count = (
        _number(pagination, name, what) for name in ("total-items", "page-offset", "per-page", "current-item-count")
    )
    return items, (total, offset, size, count)


def _number(pagination: dict[str, Any], name: str, what: str) -> int:
    value = pagination.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= (name == "per-page"):
        return value
    raise ContractError(f"The pagination of {what} has no usable {name}, but {_kind(value)}.", _UPDATE)


def whole_list(payload: dict[str, Any], what: str) -> tuple[dict[str, Any], ...]:
    """The rows of a list that does not page. Should it page one day, a first page is not taken for the whole."""
    items = items_of(payload, what)
    if isinstance(payload.get("pagination"), dict):
        _, (total, *_) = page_of(payload, what)
        if total != len(items):
            raise IncompleteAnswerError(
                f"{what} answers in pages now: {len(items)} of {total} rows.",
                "install a newer version of this package.",
            )
    return items


def of_account(rows: tuple[dict[str, Any], ...], account: str, what: str) -> tuple[dict[str, Any], ...]:
    """The rows, if none names another account. Raises `IncompleteAnswerError`.

    A row that names no account at all passes: the payload contract rejects it, and the other rows load.
    """
    for row in rows:
        named = row.get("account-number")
        if named is not None and str(named) != account:
            raise IncompleteAnswerError(
                f"The answer of {what} holds a row of another account than {account}; all of it is refused.", _AGAIN
            )
    return rows


def account_number(item: dict[str, Any], what: str) -> str:
    """The number of a listed account. Raises `ContractError` when there is none: nothing could be read of it."""
    account = item.get("account")
    number = account.get("account-number") if isinstance(account, dict) else None
    if not isinstance(number, str) or not number:
        raise ContractError(f"The answer of {what} lists an account without a number.", _UPDATE)
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _not_finite(constant: str) -> Never:
    raise ValueError(f"{constant} is not a number")


def _kind(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "a number")
