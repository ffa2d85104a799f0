"""The arithmetic and the drawing behind the pages: exact, and honest about what is not known."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pytest
from django.utils import translation

from tasty_django import charts, equity, holdings, symbols
from tasty_django.export import cell
from tasty_django.figures import MINUS, grouped, plain
from tasty_django.models import Position
from tasty_django.paging import Cursor

TODAY = dt.date(2026, 3, 6)
HUGE = Decimal("12345678901234567890123456.123456789012")


def position(symbol: str = "SPY", **columns: object) -> Position:
    usual = {
        "account_id": "5WX00001",
        "instrument_type": "Equity",
        "underlying_symbol": symbol,
        "quantity": Decimal(100),
        "average_open_price": Decimal(500),
        "close_price": Decimal(510),
        "multiplier": Decimal(1),
    }
    return Position(symbol=symbol, **{**usual, **columns})


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("0.000000000000", "0"),
        ("-0", "0"),
        ("100.000000000000", "100"),
        ("12.500000000000", "12.5"),
        ("-0.000000000001", "-0.000000000001"),
        ("1E+3", "1000"),
        (str(HUGE), str(HUGE)),
    ],
)
def test_a_plain_number_has_every_digit_and_no_more(number: str, shown: str) -> None:
    assert plain(Decimal(number)) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("1234567.5", "1,234,567.50"),
        ("-1234.5678", f"{MINUS}1,234.5678"),
        ("-1234.56785", f"{MINUS}1,234.5679"),
        ("1.99999", "2.00"),
        ("-0.00001", "0.00"),
        ("0", "0.00"),
        (str(HUGE), "12,345,678,901,234,567,890,123,456.1235"),
    ],
)
def test_a_grouped_number_has_two_to_four_places_and_a_real_minus(number: str, shown: str) -> None:
    assert grouped(Decimal(number)) == shown


def test_a_gain_has_a_plus_and_nothing_has_no_sign() -> None:
    assert grouped(Decimal(5), signed=True) == "+5.00"
    assert grouped(Decimal(-5), signed=True) == f"{MINUS}5.00"
    assert grouped(Decimal(0), signed=True) == "0.00"


def test_numbers_follow_the_language_of_the_page() -> None:
    with translation.override("de"):
        assert grouped(Decimal("-1234567.5")) == f"{MINUS}1.234.567,50"


def test_profit_is_the_price_difference_times_signed_quantity_times_multiplier() -> None:
    short_put = position(
        "SPY   260320P00500000",
        instrument_type="Equity Option",
        quantity=Decimal(-2),
        average_open_price=Decimal("4.15"),
        close_price=Decimal("3.32"),
        multiplier=Decimal(100),
    )
    _, sums = holdings.group([short_put], TODAY)
    assert sums.profit == Decimal("166.00")
    assert sums.value == Decimal("-664.00")


def test_the_mark_counts_before_the_close_even_if_it_is_zero() -> None:
    (group,), _ = holdings.group([position(mark_price=Decimal(0))], TODAY)
    assert (group.holdings[0].price, group.holdings[0].price_kind) == (Decimal(0), "mark")
    (group,), _ = holdings.group([position()], TODAY)
    assert (group.holdings[0].price, group.holdings[0].price_kind) == (Decimal(510), "close")


def test_a_futures_value_is_notional_and_in_no_sum_but_its_profit_is() -> None:
    future = position("/ESH6", instrument_type="Future", quantity=Decimal(1), multiplier=Decimal(50))
    (group,), sums = holdings.group([future], TODAY)
    assert group.holdings[0].value == Decimal(25500)
    assert (sums.value, sums.profit, sums.has_notional) == (None, Decimal(500), True)


@pytest.mark.parametrize("missing", ["close_price", "average_open_price", "multiplier"])
def test_what_is_not_known_is_counted_and_not_taken_for_nothing(missing: str) -> None:
    _, sums = holdings.group([position(), position("QQQ", **{missing: None})], TODAY)
    assert sums.unpriced == 1
    assert sums.profit == Decimal(1000)


def test_only_gains_of_today_are_realised_today() -> None:
    old = position(realized_today=Decimal(7), realized_today_date=TODAY - dt.timedelta(days=1))
    new = position("QQQ", realized_today=Decimal(-3), realized_today_date=TODAY)
    _, sums = holdings.group([old, new], TODAY)
    assert sums.realised_today == Decimal(-3)


def test_positions_stand_with_their_underlying_the_shares_first() -> None:
    option = {"instrument_type": "Equity Option", "underlying_symbol": "SPY"}
    found, _ = holdings.group([position("SPY   260320C00500000", **option), position("AAPL"), position("SPY")], TODAY)
    assert [(g.underlying, [h.position.symbol for h in g.holdings]) for g in found] == [
        ("AAPL", ["AAPL"]),
        ("SPY", ["SPY", "SPY   260320C00500000"]),
    ]


def test_a_position_without_an_underlying_is_its_own() -> None:
    found, _ = holdings.group([position("X", underlying_symbol=None)], TODAY)
    assert [g.underlying for g in found] == ["X"]


def test_products_of_the_greatest_amounts_are_exact() -> None:
    (group,), _ = holdings.group([position(quantity=HUGE, close_price=HUGE, multiplier=HUGE)], TODAY)
    assert group.holdings[0].value is not None
    assert Fraction(group.holdings[0].value) == Fraction(HUGE) ** 3


def snapshot(account: str, day: int, value: str, currency: str = "USD") -> equity.Snapshot:
    return equity.Snapshot(currency, account, dt.date(2026, 3, day), Decimal(value))


def test_the_curve_is_the_sum_of_the_accounts_of_each_day() -> None:
    found = equity.lines([snapshot("A", 2, "10.5"), snapshot("B", 2, "1"), snapshot("A", 3, "11")], closed=())
    assert found == {"USD": [(dt.date(2026, 3, 2), Decimal("11.5")), (dt.date(2026, 3, 3), Decimal(12))]}


def test_a_snapshot_that_is_late_is_no_loss_and_a_closed_account_ends() -> None:
    rows = [snapshot("A", 2, "10"), snapshot("B", 2, "5"), snapshot("A", 3, "10"), snapshot("A", 4, "10")]
    assert [point.value for point in equity.lines(rows, closed=())["USD"]] == [15, 15, 15]
    assert [point.value for point in equity.lines(rows, closed={"B"})["USD"]] == [15, 10, 10]


def test_days_before_the_time_shown_only_say_where_an_account_stood() -> None:
    rows = [snapshot("B", 2, "5"), snapshot("A", 3, "10")]
    assert equity.lines(rows, closed=(), since=dt.date(2026, 3, 3))["USD"] == [(dt.date(2026, 3, 3), Decimal(15))]


def test_currencies_are_never_added_to_each_other() -> None:
    found = equity.lines([snapshot("A", 2, "10"), snapshot("A", 2, "7", "EUR")], closed=())
    assert {name: [p.value for p in line] for name, line in found.items()} == {"EUR": [7], "USD": [10]}


def points(*values: str) -> list[equity.Point]:
    first = dt.date(2026, 1, 1)
    return [equity.Point(first + dt.timedelta(days=n), Decimal(value)) for n, value in enumerate(values)]


@pytest.mark.parametrize("values", [["5"], ["0"], ["5", "5"], ["-3", "4"], ["0.001", "0.002"], [str(HUGE), str(-HUGE)]])
def test_every_line_is_drawn_within_its_plot(values: list[str]) -> None:
    curve = charts.curve("USD", points(*values))
    assert 2 <= len(curve.lines) <= 7
    for reading in curve.readings:
        assert charts.TOP <= Decimal(reading.y) <= charts.TOP + charts.HEIGHT
        assert 0 <= Decimal(reading.x) <= 100
    assert sum(Decimal(reading.width) for reading in curve.readings) == pytest.approx(Decimal(100), abs=Decimal(1))


def test_the_grid_of_a_curve_has_round_values_around_it() -> None:
    curve = charts.curve("USD", points("248300.17", "311020.55"))
    assert [tick.value for tick in curve.lines] == [240000, 260000, 280000, 300000, 320000]


def test_a_long_curve_is_thinned_but_keeps_its_ends_its_low_and_its_high() -> None:
    values = [str(1000 + n % 7) for n in range(5000)]
    values[1234], values[4321] = "1", "9999"
    curve = charts.curve("USD", points(*values))
    assert curve.path.count("L") <= 502
    assert (curve.low.value, curve.high.value) == (Decimal(1), Decimal(9999))
    assert curve.low.day == dt.date(2026, 1, 1) + dt.timedelta(days=1234)
    assert curve.rows_are_months
    assert curve.rows[0] == curve.last


def test_the_change_of_a_curve_from_nothing_has_no_percentage() -> None:
    curve = charts.curve("USD", points("0", "10"))
    assert (curve.change, curve.share) == (Decimal(10), None)


@pytest.mark.parametrize(
    ("symbol", "kind", "terms"),
    [
        ("SPY   240119C00450000", "Equity Option", ("SPY", dt.date(2024, 1, 19), "C", "450")),
        ("BRKB  240119P00312500", "Equity Option", ("BRKB", dt.date(2024, 1, 19), "P", "312.5")),
        ("./ESZ4 E1AZ4 241202P5800", "Future Option", ("/ESZ4", dt.date(2024, 12, 2), "P", "5800")),
        ("./MESM6EX3H6 260320P6450", "Future Option", ("/MESM6EX3H6", dt.date(2026, 3, 20), "P", "6450")),
        ("./GCM6 OGK6  260427P4615", "Future Option", ("/GCM6", dt.date(2026, 4, 27), "P", "4615")),
        ("./6JM1 JPUM1 210604C0.009225", "Future Option", ("/6JM1", dt.date(2021, 6, 4), "C", "0.009225")),
    ],
)
def test_an_options_symbol_is_read(symbol: str, kind: str, terms: tuple[object, ...]) -> None:
    option = symbols.option(symbol, kind)
    assert option is not None
    assert (option.root, option.expires, option.right, option.shown_strike) == terms


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [("SPY", "Equity"), ("SPY   249919C00450000", "Equity Option"), ("odd", "Equity Option"), ("", "Future Option")],
)
def test_what_is_no_readable_option_stays_as_it_is(symbol: str, kind: str) -> None:
    assert symbols.option(symbol, kind) is None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_text_that_a_spreadsheet_would_run_is_quoted(start: str) -> None:
    assert cell(f"{start}cmd") == f"'{start}cmd"


def test_numbers_times_and_nothing_are_written_as_they_are() -> None:
    noon = dt.datetime(2026, 3, 6, 17, 0, 0, 123456, tzinfo=dt.UTC)
    values = (Decimal("-0.100000000000"), -5, None, True, TODAY, noon, "plain")
    assert [cell(value) for value in values] == [
        "-0.1",
        "-5",
        "",
        "true",
        "2026-03-06",
        "2026-03-06T17:00:00.123456+00:00",
        "plain",
    ]


@pytest.mark.parametrize(
    "moment", [dt.datetime(1969, 5, 1, tzinfo=dt.UTC), dt.datetime(2026, 3, 6, 1, 2, 3, 4, dt.UTC)]
)
def test_a_cursor_comes_back_from_its_address(moment: dt.datetime) -> None:
    cursor = Cursor(TODAY, moment, -5)
    assert Cursor.parse(str(cursor), newer=False) == cursor


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "1.2", "1.2.3.4", "a.1.1", "1.b.1", "1.1e3.4", " 1.1.1", "1\x00.1.1", "-1.1.1", "0.1.1"),
        *("9999999.1.1", "1.9999999999999999999.1", "1.1.9223372036854775808", "1.1.99999999999999999999"),
    ],
)
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no (cursor|row)"):
        Cursor.parse(text, newer=True)
