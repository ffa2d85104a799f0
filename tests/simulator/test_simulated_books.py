"""The books balance, hold every kind of event, and are the same whatever the clock says."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pandas_market_calendars
import pytest
from conftest import MAIN, NOW, SHORT

from tasty_pipeline.simulator import Brokerage, SimulatorConfig
from tasty_pipeline.simulator.days import close_hour, days_between, is_session
from tasty_pipeline.simulator.rows import Row

CENT = Decimal("0.01")
FEES = ("commission", "clearing-fees", "regulatory-fees", "proprietary-index-option-fees",
        "currency-conversion-fees", "other-charge")  # fmt: skip


def signed(row: dict[str, Any], key: str) -> Decimal:
    sign = {"Credit": 1, "Debit": -1, "None": 0}[row.get(f"{key}-effect", "None")]
    return sign * Decimal(row.get(key, "0"))


def numbers(brokerage: Brokerage) -> list[str]:
    return [account["account-number"] for account in brokerage.accounts()]


def rows(brokerage: Brokerage) -> list[Row]:
    return [row for number in numbers(brokerage) for row in brokerage.archive(number).rows]


@pytest.mark.filterwarnings("ignore:Series.dt.weekday")  # the published calendar's own affair with pandas
def test_the_calendar_is_that_of_the_exchange() -> None:
    published = pandas_market_calendars.get_calendar("NYSE").schedule("2018-01-01", "2027-12-31", tz="America/New_York")
    expected = {day.date(): closing.hour for day, closing in published["market_close"].items()}
    ours = {d: close_hour(d) for d in days_between(date(2018, 1, 1), date(2027, 12, 31)) if is_session(d)}
    assert ours == expected


def test_cash_is_the_sum_of_all_net_values(whole: Brokerage) -> None:
    for number in numbers(whole):
        total = sum((signed(row, "net-value") for row in whole.transactions(number)), Decimal(0))
        assert Decimal(whole.balances(number)["cash-balance"]) == total


def test_positions_are_the_sum_of_all_signed_quantities(whole: Brokerage) -> None:
    for number in numbers(whole):
        held: dict[str, Decimal] = defaultdict(Decimal)
        for row in whole.transactions(number):
            if "quantity" not in row or row["transaction-sub-type"].startswith("Cash Settled"):
                continue
            quantity = Decimal(row["quantity"])
            if "action" in row:
                held[row["symbol"]] += quantity if row["action"].startswith("Buy") else -quantity
            else:
                # Removals say no direction: they bring the position nearer to zero.
                held[row["symbol"]] -= quantity.copy_sign(held[row["symbol"]])
        shown = {}
        for position in whole.positions(number):
            sign = 1 if position["quantity-direction"] == "Long" else -1
            shown[position["symbol"]] = sign * Decimal(str(position["quantity"]))
        assert {symbol: quantity for symbol, quantity in held.items() if quantity} == shown


def test_net_value_is_value_and_fees_but_for_one_row(whole: Brokerage) -> None:
    odd = []
    for number in numbers(whole):
        for row in whole.transactions(number):
            fees = sum((signed(row, key) for key in FEES), Decimal(0))
            if signed(row, "net-value") != signed(row, "value") + fees:
                odd.append(signed(row, "net-value") - signed(row, "value") - fees)
    assert odd == [-CENT]


def test_the_newest_snapshot_and_net_liq_agree_with_the_balance(whole: Brokerage) -> None:
    for number in numbers(whole)[:3]:
        balance, newest = whole.balances(number), whole.snapshots(number)[-1]
        history = whole.net_liquidating_values(number, None)[-1]
        evening = [r for r in whole.archive(number).rows if r.transaction_date > date(2026, 11, 20)]
        assert not evening or number != MAIN
        if not evening:
            assert newest["cash-balance"] == balance["cash-balance"]
            assert newest["net-liquidating-value"] == balance["net-liquidating-value"]
            assert abs(Decimal(history["close"]) - Decimal(balance["net-liquidating-value"])) < CENT


def test_net_liquidating_value_is_cash_and_values(whole: Brokerage) -> None:
    for number in numbers(whole):
        balance = whole.balances(number)
        kinds = ("equity", "derivative", "futures", "futures-derivative", "cryptocurrency")
        worth = Decimal(balance["cash-balance"])
        worth += sum(Decimal(balance[f"long-{k}-value"]) - Decimal(balance[f"short-{k}-value"]) for k in kinds)
        assert Decimal(balance["net-liquidating-value"]) == worth
        assert worth >= 0


def test_ids_are_unique_large_and_not_in_the_order_of_time(whole: Brokerage) -> None:
    everything = rows(whole)
    ids = [row.id for row in everything]
    assert len(set(ids)) == len(ids)
    assert min(ids) < 2**31 < max(ids)
    in_time = [row.id for row in sorted(everything, key=lambda row: row.created_at)]
    assert in_time != sorted(in_time)


def test_the_default_history_has_a_plausible_size(whole: Brokerage) -> None:
    assert 12_000 < len(rows(whole)) < 22_000


def test_the_default_history_holds_every_kind_of_event(whole: Brokerage) -> None:
    kinds = {row.sub_type for row in rows(whole)}
    assert kinds >= {
        "Buy to Open", "Buy to Close", "Sell to Open", "Sell to Close", "Buy", "Sell", "ACAT", "Assignment",
        "Balance Adjustment", "Cash Merger", "Cash Settled Assignment", "Cash Settled Exercise", "Credit Interest",
        "Debit Interest", "Deposit", "Dividend", "Exercise", "Expiration", "Fee", "Forward Split",
        "Fully Paid Stock Lending Income", "Futures Settlement", "Mark to Market", "Reverse Split", "Symbol Change",
        "Transfer", "Withdrawal",
    }  # fmt: skip
    assert {row.kind for row in rows(whole)} == {
        None, "Equity", "Equity Option", "Future", "Future Option", "Cryptocurrency",
    }  # fmt: skip
    assert {row.type for row in rows(whole)} == {
        "Trade", "Receive Deliver", "Money Movement", "Administrative Transfer",
    }  # fmt: skip


def test_many_fills_are_alike_but_for_the_id(whole: Brokerage) -> None:
    seen = Counter(row.json().split(b",", 1)[1] for row in rows(whole) if row.type == "Trade")
    assert sum(count for count in seen.values() if count > 1) > 500


def test_symbols_have_their_official_forms(whole: Brokerage) -> None:
    by_kind = defaultdict(set)
    for row in rows(whole):
        by_kind[row.kind].add(row.symbol or "")
    assert all(len(symbol) == 21 for symbol in by_kind["Equity Option"])
    assert all(symbol.startswith("./") and 22 <= len(symbol) <= 28 for symbol in by_kind["Future Option"])
    assert any("  " in symbol for symbol in by_kind["Future Option"])
    assert {"BRK/B", "KO"} <= by_kind["Equity"]
    assert any(symbol.startswith("/NG") and symbol[-2:].isdigit() for symbol in by_kind["Future"])


def test_a_withdrawal_of_positive_value_exists(whole: Brokerage) -> None:
    assert [r.value for r in rows(whole) if r.sub_type == "Withdrawal" and r.value > 0] == [Decimal("4770.40")]


def test_expirations_have_an_action_since_2025(whole: Brokerage) -> None:
    for row in rows(whole):
        if row.sub_type == "Expiration":
            assert (row.action is not None) == (row.transaction_date.year >= 2025)


def test_splits_are_pairs_of_equal_and_opposite_value(whole: Brokerage) -> None:
    for name in ("Forward Split", "Symbol Change"):
        pair = [row for row in rows(whole) if row.sub_type == name]
        assert len(pair) % 2 == 0
        assert pair
        assert sum(row.value for row in pair) == 0


def test_reversals_name_the_row_they_reverse(whole: Brokerage) -> None:
    known = {row.id: row for row in rows(whole)}
    reversals = [row for row in rows(whole) if "reverses-id" in row.extras]
    assert reversals
    assert all(known[row.extras["reverses-id"]].value == -row.value for row in reversals)


def test_rare_fields_of_the_official_description_occur(whole: Brokerage) -> None:
    seen = {key for number in numbers(whole) for row in whole.transactions(number) for key in row}
    assert seen >= {
        "lots", "agency-price", "principal-price", "reverses-id", "currency-conversion-fees", "other-charge",
        "other-charge-description", "cost-basis-reconciliation-date", "proprietary-index-option-fees",
        "exchange-affiliation-identifier", "destination-venue", "leg-count", "order-id", "exec-id", "created-at",
    }  # fmt: skip


def test_fee_adjustments_fall_on_saturdays_and_below_a_cent(whole: Brokerage) -> None:
    found = [row for row in rows(whole) if row.sub_type == "Balance Adjustment"]
    assert {row.transaction_date.weekday() for row in found} == {5}
    assert all(0 < abs(row.value) < CENT for row in found)


def test_an_evening_fill_of_a_future_belongs_to_the_next_session(whole: Brokerage) -> None:
    chicago = ZoneInfo("America/Chicago")
    fills = [row for row in rows(whole) if row.type == "Trade" and row.kind == "Future"]
    evening = [row for row in fills if row.executed_at.astimezone(chicago).hour >= 17]
    assert evening
    assert all(row.transaction_date > row.executed_at.astimezone(chicago).date() for row in evening)


def test_the_cash_account_is_never_short_of_stock(whole: Brokerage) -> None:
    held: dict[str, Decimal] = defaultdict(Decimal)
    for row in whole.archive("5WT00702").rows:
        if row.kind == "Equity" and row.symbol:
            held[row.symbol] += row.delta
            assert held[row.symbol] >= 0, row


def test_the_closed_account_ends_empty(whole: Brokerage) -> None:
    last = whole.accounts()[3]
    assert last["is-closed"] is True
    assert whole.positions(last["account-number"]) == []
    assert Decimal(whole.balances(last["account-number"])["cash-balance"]) == 0
    assert len(whole.transactions(last["account-number"])) > 20


def test_a_row_cannot_be_read_before_it_is_written() -> None:
    brokerage = Brokerage(SimulatorConfig(**SHORT))
    for _ in range(12):
        for row in rows(brokerage):
            assert row.created_at <= brokerage.clock.now()
        brokerage.advance(timedelta(hours=7))
    late = [r for r in rows(brokerage) if r.created_at - r.executed_at > timedelta(days=1)]
    assert late


@pytest.mark.parametrize("hours", [5, 24 * 9])
def test_past_days_do_not_depend_on_the_clock(hours: int) -> None:
    stepped = Brokerage(SimulatorConfig(**{**SHORT, "now": NOW - timedelta(days=20)}))
    while stepped.clock.now() < NOW:
        stepped.advance(min(timedelta(hours=hours), NOW - stepped.clock.now()))
    assert stepped.digest() == Brokerage(SimulatorConfig(**SHORT)).digest()


def test_another_seed_is_another_brokerage() -> None:
    one = Brokerage(SimulatorConfig(**SHORT))
    other = Brokerage(SimulatorConfig(**SHORT, seed=8))
    assert not {row.id for row in rows(one)} & {row.id for row in rows(other)}
    assert not set(numbers(one)) & set(numbers(other))


def test_an_unchanged_brokerage_answers_the_same_hours_later() -> None:
    brokerage = Brokerage(SimulatorConfig(**{**SHORT, "now": datetime.fromisoformat("2026-11-20T21:00:00-05:00")}))
    before = brokerage.digest()
    brokerage.advance(timedelta(hours=2))
    assert brokerage.digest() == before


def test_a_busy_day_exceeds_a_page() -> None:
    day = datetime.fromisoformat("2026-11-20T21:00:00-05:00")
    brokerage = Brokerage(SimulatorConfig(start=date(2026, 11, 17), now=day, trades_per_day=2200.0, accounts=1))
    per_day = Counter(row.transaction_date for row in rows(brokerage))
    assert max(per_day.values()) > 2000
