"""Single values: what is taken, exactly, and what is refused. Rows are in test_payloads.py."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasty_pipeline.core import values
from tasty_pipeline.core.schema import PRECISION, SCALE

BEFORE = PRECISION - SCALE
HUGE = 10_000_000

FITTING = st.builds(
    lambda negative, digits, places: Decimal((int(negative), tuple(map(int, str(digits))), -places)),
    st.booleans(),
    st.integers(0, 10**PRECISION - 1),
    st.just(SCALE) | st.integers(0, SCALE),
).filter(lambda number: number.is_zero() or number.adjusted() < BEFORE)
# every value that json can give, and then some
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@contextmanager
def quickly(seconds: float = 0.5) -> Iterator[None]:
    """Fail when the block takes longer in CPU time: far above what it needs, far below the work it must not do."""
    before = time.process_time()
    yield
    assert time.process_time() - before < seconds


def refusal(parse: Callable[..., Any], *given: Any) -> str:
    """Return why a value is refused, or nothing where it is taken."""
    try:
        parse(*given)
    except ValueError as error:
        return str(error)
    return ""


# --- decimals


@given(FITTING)
def test_what_fits_the_column_comes_through_exact(number: Decimal) -> None:
    for spelled in (str(number), f"{number:f}", f"{number:E}", number):
        assert values.decimal(spelled) == number
    with localcontext() as context:
        context.prec = 3  # whatever the caller's context is
        assert values.decimal(str(number)) == number


@given(FITTING)
def test_a_json_number_comes_through_exact(number: Decimal) -> None:
    body = json.loads(f'{{"quantity": {number:f}}}', parse_float=Decimal)
    assert values.decimal(body["quantity"]) == number


@given(FITTING)
def test_the_result_is_spelled_as_the_column_gives_it_back(number: Decimal) -> None:
    taken = values.decimal(number)
    assert taken.as_tuple().exponent == (0 if number.is_zero() else -SCALE)
    assert str(taken) != "-0"


@given(st.integers(-(10**BEFORE) + 1, 10**BEFORE - 1))
def test_a_whole_number_is_a_decimal(number: int) -> None:
    assert values.decimal(number) == number
    assert values.decimal(str(number)) == number


@given(st.integers(10**BEFORE, 10 ** (BEFORE + 8)), st.booleans())
def test_more_than_26_digits_before_the_point_are_refused(number: int, negative: bool) -> None:
    signed = -number if negative else number
    for spelled in (signed, str(signed), Decimal(signed), f"{signed}.0", f"{signed}e3"):
        with pytest.raises(ValueError, match="digits before the point"):
            values.decimal(spelled)


@given(FITTING, st.integers(SCALE + 1, 60), st.integers(1, 9))
def test_more_than_12_places_are_refused_and_never_rounded(number: Decimal, place: int, digit: int) -> None:
    text = f"{number:.12f}" + "0" * (place - SCALE - 1) + str(digit)
    for spelled in (text, Decimal(text)):
        with pytest.raises(ValueError, match="decimal places"):
            values.decimal(spelled)


@pytest.mark.parametrize(
    ("spelled", "number"),
    [
        ("27.74", "27.74"),
        ("0.0", "0"),
        ("0.40", "0.40"),
        ("-1.5", "-1.5"),
        ("+1.5", "1.5"),
        ("007", "7"),
        ("1E-8", "0.00000001"),
        ("1e+3", "1000"),
        ("1E25", "1e25"),
        ("1E-12", "0.000000000001"),
        ("1000000E-18", "1E-12"),
        ("0E-99", "0"),
        ("-0.0", "0"),
        (3, "3"),
        (Decimal("100.29"), "100.29"),
        ("1.0000000000000000000000", "1"),
        (f"1.{'0' * 5000}", "1"),
    ],
)
def test_spellings_of_a_decimal(spelled: Any, number: str) -> None:
    assert values.decimal(spelled) == Decimal(number)


@pytest.mark.parametrize(
    "bad",
    [
        *("", " ", " 1.0", "1.0 ", "1.0\n", "1_000", "1,000", "1.", ".5", "1.2.3", "--1", "0x10", "1e", "1e1000"),
        *("NaN", "sNaN", "nan", "Infinity", "-Infinity", "inf", "None", "$1", "\uff11\uff12", "\u0663", "1\x00"),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity")),
        *(True, False, None, 1.5, float("nan"), [], ["1"], {}, {"amount": "1"}, b"1"),
        *("1e26", "1e-13", "1e999", "1e-999", Decimal("1e999999999"), Decimal("1e-999999999")),
    ],
    ids=repr,
)
def test_what_is_no_exact_amount_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a decimal|decimal places|before the point"):
        values.decimal(bad)


@pytest.mark.parametrize(
    "make",
    [
        lambda: "9" * HUGE,
        lambda: "9" * HUGE + "x",
        lambda: "0." + "0" * HUGE + "1",
        lambda: "x" * HUGE,
        lambda: "\x01" * HUGE,
        lambda: ["x" * HUGE],
        lambda: {"x" * HUGE: "x" * HUGE},
        lambda: [[0]] * (HUGE // 10),
    ],
    ids=["digits", "digits and a letter", "places", "letters", "controls", "list", "dict", "long list"],
)
@pytest.mark.parametrize("parse", [values.decimal, values.whole, values.flag, values.day, values.instant])
def test_a_huge_value_is_refused_quickly_and_in_few_words(parse: Callable[[Any], Any], make: Callable[[], Any]) -> None:
    value = make()
    with quickly(), pytest.raises(ValueError, match=r".") as caught:
        parse(value)
    assert len(str(caught.value)) < 200


def test_an_integer_that_python_will_not_write_down_is_refused_in_few_words() -> None:
    for parse in (values.decimal, values.whole, values.flag, values.day, values.instant):
        with pytest.raises(ValueError, match="very many digits"):
            parse(10**5000)
        with pytest.raises(ValueError, match=r".") as caught:
            parse([10**5000])
        assert "4300" not in str(caught.value)


# --- signs


@pytest.mark.parametrize(
    ("amount", "effect", "signed"),
    [
        ("27.74", "Credit", "27.74"),
        ("27.74", "Debit", "-27.74"),
        ("-27.74", "Debit", "-27.74"),
        (3, "Debit", "-3"),
        ("0.0", "None", "0"),
        ("0.0", None, "0"),
        ("0.0", "Debit", "0"),
        ("-0.0", "Credit", "0"),
        ("12345678901234567890123456.123456789012", "Debit", "-12345678901234567890123456.123456789012"),
    ],
)
def test_an_effect_is_the_sign_of_its_amount(amount: Any, effect: Any, signed: str) -> None:
    assert values.signed(amount, effect) == Decimal(signed)
    assert not values.signed("0", effect).is_signed()


@given(FITTING.filter(lambda number: not number.is_zero()))
def test_credit_and_debit_are_opposites_to_the_last_digit(number: Decimal) -> None:
    debit = values.signed(str(number), "Debit")
    assert debit == values.signed(f"{number:f}".lstrip("-"), "Credit").copy_negate()
    assert debit < 0


@pytest.mark.parametrize(
    ("amount", "effect"),
    [
        ("1", None),
        ("1", "None"),
        ("-1", None),
        ("-1", "None"),
        ("-1", "Credit"),
        *(("1", bad) for bad in ("credit", "CREDIT", "", " Credit", "Unknown", 1, True, {}, {"a": 1}, [], ["Credit"])),
        ("0", "Sideways"),
        ("x", "Credit"),
        ({}, {}),
    ],
)
def test_an_amount_whose_sign_is_not_certain_is_refused(amount: Any, effect: Any) -> None:
    with pytest.raises(ValueError, match=r"effect|is not a decimal"):
        values.signed(amount, effect)


# --- whole numbers and flags


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_bigint_comes_through(number: int) -> None:
    assert values.whole(number) == values.whole(str(number)) == number


@given(st.integers(2**63, 2**80) | st.integers(-(2**80), -(2**63) - 1))
def test_what_no_bigint_holds_is_refused(number: int) -> None:
    for spelled in (number, str(number)):
        with pytest.raises(ValueError, match=r"BIGINT|is not a whole number"):
            values.whole(spelled)


@pytest.mark.parametrize(
    "bad", [True, False, None, "", " 1", "1.0", "+1", "1_0", "\uff11", Decimal(1), Decimal("1.5"), 1.0, [1], {}]
)
def test_what_is_no_whole_number_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        values.whole(bad)


def test_a_flag_is_a_boolean_or_its_two_words() -> None:
    assert values.flag(True) is values.flag("true") is True
    assert values.flag(False) is values.flag("false") is False


@pytest.mark.parametrize("bad", [None, 0, 1, "", "True", "yes", "1", Decimal(1), [], [True], {}, {"true": True}])
def test_a_flag_is_nothing_else(bad: Any) -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        values.flag(bad)


# --- text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_text_comes_through_untouched(text: str) -> None:
    assert values.text(text) == text


@pytest.mark.parametrize(
    "symbol", ["SPY   240119C00450000", "./GCM6 OGK6  260427P4615", "BRK/B", "/ESZ4", "BTC/USD", " x ", "", "é😀"]
)
def test_symbols_are_never_trimmed(symbol: str) -> None:
    assert values.text(symbol) == symbol


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (7, "7"), (Decimal("1.50"), "1.50")])
def test_a_number_or_flag_in_a_text_field_keeps_its_spelling(value: Any, text: str) -> None:
    assert values.text(value) == text


@pytest.mark.parametrize("bad", [None, [], ["a"], {}, {"a": "b"}, 1.5, "a\x00b", "\x00", "\ud800", "a\udfffb"])
def test_text_that_no_column_can_hold_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"is not text|NUL|surrogate"):
        values.text(bad)


def test_a_huge_text_is_taken_quickly() -> None:
    with quickly():
        assert len(values.text("\n" * HUGE)) == HUGE


# --- days and times


@given(st.dates())
def test_every_day_comes_through(day: date) -> None:
    assert values.day(day.isoformat()) == day


@pytest.mark.parametrize(
    "bad",
    [
        *("", "2026-1-2", "20260102", "2026-02-30", "2026-13-01", "0000-01-01", "10000-01-01", "2026-W01-1"),
        *("2026-01-02T00:00:00Z", " 2026-01-02", "2026-01-02\n", "\uff12\uff10\uff12\uff16-01-02", "-2026-01-02"),
        *(None, 20260102, True, Decimal("2026.0"), [], {}, {"day": 1}),
    ],
)
def test_what_is_no_day_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.day(bad)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_instant_comes_through_to_the_microsecond(moment: datetime) -> None:
    text = moment.isoformat()
    for spelled in (text, text.replace("+00:00", "Z"), text.replace("T", " "), text.replace("+00:00", "+00")):
        taken = values.instant(spelled)
        assert taken == moment
        assert taken.utcoffset() == timedelta(0)


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone follows
    st.integers(-23 * 60, 23 * 60),
)
def test_offsets_become_utc(naive: datetime, minutes: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert values.instant(moment.isoformat()) == moment
    assert values.instant(moment.isoformat()).tzinfo is UTC


@pytest.mark.parametrize(
    ("spelled", "moment"),
    [
        ("2023-07-28T21:00:00.000+00:00", datetime(2023, 7, 28, 21, tzinfo=UTC)),
        ("2023-07-28T21:00:00Z", datetime(2023, 7, 28, 21, tzinfo=UTC)),
        ("2023-06-08 13:30:00+00", datetime(2023, 6, 8, 13, 30, tzinfo=UTC)),
        ("2023-06-08T13:30:00-0400", datetime(2023, 6, 8, 17, 30, tzinfo=UTC)),
        ("2023-06-08T13:30:00.5Z", datetime(2023, 6, 8, 13, 30, 0, 500_000, tzinfo=UTC)),
        ("2023-06-08T13:30:00.123456000Z", datetime(2023, 6, 8, 13, 30, 0, 123_456, tzinfo=UTC)),
        (1_690_578_000_123, datetime(2023, 7, 28, 21, 0, 0, 123_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_spellings_of_an_instant(spelled: Any, moment: datetime) -> None:
    assert values.instant(spelled) == moment


@given(st.integers(10**11, 253_402_300_799_999))
def test_epoch_milliseconds_are_exact(milliseconds: int) -> None:
    assert (values.instant(milliseconds) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) == milliseconds


@pytest.mark.parametrize(
    "bad",
    [
        *("2023-07-28T21:00:00", "2023-07-28 21:00:00.000", "2023-07-28", "", "now", "1690578000123"),
        *("2023-07-28T21:00Z", "2023-07-28T21:00:00z", "2023-07-28t21:00:00Z", " 2023-07-28T21:00:00Z"),
        *("2023-07-28T21:00:00.123456789Z", "2023-07-28T21:00:00.0000001Z", "2023-07-28T21:00:00.Z"),
        *("2023-07-28T21:00:60Z", "2023-07-28T24:00:00Z", "2023-02-29T00:00:00Z", "2023-07-28T21:00:00+24:00"),
        *(
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+05:00",
            "9999-12-31T23:59:59-05:00",
            "\uff12\uff10\uff12\uff13-07-28T21:00:00Z",
        ),
        *(0, -1, 1_690_578_000, 10**15, 10**30, True, None, 1.5, Decimal(1_690_578_000_123), [], {}),
    ],
)
def test_what_is_no_certain_instant_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        values.instant(bad)


# --- documents


def _deep(levels: int) -> Any:
    found: Any = "x"
    for level in range(levels):
        found = [found] if level % 2 else {"a": found}
    return found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | FITTING | st.text(st.characters(exclude_categories=["Cs", "Cc"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs", "Cc"])), inner),
        max_leaves=10,
    )
)
def test_a_document_comes_through_whole(document: Any) -> None:
    assert values.document(document) is document


@pytest.mark.parametrize(
    "bad",
    [
        "a\x00b",
        {"a": ["\ud800"]},
        {"\x00": 1},
        [[{"a": {"\udfff": None}}]],
        [Decimal("1e1000")],
        {"a": Decimal("-1e999999999")},
        Decimal("1e-1001"),
        10**1000,
        [Decimal("NaN")],
        Decimal("Infinity"),
    ],
)
def test_a_document_that_no_database_stores_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"NUL|surrogate|JSON columns"):
        values.document(bad)


def test_a_document_nested_beyond_reason_is_refused_and_not_walked_to_the_end_of_the_stack() -> None:
    assert values.document(_deep(49))
    for levels in (50, 400, 10_000):
        with pytest.raises(ValueError, match="nested deeper"):
            values.document(_deep(levels))


def test_a_huge_document_is_walked_quickly() -> None:
    with quickly(2):
        values.document({str(number): [number, str(number)] for number in range(100_000)})


def test_a_deeply_nested_value_is_refused_by_every_parser() -> None:
    deep = _deep(10_000)
    for parse in (values.decimal, values.whole, values.flag, values.text, values.day, values.instant):
        with pytest.raises(ValueError, match=r"not|neither"):
            parse(deep)
    with pytest.raises(ValueError, match="effect"):
        values.signed("1", deep)


@given(ANYTHING, ANYTHING)
def test_parsers_raise_nothing_but_a_short_value_error(first: Any, second: Any) -> None:
    for parse in (values.decimal, values.whole, values.flag, values.text, values.day, values.instant, values.document):
        assert len(refusal(parse, first)) < 200
    assert len(refusal(values.signed, first, second)) < 200


@given(ANYTHING)
def test_whatever_is_shown_is_short(value: Any) -> None:
    assert 0 < len(values.shown(value)) <= 63
