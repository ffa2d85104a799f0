"""Payloads to rows: columns, signs, what goes to `extra`, what is rejected. Single values are in test_values.py."""

import copy
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasty_pipeline.core import payloads, schema
from tasty_pipeline.core.arrow import content_schema

TABLES = list(schema.MIRRORED.values())
Payload = dict[str, Any]

ACCOUNT: Payload = {
    "account-number": "5WT00001",
    "account-type-name": "Individual",
    "nickname": "Trading",
    "margin-or-cash": "Margin",
    "is-closed": False,
    "opened-at": "2019-03-14T15:55:10.123+00:00",
    "day-trader-status": False,
}
POSITION: Payload = {
    "account-number": "5WT00001",
    "symbol": "SPY   240119C00450000",
    "instrument-type": "Equity Option",
    "underlying-symbol": "SPY",
    "quantity": 3,
    "quantity-direction": "Short",
    "average-open-price": "1.755",
    "multiplier": 100,
    "cost-effect": "Debit",
    "realized-day-gain": "12.5",
    "realized-day-gain-effect": "Debit",
    "realized-day-gain-date": "2023-07-28",
    "realized-today": "0.0",
    "realized-today-effect": "None",
    "updated-at": "2023-07-28T14:30:01.500Z",
}
BALANCE: Payload = {
    "account-number": "5WT00001",
    "currency": "USD",
    "cash-balance": "-10.25",
    "pending-cash": "5.0",
    "pending-cash-effect": "Debit",
    "unsettled-cryptocurrency-fiat-amount": "7.5",
    "unsettled-cryptocurrency-fiat-effect": "Debit",
    "intraday-equities-cash-amount": "3.0",
    "intraday-equities-cash-effect": "Credit",
    "snapshot-date": "2023-07-28",
    "updated-at": "2023-07-28T14:30:01.500+00:00",
}
SNAPSHOT: Payload = {**BALANCE, "time-of-day": "EOD"}
TRANSACTION: Payload = {
    "id": 275_000_001,
    "account-number": "5WT00001",
    "symbol": "./ESZ4 E1AZ4 241202P5800",
    "instrument-type": "Future Option",
    "underlying-symbol": "/ESZ4",
    "transaction-type": "Trade",
    "transaction-sub-type": "Sell to Open",
    "description": "Sold 2",
    "action": "Sell to Open",
    "quantity": "2.0",
    "price": "4.5",
    "executed-at": "2024-12-02T14:30:00.123+00:00",
    "transaction-date": "2024-12-02",
    "value": "450.0",
    "value-effect": "Credit",
    "commission": "2.5",
    "commission-effect": "Debit",
    "clearing-fees": "0.6",
    "clearing-fees-effect": "Debit",
    "regulatory-fees": "0.0",
    "regulatory-fees-effect": "None",
    "net-value": "446.9",
    "net-value-effect": "Credit",
    "is-estimated-fee": True,
    "lots": [{"id": "a", "quantity": Decimal("1.0")}],
}
GOOD: Mapping[str, Payload] = {
    "accounts": ACCOUNT,
    "positions": POSITION,
    "balances": BALANCE,
    "balance_snapshots": SNAPSHOT,
    "transactions": TRANSACTION,
}


def reason(table: sa.Table, payload: Payload) -> str:
    """Return why the payload is rejected; fail if it is not."""
    parsed = payloads.parse(table, [payload])
    assert not parsed.rows
    return parsed.rejected[0].reason


def transaction(**changes: Any) -> Payload:
    return TRANSACTION | {name.replace("_", "-"): value for name, value in changes.items()}


def position(**changes: Any) -> Payload:
    return POSITION | {name.replace("_", "-"): value for name, value in changes.items()}


# --- what a row is made of


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_has_every_column_but_what_the_sync_adds(table: sa.Table) -> None:
    row = payloads.parse_row(table, GOOD[table.name])
    assert set(row) == set(schema.content(table))
    assert row["extra"] is None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_typed_rows_are_the_rows(table: sa.Table) -> None:
    payload = {**GOOD[table.name], "new-field": {"b": [1, None, Decimal("1.5")], "a": "é"}}
    parsed = payloads.parse(table, [payload, GOOD[table.name]])
    assert parsed.table.schema == content_schema(table)
    assert parsed.rows == [payloads.parse_row(table, payload), payloads.parse_row(table, GOOD[table.name])]
    assert parsed.table["extra"].to_pylist() == ['{"new-field":{"a":"é","b":[1,null,1.5]}}', None]


def test_what_a_login_may_do_has_the_columns_that_the_api_knows() -> None:
    """The connection's name is for the sync to add."""
    parsed = payloads.parse(schema.connection_accounts, [{"account-number": "5WT00001", "authority-level": "owner"}])
    assert parsed.rows == [{"account_number": "5WT00001", "authority_level": "owner"}]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_payload_is_not_changed_by_being_parsed(table: sa.Table) -> None:
    payload = copy.deepcopy(GOOD[table.name])
    payloads.parse(table, [payload, {}])
    assert payload == GOOD[table.name]


def test_values_have_their_columns_types() -> None:
    row = payloads.parse_row(schema.transactions, TRANSACTION)
    assert row["transaction_id"] == 275_000_001
    assert row["executed_at"] == datetime(2024, 12, 2, 14, 30, 0, 123_000, tzinfo=UTC)
    assert row["transaction_date"] == date(2024, 12, 2)
    assert row["is_estimated_fee"] is True
    assert row["lots"] == [{"id": "a", "quantity": Decimal("1.0")}]
    assert row["symbol"] == "./ESZ4 E1AZ4 241202P5800"
    assert row["order_id"] is None
    amounts = [row[column.name] for column in schema.transactions.columns if isinstance(column.type, sa.Numeric)]
    assert all(amount is None or type(amount) is Decimal for amount in amounts)


def test_amounts_carry_their_effects() -> None:
    row = payloads.parse_row(schema.transactions, TRANSACTION)
    assert (row["value"], row["commission"], row["clearing_fees"]) == (450, Decimal("-2.5"), Decimal("-0.6"))
    assert row["net_value"] == row["value"] + sum(row[fee] or 0 for fee in schema.FEES)
    row = payloads.parse_row(schema.balances, BALANCE)
    assert row["pending_cash"] == -5
    assert row["unsettled_cryptocurrency_fiat_amount"] == Decimal("-7.5")
    assert row["intraday_equities_cash_amount"] == 3
    assert row["cash_balance"] == Decimal("-10.25"), "an amount without an effect may have its own sign"
    row = payloads.parse_row(schema.positions, POSITION)
    assert row["realized_day_gain"] == Decimal("-12.5")
    assert row["cost_effect"] == "Debit", "a column, not the sign of another"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_signed_amount_is_negative_for_its_debit(table: sa.Table) -> None:
    for column in table.columns:
        if effect := column.info.get("effect"):
            for word, amount in (("Debit", Decimal(-2)), ("Credit", Decimal(2))):
                row = payloads.parse_row(table, {**GOOD[table.name], column.info["api"]: "2.0", effect: word})
                assert row[column.name] == amount
                assert row["extra"] is None


@pytest.mark.parametrize(
    ("action", "quantity"),
    [
        *(("Buy", 2), ("Buy to Open", 2), ("Buy to Close", 2)),
        *(("Sell", -2), ("Sell to Open", -2), ("Sell to Close", -2)),
        *((None, None), ("Allocate", None), ("Buy to Hold", None), ("buy", None)),
    ],
)
def test_a_transactions_quantity_is_signed_by_its_action(action: str | None, quantity: int | None) -> None:
    row = payloads.parse_row(schema.transactions, transaction(action=action))
    assert row["quantity"] == quantity
    assert row["quantity_unsigned"] == 2
    assert row["action"] == action


def test_a_transaction_without_a_quantity_has_none_whatever_its_action() -> None:
    row = payloads.parse_row(schema.transactions, transaction(quantity=None))
    assert row["quantity"] is row["quantity_unsigned"] is None


def test_a_quantity_of_zero_has_no_sign() -> None:
    row = payloads.parse_row(schema.transactions, transaction(quantity="0.0"))
    assert row["quantity"] == 0
    assert not row["quantity"].is_signed()


def test_a_negative_quantity_is_rejected() -> None:
    assert reason(schema.transactions, transaction(quantity="-2")).startswith("quantity: ")
    assert reason(schema.positions, position(quantity=-3)).startswith("quantity: ")


@pytest.mark.parametrize(("direction", "quantity"), [("Long", 3), ("Short", -3), ("Sideways", 3)])
def test_a_positions_quantity_is_signed_by_its_direction(direction: str, quantity: int) -> None:
    row = payloads.parse_row(schema.positions, position(quantity_direction=direction))
    assert row["quantity"] == quantity


@pytest.mark.parametrize("spelled", [3, "3", "3.0", Decimal("3.000")])
def test_a_quantity_may_be_a_number_or_a_text(spelled: Any) -> None:
    assert payloads.parse_row(schema.positions, position(quantity=spelled))["quantity"] == -3


def test_an_open_position_of_nothing_is_rejected() -> None:
    assert "0 with direction Short" in reason(schema.positions, position(quantity=0)).replace("'", "")
    assert len(reason(schema.positions, position(quantity=0, quantity_direction="x" * 1000))) < 200


def test_a_position_closed_today_is_left_out_and_counted() -> None:
    closed = [position(quantity=0, quantity_direction="Zero"), position(quantity=3, quantity_direction="Zero")]
    parsed = payloads.parse(schema.positions, [*closed, POSITION], leave_out=payloads.closed_today)
    assert len(parsed.rows) == 1
    assert parsed.left_out == 2
    assert parsed.rejected == ()


# --- nothing is dropped


def test_unknown_fields_go_to_extra_as_they_came() -> None:
    row = payloads.parse_row(schema.transactions, transaction(new_field={"a": [1, None, Decimal("1.50")]}, other=False))
    assert row["extra"] == {"new-field": {"a": [1, None, Decimal("1.50")]}, "other": False}


def test_a_null_is_as_good_as_absent() -> None:
    row = payloads.parse_row(schema.transactions, transaction(new_field=None, price=None, commission=None))
    assert row["price"] is row["commission"] is None
    assert row["extra"] == {"commission-effect": "Debit"}


def test_an_effect_without_its_amount_lands_in_extra() -> None:
    payload = transaction(other_charge_effect="Debit")
    assert payloads.parse_row(schema.transactions, payload)["extra"] == {"other-charge-effect": "Debit"}
    assert payloads.parse_row(schema.transactions, transaction(other_charge_effect=None))["extra"] is None


@pytest.mark.parametrize("name", ["removed-at", "synced-at", "run-id", "extra", "quantity-unsigned", "transaction-id"])
def test_a_field_named_like_a_column_of_ours_does_not_reach_it(name: str) -> None:
    row = payloads.parse_row(schema.transactions, {**TRANSACTION, name: "x"})
    assert row["extra"] == {name: "x"}
    assert "removed_at" not in row
    assert row["transaction_id"] == TRANSACTION["id"]


def test_unknown_enum_values_pass() -> None:
    for table in TABLES:
        for column in table.columns:
            if column.info.get("vocabulary"):
                row = payloads.parse_row(table, {**GOOD[table.name], column.info["api"]: "Brand New"})
                assert row[column.name] == "Brand New"


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1),
        st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    )
)
def test_every_field_of_a_payload_is_in_its_row_somewhere(more: Payload) -> None:
    known = {column.info["api"] for column in schema.transactions.columns}
    more = {key: value for key, value in more.items() if key not in known and not key.endswith("-effect")}
    extra = payloads.parse_row(schema.transactions, {**TRANSACTION, **more})["extra"]
    assert (extra or {}) == {key: value for key, value in more.items() if value is not None}


# --- what is rejected, and why


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_missing_required_field_is_rejected_by_its_name(table: sa.Table) -> None:
    for column in table.columns:
        if column.info["api"] and not column.nullable:
            field = column.info["api"]
            without = {key: value for key, value in GOOD[table.name].items() if key != field}
            for payload in (without, {**without, field: None}):
                assert reason(table, payload) == f"{field} is missing"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_value_of_the_wrong_shape_is_rejected_by_its_field(table: sa.Table) -> None:
    for column in table.columns:
        field = column.info["api"]
        if field and not isinstance(column.type, sa.JSON):
            shapes: list[Any] = [{}, {"a": 1}, [], [1], [[]]]
            for bad in shapes:
                assert reason(table, {**GOOD[table.name], field: bad}).startswith(f"{field}: ")


@pytest.mark.parametrize("effect", [None, "None", "credit", "", 1, True, {}, {"Debit": 1}, [], ["Debit"]])
def test_an_amount_without_a_certain_sign_is_rejected_by_its_field(effect: Any) -> None:
    assert reason(schema.transactions, transaction(value_effect=effect)).startswith("value: ")
    without = {key: value for key, value in TRANSACTION.items() if key != "value-effect"}
    assert reason(schema.transactions, without).startswith("value: ")


def test_a_contradicted_sign_is_rejected() -> None:
    assert "no certain sign" in reason(schema.transactions, transaction(value="-450.0"))
    row = payloads.parse_row(schema.transactions, transaction(value="-450.0", value_effect="Debit"))
    assert row["value"] == -450


@pytest.mark.parametrize("bad", ["a\x00b", ["\ud800"], {"\x00": 1}, Decimal("1E+99999")])
def test_an_unknown_field_that_cannot_be_stored_is_rejected_by_its_name(bad: Any) -> None:
    assert reason(schema.transactions, transaction(new_field=bad)).startswith("'new-field' (a field without a column)")


def test_a_field_that_is_nested_beyond_reason_is_rejected_by_its_name() -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    assert "nested deeper" in reason(schema.transactions, transaction(new_field=deep))
    assert reason(schema.transactions, transaction(lots=deep)).startswith("lots: ")
    assert reason(schema.transactions, transaction(symbol=deep)).startswith("symbol: ")
    assert reason(schema.transactions, transaction(value_effect=deep)).startswith("value: ")


def test_an_unknown_field_with_an_impossible_name_is_rejected_in_few_words() -> None:
    for name in ("\x00", "\ud800", "x" * 1_000_000 + "\x00"):
        told = reason(schema.transactions, {**TRANSACTION, name: 1})
        assert "a field without a column" in told
        assert len(told.encode()) < 200


def test_what_is_rejected_keeps_payload_key_and_day() -> None:
    bad: Payload = transaction(price="1.0.0")
    assert payloads.parse(schema.transactions, [bad]).rejected == (
        payloads.Rejected(bad, "price: '1.0.0' is not a decimal", "275000001", date(2024, 12, 2)),
    )
    bad = {**SNAPSHOT, "cash-balance": "?"}
    rejected = payloads.parse(schema.balance_snapshots, [bad]).rejected[0]
    assert (rejected.row_key, rejected.day) == ("5WT00001 USD 2023-07-28 EOD", date(2023, 7, 28))
    rejected = payloads.parse(schema.transactions, [transaction(id="x", transaction_date=7)]).rejected[0]
    assert (rejected.row_key, rejected.day) == (None, None)


def test_one_bad_row_never_affects_the_others() -> None:
    bad: list[Payload] = [{}, transaction(id=None), transaction(value="NaN"), transaction(new="\x00")]
    mixed = [bad[0], TRANSACTION, bad[1], transaction(id=2), bad[2], bad[3], transaction(id=3)]
    parsed = payloads.parse(schema.transactions, mixed)
    assert [row["transaction_id"] for row in parsed.rows] == [275_000_001, 2, 3]
    assert [rejected.payload for rejected in parsed.rejected] == bad
    assert parsed.table == payloads.parse(schema.transactions, [TRANSACTION, mixed[3], mixed[6]]).table


def test_equal_payloads_are_rows_of_their_own() -> None:
    assert len(payloads.parse(schema.transactions, [TRANSACTION, transaction(id=2)]).rows) == 2


def test_nothing_gives_nothing() -> None:
    parsed = payloads.parse(schema.transactions, [])
    assert (parsed.rows, parsed.rejected, parsed.left_out) == ([], (), 0)
    assert parsed.table.schema == payloads.parse(schema.transactions, [TRANSACTION]).table.schema


# --- keys and accounts


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_payloads_key_is_its_rows_key(table: sa.Table) -> None:
    good = GOOD[table.name]
    key = payloads.key_of(table, payloads.parse_row(table, good))
    assert payloads.key_of_payload(table, good) == key
    rest = {column.info["api"] for column in table.columns} - {
        column.info["api"] for column in table.primary_key.columns
    }
    spoiled = {field: [] if field in rest else value for field, value in good.items()}
    assert payloads.key_of_payload(table, spoiled) == key, "a bad field beside the key"


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_payload_with_a_bad_key_has_none(table: sa.Table) -> None:
    assert payloads.key_of_payload(table, {}) is None
    for column in table.primary_key.columns:
        shapes: list[Any] = [None, {}, ["x"], "\x00"]
        for bad in shapes:
            assert payloads.key_of_payload(table, {**GOOD[table.name], column.info["api"]: bad}) is None


def test_an_id_is_the_same_key_as_a_number_and_as_text() -> None:
    assert payloads.key_of_payload(schema.transactions, transaction(id="7")) == (7,)
    assert payloads.key_of_payload(schema.transactions, transaction(id=7)) == (7,)


def test_an_account_is_lifted_out_of_its_item() -> None:
    item = {"account": ACCOUNT, "authority-level": "read-only", "new": 1}
    row = payloads.parse_row(schema.accounts, payloads.account_payload(item))
    assert (row["account_number"], row["extra"]) == ("5WT00001", {"new": 1})
    assert set(item) == {"account", "authority-level", "new"}


def test_what_a_login_may_do_is_told_apart_from_the_account() -> None:
    item = {"account": ACCOUNT, "authority-level": "read-only", "new": 1}
    assert payloads.listing_payload(item) == {"account-number": "5WT00001", "authority-level": "read-only"}


@pytest.mark.parametrize("item", [{}, {"account": None}, {"account": []}, {"account": "5WT1", "authority-level": "x"}])
def test_an_item_without_its_account_is_rejected_whole(item: Payload) -> None:
    parsed = payloads.parse(schema.accounts, [payloads.account_payload(item)])
    assert [(bad.payload, bad.reason) for bad in parsed.rejected] == [(item, "account-number is missing")]


def test_an_account_that_is_not_wrapped_is_taken() -> None:
    assert payloads.parse_row(schema.accounts, payloads.account_payload(ACCOUNT))["nickname"] == "Trading"


@pytest.mark.parametrize(("status", "text"), [(False, "false"), (True, "true"), ("Pattern", "Pattern")])
def test_the_day_trader_status_is_text_whatever_its_type(status: Any, text: str) -> None:
    assert payloads.parse_row(schema.accounts, {**ACCOUNT, "day-trader-status": status})["day_trader_status"] == text


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("description", 12, "12"),
        ("description", True, "true"),
        ("exec-id", Decimal("1.50"), "1.50"),
        ("lots", {"id": "a"}, {"id": "a"}),
        ("lots", True, True),
    ],
)
def test_what_comes_in_another_type_is_stored_and_stays_in_sight(field: str, value: Any, stored: Any) -> None:
    row = payloads.parse_row(schema.transactions, {**TRANSACTION, field: value})
    assert (row[field.replace("-", "_")], row["extra"]) == (stored, {field: value})


@pytest.mark.parametrize("day", ["0001-01-01", "1899-12-31", "2200-01-01", "9999-12-31"])
def test_a_day_that_no_history_has_is_no_day_of_a_row(day: str) -> None:
    (bad,) = payloads.parse(schema.transactions, [{**TRANSACTION, "transaction-date": day}]).rejected
    assert (bad.day, bad.reason) == (None, f"transaction-date: '{day}' is not a day of any history")


# --- whatever the API sends


SPICY = st.sampled_from(
    [
        *("", "NaN", "Infinity", "1_000", " 1.0", "1e999", "-0", "\x00", "\ud800", "Debit", "Zero", "true", "9" * 5000),
        *("2026-02-30", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-10:00", "2026-01-01T00:00:00"),
        *(10**30, -(10**30), 10**400, Decimal("1E+999999999"), Decimal("1E-999999999"), Decimal("0E+999999999")),
        [[[[[["deep"]]]]]],
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(st.characters()) | SPICY,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, table: sa.Table) -> Payload:
    """Spoil a good payload: fields of the table, and fields that nobody knows, get any JSON value or vanish."""
    fields = sorted(
        {column.info["api"] for column in table.columns if column.info["api"]}
        | {column.info["effect"] for column in table.columns if column.info.get("effect")}
    )
    payload = dict(GOOD[table.name])
    payload |= draw(st.dictionaries(st.sampled_from(fields) | st.text(st.characters(), max_size=8), JSON, max_size=4))
    for field in draw(st.lists(st.sampled_from(sorted(payload)), max_size=2)):
        payload.pop(field, None)
    return payload


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_any_payload_is_a_row_or_a_reject_and_nothing_is_raised(table: sa.Table) -> None:
    good = GOOD[table.name]
    row = payloads.parse_row(table, good)

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(mutated(table) | st.dictionaries(st.text(st.characters(), max_size=5), JSON, max_size=4))
    def holds(payload: Payload) -> None:
        before = copy.deepcopy(payload)
        parsed = payloads.parse(
            table, [good, payload, good], leave_out=lambda row: row.get("quantity_direction") == "Zero"
        )
        assert payload == before
        assert [parsed.rows[0], parsed.rows[-1]] == [row, row], "the neighbours load"
        assert len(parsed.rows) + len(parsed.rejected) + parsed.left_out == 3
        for bad in parsed.rejected:
            assert bad.payload is payload
            assert 0 < len(bad.reason.encode()) < 500, "a reason can be printed"
        for taken in parsed.rows:
            assert payloads.key_of(table, taken) is not None
        if not parsed.rejected:
            _holds_its_column(table, payloads.parse_row(table, payload))
        payloads.account_payload(payload)

    holds()


def _holds_its_column(table: sa.Table, row: payloads.Row) -> None:
    """Every value is exactly what its column can hold, in both databases."""
    for name, value in row.items():
        column = table.columns[name]
        assert value is not None or column.nullable
        if value is None or isinstance(column.type, sa.JSON):
            continue
        assert type(value) is column.type.python_type, name
        if isinstance(value, Decimal):
            assert value.is_finite()
            assert value.is_zero() or value.adjusted() < schema.PRECISION - schema.SCALE
        elif isinstance(value, datetime):
            assert value.tzinfo is UTC
        elif isinstance(value, str):
            assert "\x00" not in value
            value.encode()  # raises where UTF-8 cannot write it


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_what_json_says_is_what_the_row_holds(table: sa.Table) -> None:
    body = json.dumps(GOOD[table.name], default=str)
    row = payloads.parse_row(table, json.loads(body, parse_float=Decimal))
    expected = payloads.parse_row(table, GOOD[table.name])
    assert {**row, "lots": None} == {**expected, "lots": None}
