"""Answers as a fuzzer draws them: pages with values that only look right, with any values, with other bytes.

Here belongs what is drawn; ordinary and odd pages are spelled in `core/pages.py`, and what must hold of each answer is
in `fuzzing.py`.
"""

import json
import re
from collections.abc import Callable, Mapping

import sqlalchemy as sa
from core.pages import SPICY, Page, odd, ordinary, payload, put, raw
from hypothesis import strategies as st

LOTS = ["[]", "[null]", "[{}]", '[{"id":null}]', '[{"id":"1","new":2}]', "[[]]", '"[]"', "[1]"]

_NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(-(10**60), 10**60).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats().map(repr),
    st.builds("{}e{}".format, st.integers(-99, 99), st.integers(-(10**7), 10**7)),
    st.builds("{}.{}".format, st.integers(-9, 9), st.text("0123456789", min_size=1, max_size=40)),
    st.just("9" * 5_000),
)
_TEXTS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    _NUMBERS.map(json.dumps),
    st.builds(r'"\u{:04x}{}"'.format, st.integers(0, 0xFFFF), st.text("abc", max_size=2)),
)
_LEAVES = st.one_of(st.sampled_from(SPICY), st.sampled_from(["null", "true", "false"]), _NUMBERS, _TEXTS)


def _list(parts: list[str]) -> str:
    return f"[{','.join(parts)}]"


def _object(parts: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in parts) + "}"


_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_list), st.lists(st.tuples(_TEXTS, inner), max_size=3).map(_object)
    ),
    max_leaves=8,
)
_DEEP = st.builds(
    lambda depth, pair: pair[0] * depth + "1" + pair[1] * depth,
    st.sampled_from([1, 48, 49, 50, 51, 90, 110, 300, 600, 950, 5_000]),
    st.sampled_from([("[", "]"), ('{"a":', "}")]),
)
_IMPOSSIBLE = st.sampled_from(["NaN", "-Infinity", r'"\u0000"', r'"\ud800"', '"5WT00002"', '"1", "price": "1"'])
_EFFECTS = ["null", '"None"', '"Debit"', '"Credit"', '"credit"', "true"]
_DATED = [each for each in SPICY if re.match(r'"\d{4}-', each)]
_NUMERIC = [each for each in SPICY if re.match(r'"?[-+.\d]', each) and each not in _DATED]
_LIKE = {sa.DateTime: _DATED, sa.Date: _DATED, sa.Numeric: _NUMERIC, sa.BigInteger: _NUMERIC, sa.JSON: LOTS}
_VALUES = st.one_of(_LEAVES, _LEAVES, _TREES, _DEEP)


@st.composite
def mutated_fields(draw: st.DrawFn, table: sa.Table) -> bytes:
    """Draw a page in which some rows have fields of any value, twice, or not at all, and some stand there twice."""
    rows = [raw(row) for row in draw(st.lists(payload(table), min_size=1, max_size=4))]
    keys = [column.info[name] for column in table.columns for name in ("api", "effect") if column.info.get(name)]
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(rows) - 1))
        key = draw(st.one_of(st.sampled_from(keys), st.sampled_from(keys), st.text(max_size=8)))
        match draw(st.sampled_from(["value", "value", "value", "value", "without", "twice", "doubled"])):
            case "value":
                rows[place] = put(rows[place], key, draw(_VALUES))
            case "without":
                rows[place] = [pair for pair in rows[place] if pair[0] != json.dumps(key)]
            case "twice":
                rows[place] = [*rows[place], (json.dumps(key), draw(_VALUES))]
            case "doubled":
                rows.append(rows[place])
    return Page(rows).body()


@st.composite
def near_misses(draw: st.DrawFn, table: sa.Table) -> bytes:
    """Draw a page in which one field holds what only looks like a value of its column, or what no row can have."""
    rows = [raw(row) for row in draw(st.lists(payload(table), min_size=1, max_size=3))]
    columns = [column for column in table.columns if column.info["api"]]
    kind = draw(st.sampled_from(sorted({type(column.type).__name__ for column in columns})))
    column = draw(st.sampled_from([column for column in columns if type(column.type).__name__ == kind]))
    like = next((found for kind, found in _LIKE.items() if isinstance(column.type, kind)), SPICY)
    value = draw(st.one_of(st.sampled_from(like), st.sampled_from(like), _IMPOSSIBLE, _DEEP))
    place = draw(st.integers(0, len(rows) - 1))
    rows[place] = put(rows[place], column.info["api"], value)
    if column.info.get("effect"):
        rows[place] = put(rows[place], column.info["effect"], draw(st.sampled_from(_EFFECTS)))
    return Page(rows).body()


@st.composite
def mutated_bytes(draw: st.DrawFn, table: sa.Table) -> bytes:
    """Draw a page of which some bytes are changed, lost, doubled or put elsewhere."""
    body = draw(ordinary(table)).body()
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, len(body))), draw(st.integers(0, 12))
        piece, rest = body[start : start + length], body[start + length :]
        match draw(st.sampled_from(["lost", "doubled", "other", "moved"])):
            case "lost":
                body = body[:start] + rest
            case "doubled":
                body = body[:start] + piece + piece + rest
            case "other":
                body = body[:start] + draw(st.binary(max_size=6)) + rest
            case "moved":
                place = draw(st.integers(0, len(rest)))
                body = body[:start] + rest[:place] + piece + rest[place:]
    return body


@st.composite
def mutated_envelope(draw: st.DrawFn, table: sa.Table) -> bytes:
    """Draw an answer one part of which is any JSON value."""
    answer = json.loads(draw(ordinary(table)).body())
    place = draw(st.sampled_from([("data",), ("data", "items"), ("pagination",), ("context",), ("new",)]))
    if draw(st.booleans()):
        place = ("pagination", draw(st.sampled_from(sorted(answer["pagination"]))))
    part = answer
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = "here"
    value = draw(st.one_of(st.sampled_from(["null", "[]", "{}", "0", "-1", "true"]), _VALUES))
    return json.dumps(answer).replace('"here"', value, 1).encode("utf-8", "surrogatepass")


Drawing = Callable[[sa.Table], st.SearchStrategy[bytes]]
KINDS: Mapping[str, Drawing] = {
    "odd pages": odd,
    "near misses": near_misses,
    "mutated fields": mutated_fields,
    "mutated bytes": mutated_bytes,
    "mutated envelopes": mutated_envelope,
    "any JSON": lambda _: _TREES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    "any bytes": lambda _: st.binary(max_size=400),
}
