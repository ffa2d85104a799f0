"""Answers of paged lists, ordinary and odd, byte for byte, and what the judge makes of them.

Here belongs how a page is spelled: rows are pairs of raw JSON texts, so that a test can say what no JSON writer would.
What must hold of pages is in test_quick.py.
"""

import json
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from hypothesis import strategies as st

from tasty_pipeline.core import payloads, schema, values
from tasty_pipeline.core.broker import decode
from tasty_pipeline.core.errors import TastyError

ACCOUNT = "5WT00001"
Raw = list[tuple[str, str]]


@dataclass(frozen=True)
class Page:
    """A page in pieces: rows of raw keys and values, and what else the answer says."""

    rows: list[Raw]
    pagination: dict[str, Any] = field(default_factory=dict)

    def body(self) -> bytes:
        """Spell the whole answer."""
        rows = ["{" + ",".join(f"{key}:{value}" for key, value in row) + "}" for row in self.rows]
        counts: dict[str, Any] = {
            "per-page": 2000,
            "page-offset": 0,
            "item-offset": 0,
            "total-items": len(rows),
            "total-pages": 1,
        }
        counts |= {"current-item-count": len(rows), "previous-link": None, "next-link": None, **self.pagination}
        tail = f'"api-version":"v1","context":"/accounts/{ACCOUNT}/transactions","pagination":{json.dumps(counts)}'
        return f'{{"data":{{"items":[{",".join(rows)}]}},{tail}}}'.encode("utf-8", "surrogatepass")

    def with_row(self, place: int, row: Raw) -> "Page":
        """Return the page with another row in this place."""
        return replace(self, rows=[*self.rows[:place], row, *self.rows[place + 1 :]])


def raw(payload: dict[str, Any]) -> Raw:
    """Spell a payload as an ordinary writer does."""
    return [(json.dumps(key), json.dumps(value)) for key, value in payload.items()]


def put(row: Raw, key: str, value: str) -> Raw:
    """Return the row with another raw value of a field, or with one more field."""
    name = json.dumps(key)
    return [*(pair for pair in row if pair[0] != name), (name, value)]


@dataclass(frozen=True)
class Judged:
    """What the strict path makes of an answer of which it refuses nothing."""

    rows: pa.Table
    counts: tuple[int, ...]


def judged(table: sa.Table, body: bytes) -> Judged | None:
    """Read an answer row by row; None where it refuses any part."""
    try:
        items, counts = decode.page_of(decode.parse(body, "the page"), "the page")
        decode.of_account(items, ACCOUNT, "the page")
    except TastyError:
        return None
    parsed = payloads.parse(table, items)
    return None if parsed.rejected else Judged(parsed.table, counts)


# --- what ordinary rows hold

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
_DIGITS = st.text("0123456789", min_size=1, max_size=14)
_UNSIGNED = st.one_of(
    st.sampled_from(["0", "0.0", "27.74", "0.40", "12.00123", "00.500", f"{'9' * 26}.{'9' * 12}"]),
    _DIGITS,
    st.builds("{}.{}".format, _DIGITS, st.text("0123456789", min_size=1, max_size=12)),
)
_SIGNED = _UNSIGNED | st.builds("-{}".format, _UNSIGNED)
_INSTANT = st.builds(
    "{:%Y-%m-%d}{}{:%H:%M:%S}{}{}".format,
    st.dates(date(1901, 1, 1), date(2198, 12, 31)),
    st.sampled_from("T "),
    st.times(),
    st.sampled_from(["", ".1", ".123", ".000000", ".123456"]),
    st.sampled_from(["Z", "+00:00", "-04:00", "+05:30", "-23:59", "+23:59"]),
)
_DAY = st.dates(date(1900, 1, 1), date(2199, 12, 31)).map(date.isoformat)
_WHOLE = st.integers(-(2**63), 2**63 - 1)
_LOT = st.fixed_dictionaries(
    dict.fromkeys(("id", "transaction-date", "executed-at", "quantity", "quantity-direction", "price"), _TEXT)
    | {"transaction-id": _WHOLE}
)
_ACTIONS = st.sampled_from([*sorted(values.BOUGHT | values.SOLD), "Allocate", ""])


_OF_COLUMN = {"account_number": st.just(ACCOUNT), "action": _ACTIONS, "quantity_unsigned": _UNSIGNED}
_OF_TYPE: dict[type[sa.types.TypeEngine[Any]], st.SearchStrategy[Any]] = {
    sa.Numeric: _SIGNED,
    sa.BigInteger: _WHOLE,
    sa.Boolean: st.booleans(),
    sa.DateTime: _INSTANT,
    sa.Date: _DAY,
    sa.JSON: st.lists(_LOT, max_size=2),
    sa.Text: _TEXT,
}


def _value(column: sa.Column[Any]) -> st.SearchStrategy[Any]:
    of_type = next(found for kind, found in _OF_TYPE.items() if isinstance(column.type, kind))
    return _OF_COLUMN.get(column.name, of_type)


@st.composite
def payload(draw: st.DrawFn, table: sa.Table) -> dict[str, Any]:
    """Draw what an ordinary row says: every required field, a few of the others, amounts with a certain sign."""
    fields = [column for column in table.columns if column.info["api"]]
    given = draw(st.lists(st.sampled_from([column for column in fields if column.nullable]), max_size=8, unique=True))
    found: dict[str, Any] = {}
    for column in [column for column in fields if not column.nullable] + given:
        effect = column.info.get("effect")
        found[column.info["api"]] = value = draw(_UNSIGNED if effect else _value(column))
        if effect:
            words = ["Credit", "Debit"] if value.strip("0.") else ["Credit", "Debit", "None", None]
            found[effect] = draw(st.sampled_from(words))
    return found


def ordinary(table: sa.Table) -> st.SearchStrategy[Page]:
    """Draw ordinary pages of a few rows."""
    return st.builds(Page, st.lists(payload(table).map(raw), max_size=3))


# --- what is odd

SPICY = [
    *('""', '"NaN"', '"."', '".5"', '"1."', '"-.5"', '"+1"', '"1e3"', '"1E-3"', '"1.e5"', '" 1"', '"1 "'),
    *('"1_0"', '"1,5"', '"٣"', '"0.0000000000001"', f'"1.{"0" * 58}"', f'"{"9" * 39}"', f'"{"0" * 60}1"'),
    *('"-5"', '"-0"', '"--1"', '"-"', f'"1.{"0" * 5000}"', f'"{"9" * 48}"', f'"0.{"9" * 60}"'),
    *("1", "0", "-0", "1.0", "1e3", "01", "1.5", ".5", "9223372036854775808", "NaN", "Infinity", "-", "1 2"),
    *("null", "true", "false", '"true"', "True", "[]", "{}", "[null]", '{"a":1}', "[[]]", "[{}]", '["a"]', "[1,]"),
    *('"Debit"', '"Credit"', '"None"', '"debit"', '"Sell"', '"Buy to Open"', '"Short"', '"5WT00002"'),
    *('"2023-07-28"', '"2023-02-30"', '"2023-7-28"', '"0000-01-01"', '"0001-01-01"', '"9999-12-31"', '"20230728"'),
    *('"2023-07-28T21:00:00Z"', '"2023-07-28T21:00:00"', '"2023-07-28T21:00Z"', '"2023-07-28T21Z"', "1690578000000"),
    *('"2023-07-28T21:00:00.1234567Z"', '"2023-07-28T21:00:00.1230000000Z"', '"2023-07-28T24:00:00Z"'),
    *('"2023-07-28T23:59:60Z"', '"2023-07-28T21:00:00+00"', '"2023-07-28T21:00:00+0000"'),
    *('"2023-07-28T21:00:00+24:00"', '"2023-07-28T21:00:00+05:60"', '"2023-07-28t21:00:00z"'),
    *('"0000-12-31T23:59:59-12:00"', '"0001-01-01T00:00:00+05:00"', '"9999-12-31T23:59:59-10:00"'),
    *('"2023-07-28T21:00:00.Z"', '"2023-07-28T21:00:00,5Z"', '"2023-07-28 21:00:00Z"'),
    *(r'"a\u0000b"', r'"\ud800"', r'"\udc00"', r'"\ud83dx"', r'"\ud83d\ude00"', r'"\\u0000"', r'"\x"', '"a\x00b"'),
    *('"a\nb"', '"\ud800"', '"\ufeff"', '"\u2028"', r'"5WT0000\u0031"', r'"\/"'),
]  # fmt: skip


@st.composite
def odd(draw: st.DrawFn, table: sa.Table) -> bytes:
    """Draw an answer in which a few things are not as they should be, or in which it only looks so."""
    page = Page([raw(row) for row in draw(st.lists(payload(table), min_size=1, max_size=2))])
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        page = _spoilt(draw, table, page)
    body = page.body()
    if draw(st.integers(0, 4)):
        return body
    body = _cut(draw, body)
    return draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b" "])) + body + draw(_TAILS)


_TAILS = st.sampled_from([b"", b"", b" \n", b"{}", b"null", b"]", b"\x00", b",", b"x"])
_PIECES = st.sampled_from([b"", *(bytes([byte]) for byte in b'"{}[],:\\0\xff'), b"\xc3\xa9", b"null"])
_COUNTS = st.sampled_from([None, -1, 0, 1, 1.5, "1", True])
_PAGINATION = st.sampled_from(["per-page", "page-offset", "total-items", "current-item-count", "next-link", "new"])


def _spoilt(draw: st.DrawFn, table: sa.Table, page: Page) -> Page:
    place = draw(st.integers(0, len(page.rows) - 1))
    row = page.rows[place]
    keys = [column.info["api"] for column in table.columns if column.info["api"]]
    keys += [column.info["effect"] for column in table.columns if column.info.get("effect")]
    match draw(st.sampled_from(["value", "value", "value", "value", "drop", "twice", "new", "lot", "pagination"])):
        case "value":
            row = put(row, draw(st.sampled_from(keys)), draw(st.sampled_from(SPICY)))
        case "drop":
            row = [pair for pair in row if pair != draw(st.sampled_from(row))] if row else row
        case "twice":
            row = [*row, (json.dumps(draw(st.sampled_from(keys))), draw(st.sampled_from(SPICY)))]
        case "new":
            row = put(row, draw(_TEXT), draw(st.sampled_from(SPICY)))
        case "lot":
            lot = draw(_LOT) | {draw(st.sampled_from(["id", "price", "transaction-id", "new"])): None}
            spelled = json.dumps([lot]).replace("null", draw(st.sampled_from(SPICY)))
            row = put(row, "lots", spelled) if table is schema.transactions else row
        case "pagination":
            return replace(page, pagination={draw(_PAGINATION): draw(_COUNTS)})
    return page.with_row(place, row)


def _cut(draw: st.DrawFn, body: bytes) -> bytes:
    place = draw(st.integers(0, len(body)))
    new = draw(
        st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\xff", b"\xc3\xa9", b"null", b"0"])
    )
    return body[:place] + new + body[place + draw(st.sampled_from([0, 1, 1, 5])) :]
