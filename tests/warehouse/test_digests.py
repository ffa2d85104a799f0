"""The same content gives the same text and the same digest, however it was spelled, ordered or stored."""

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasty_pipeline.core import schema
from tasty_pipeline.core.digests import canonical_json, payload_digest, rows_digest

from .conftest import READ_AT, MakeRow

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=12) | st.integers().map(Decimal)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (0.1, "0.1"),
        (1e22, "1" + "0" * 22),
        (Decimal("1.00"), "1"),
        (Decimal("-0.000"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50E-7"), "0.00000015"),
        (Decimal("-27.740000000000"), "-27.74"),
        (Decimal("99999999999999999999999999.999999999999"), "99999999999999999999999999.999999999999"),
        (Decimal("-1E+999999999"), "-1E999999999"),
        (True, "true"),
        (None, "null"),
        ("1.00", '"1.00"'),
        ('é "x"\n\0', '"é \\"x\\"\\n\\u0000"'),
        (dt.date(2026, 3, 6), '"2026-03-06"'),
        (READ_AT, '"2026-03-06T21:30:00.123456Z"'),
        (dt.datetime(2026, 3, 6, 16, tzinfo=dt.timezone(dt.timedelta(hours=-5))), '"2026-03-06T21:00:00Z"'),
        ({"b": [1, {}], "a": ()}, '{"a":[],"b":[1,{}]}'),
    ],
)
def test_a_value_has_one_canonical_text(value: Any, text: str) -> None:
    assert canonical_json(value) == text


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        (Decimal("Infinity"), ValueError),
        (dt.datetime(2026, 3, 6), ValueError),  # noqa: DTZ001 - a time without a zone is the point
        ({1: 2}, TypeError),
        (object(), TypeError),
        (b"bytes", TypeError),
    ],
)
def test_what_json_cannot_say_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical_json(value)


@given(JSON)
def test_canonical_text_is_json_of_the_same_content_and_stays_as_it_is(value: Any) -> None:
    text = canonical_json(value)
    parsed = json.loads(text, parse_float=Decimal)
    assert parsed == value
    assert canonical_json(parsed) == text


@given(NUMBERS, st.integers(0, 9))
def test_a_number_has_one_text_at_any_scale(number: Decimal, zeros: int) -> None:
    spelled = format(number, "f")
    longer = Decimal((spelled if "." in spelled else f"{spelled}.") + "0" * zeros)
    assert canonical_json(longer) == canonical_json(number)
    assert Decimal(canonical_json(number)) == number


def test_a_payloads_digest_is_that_of_its_content() -> None:
    payload = json.loads('{"value": "1.0", "n": 1.50, "lots": []}', parse_float=Decimal)
    assert payload_digest(payload) == payload_digest({"lots": [], "n": 1.5, "value": "1.0"})
    assert payload_digest(payload) != payload_digest({"lots": [], "n": 1.5, "value": "1.00"})
    assert len(payload_digest(payload)) == 32
    assert payload_digest("\ud83e") != payload_digest("?")


def test_rows_have_one_digest_in_any_order_scale_and_spelling(transaction: MakeRow) -> None:
    one = [transaction(9, value=Decimal("27.74"), extra={"a": 1, "b": Decimal("2.0")}), transaction(10)]
    other = [
        transaction(10, description=None, synced_at=READ_AT + dt.timedelta(1), run_id="other", removed_at=READ_AT),
        transaction(9, value=Decimal("27.740000000000"), extra={"b": 2, "a": Decimal(1)}),
    ]
    digest = rows_digest(schema.transactions, one)
    assert digest == rows_digest(schema.transactions, other)
    assert digest != rows_digest(schema.transactions, [one[0]])
    assert digest != rows_digest(schema.transactions, [one[0], transaction(10, description="")])
    assert rows_digest(schema.transactions, []) == rows_digest(schema.positions, [])
