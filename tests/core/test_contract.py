"""The payload contract against its two sources: the official descriptions and the SDK's models.

Here belongs what compares lists of fields; what one payload becomes is in test_payloads.py. The descriptions are kept
as facts (names and formats) in official_fields.json; the SDK is looked at live, so that an upgrade shows what is new.
"""

import datetime as dt
import json
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel
from tastytrade.account import Account, AccountBalance, AccountBalanceSnapshot, CurrentPosition, Transaction
from tastytrade.order import InstrumentType, OrderAction
from tastytrade.utils import PriceEffect

from tasty_pipeline.core import schema, values, vocabulary
from tasty_pipeline.core.payloads import NO_COLUMN

OFFICIAL = json.loads((Path(__file__).parent / "official_fields.json").read_text())
SDK: Mapping[str, type[BaseModel]] = {
    "accounts": Account,
    "positions": CurrentPosition,
    "balances": AccountBalance,
    "balance_snapshots": AccountBalanceSnapshot,
    "transactions": Transaction,
}
TABLES = list(schema.MIRRORED)

OFFICIAL_TYPES: Mapping[str, type[sa.types.TypeEngine[Any]]] = {
    "string": sa.Text,
    "double": sa.Numeric,
    "int32": sa.BigInteger,
    "boolean": sa.Boolean,
    "date": sa.Date,
    "date-time": sa.DateTime,
    "object": sa.JSON,
}
SDK_TYPES: Mapping[type, type[sa.types.TypeEngine[Any]]] = {
    str: sa.Text,
    Decimal: sa.Numeric,
    int: sa.BigInteger,
    bool: sa.Boolean,
    dt.date: sa.Date,
    dt.datetime: sa.DateTime,
    list: sa.JSON,
}
# (table, field) -> why the column's type is not the one that this source names
NOT_THE_OFFICIAL_TYPE = {
    ("accounts", "is-foreign"): "described as a string; answers and the SDK have a boolean",
    ("accounts", "external-accounts"): "described as a string; the name is a plural, so that any shape is kept",
    ("positions", "quantity"): "described as an object; answers and the SDK have a decimal",
    ("positions", "restricted-quantity"): "described as an object; the SDK has a decimal",
}
NOT_THE_SDKS_TYPE = {
    ("accounts", "closed-at"): "the SDK leaves it as text; it is described as a time",
    ("accounts", "day-trader-status"): "the SDK takes text or a boolean; text holds both",
}
_BALANCE_ONLY = "described for the balance alone; the two tables share their columns, should a snapshot carry it"
# (table, field) -> why there is a column for a field that neither source knows
IN_NO_SOURCE = {
    ("balance_snapshots", field): _BALANCE_ONLY
    for field in (
        "apex-starting-day-margin-equity",
        "buying-power-adjustment",
        "effective-cryptocurrency-buying-power",
        "futures-intraday-margin-requirement",
        "futures-overnight-margin-requirement",
        "long-index-derivative-value",
        "maintenance-excess",
        "pending-margin-interest",
        "reg-t-margin-requirement",
        "short-index-derivative-value",
        "total-pending-liquidity-pool-rebate",
        "updated-at",
    )
}
# (table, field) -> why its absence is drift although the SDK's model does not require it
EXPECTED_WITHOUT_THE_SDK = {
    ("balances", "currency"): "the SDK drops it; part of the key",
    ("balance_snapshots", "currency"): "the SDK drops it; part of the key",
    ("balance_snapshots", "time-of-day"): "part of the key; only the current balance has none, and is no snapshot",
}


def official(table: str) -> dict[str, str]:
    """Return field -> format; fields of the object that wraps an account are its own fields again."""
    fields: dict[str, str] = {}
    for entry in OFFICIAL:
        if entry["table"] == table:
            fields |= {name.removeprefix("account."): kind for name, kind in entry["fields"].items()}
    return fields


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, None left out."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        for part in typing.get_args(annotation):
            yield from _kinds(part)
    elif annotation is not type(None):
        yield annotation


def _nested(annotation: Any) -> Iterator[type[BaseModel]]:
    for kind in _kinds(annotation):
        for part in (kind, *typing.get_args(kind)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield part


def sdk_fields(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Return field -> annotation of a model and of the models inside it."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        key = prefix + (info.alias or name).replace("_", "-")
        fields[key] = info.annotation
        for inner in _nested(info.annotation):
            fields |= sdk_fields(inner, f"{key}.")
    return fields


def columns(table: str) -> dict[str, sa.Column[Any]]:
    return {column.info["api"]: column for column in schema.MIRRORED[table].columns if column.info["api"]}


@pytest.mark.parametrize("table", TABLES)
def test_every_official_field_has_a_column_or_a_named_reason(table: str) -> None:
    assert official(table), "the descriptions are there"
    assert set(official(table)) - set(columns(table)) - set(NO_COLUMN[table]) == set()


@pytest.mark.parametrize("table", TABLES)
def test_every_field_of_the_sdks_model_has_a_column_or_a_named_reason(table: str) -> None:
    assert set(sdk_fields(SDK[table])) - set(columns(table)) - set(NO_COLUMN[table]) == set()


@pytest.mark.parametrize("table", TABLES)
def test_every_column_comes_from_a_source_or_is_named_here(table: str) -> None:
    unknown = set(columns(table)) - set(official(table)) - set(sdk_fields(SDK[table]))
    assert unknown == {field for name, field in IN_NO_SOURCE if name == table}


@pytest.mark.parametrize("table", TABLES)
def test_no_reason_outlives_its_field(table: str) -> None:
    unneeded = set(NO_COLUMN[table]) - set(official(table)) - set(sdk_fields(SDK[table]))
    # a snapshot's own description lacks the sign of an amount that only the balance's has
    assert unneeded == ({"buying-power-adjustment-effect"} if table == "balance_snapshots" else set()) | (
        {"account"} - set(official(table)) if table == "accounts" else set()
    )
    assert set(NO_COLUMN[table]).isdisjoint(columns(table))
    assert all(reason.strip() for reason in NO_COLUMN[table].values())


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_the_type_that_the_descriptions_name(table: str) -> None:
    wrong = {
        (table, field)
        for field, kind in official(table).items()
        if (column := columns(table).get(field)) is not None and not isinstance(column.type, OFFICIAL_TYPES[kind])
    }
    assert wrong == {pair for pair in NOT_THE_OFFICIAL_TYPE if pair[0] == table}


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_the_type_that_the_sdk_parses(table: str) -> None:
    wrong = set()
    for field, annotation in sdk_fields(SDK[table]).items():
        column = columns(table).get(field)
        for kind in _kinds(annotation) if column is not None else ():
            plain = typing.get_origin(kind) or (str if issubclass(kind, StrEnum) else kind)
            # a bool is no BIGINT and a date no time: look up the very type, not its ancestors
            if not isinstance(column.type, SDK_TYPES[plain]):  # type: ignore[union-attr]
                wrong.add((table, field))
    assert wrong == {pair for pair in NOT_THE_SDKS_TYPE if pair[0] == table}


@pytest.mark.parametrize("table", TABLES)
def test_expected_columns_are_the_sdks_required_fields(table: str) -> None:
    required = {name.replace("_", "-") for name, info in SDK[table].model_fields.items() if info.is_required()}
    expected = {field for field, column in columns(table).items() if column.info["expected"]}
    assert expected - required == {field for name, field in EXPECTED_WITHOUT_THE_SDK if name == table}
    assert required <= expected


def test_what_a_login_may_do_is_expected_beside_each_account_of_the_list() -> None:
    """The SDK drops it."""
    fields = {column.info["api"]: column.info["expected"] for column in schema.connection_accounts.columns}
    assert {field: expected for field, expected in fields.items() if field} == {
        "account-number": True,
        "authority-level": True,
    }
    assert "authority-level" in official("accounts")


@pytest.mark.parametrize("table", TABLES)
def test_every_effect_is_a_field_of_the_descriptions(table: str) -> None:
    effects = [column.info["effect"] for column in columns(table).values() if column.info.get("effect")]
    known = set(official(table)) | (set(official("balances")) if table == "balance_snapshots" else set())
    assert set(effects) <= known
    assert len(effects) == len(set(effects)), "one effect is the sign of one amount"


@pytest.mark.parametrize("table", TABLES)
def test_every_effect_is_the_sign_of_an_amount_or_a_column(table: str) -> None:
    described = {field for field in official(table) if field.endswith("-effect")}
    assert described <= set(NO_COLUMN[table]) | {"cost-effect"}


@pytest.mark.parametrize("table", TABLES)
def test_what_the_sdk_signs_by_an_effect_is_signed_here_by_the_same(table: str) -> None:
    """The SDK declares no effects; what its constructor turns negative for a Debit shows them."""
    found = {}
    for field, column in columns(table).items():
        name = field.replace("-", "_")
        if not isinstance(column.type, sa.Numeric) or name not in SDK[table].model_fields:
            continue
        for effect in (f"{field}-effect", f"{field.removesuffix('-amount')}-effect"):
            if getattr(SDK[table](**{**SAMPLES[table], field: "1.5", effect: "Debit"}), name) == Decimal("-1.5"):
                found[field] = effect
    assert found or table == "accounts"
    assert found.items() <= {field: column.info.get("effect") for field, column in columns(table).items()}.items()


def _sample(model: type[BaseModel]) -> dict[str, Any]:
    made: dict[type, Any] = {
        str: "x",
        Decimal: "0.0",
        int: 1,
        bool: False,
        dt.date: "2026-01-02",
        dt.datetime: "2026-01-02T15:00:00Z",
        InstrumentType: "Equity",
    }
    return {
        name.replace("_", "-"): made[next(_kinds(info.annotation))]
        for name, info in model.model_fields.items()
        if info.is_required()
    }


SAMPLES = {table: _sample(model) for table, model in SDK.items()}


def test_vocabularies_are_the_sdks_enumerations() -> None:
    assert {item.value for item in InstrumentType} == vocabulary.INSTRUMENT_TYPES
    # the broker's documentation has it, and one such row makes the SDK refuse the whole answer
    assert vocabulary.ACTIONS - {item.value for item in OrderAction} == {"Allocate"}
    assert {item.value for item in OrderAction} <= vocabulary.ACTIONS


def test_the_sign_of_every_known_action_is_the_sdks() -> None:
    assert frozenset(item.value for item in OrderAction if item.value.startswith("Buy")) == values.BOUGHT
    assert frozenset(item.value for item in OrderAction if item.value.startswith("Sell")) == values.SOLD
    assert values.BOUGHT | values.SOLD | {"Allocate"} == vocabulary.ACTIONS


def test_the_effects_are_the_sdks() -> None:
    assert {effect.value for effect in PriceEffect} == {"Credit", "Debit", "None"}
    for effect in PriceEffect:
        assert values.signed("0", effect.value) == 0


@pytest.mark.parametrize("table", schema.METADATA.tables.values(), ids=lambda table: table.name)
def test_every_table_and_column_has_a_comment_and_a_known_origin(table: sa.Table) -> None:
    assert table.comment
    for column in table.columns:
        assert column.comment, column.name
        assert set(column.info) >= {"api", "expected"}, column.name


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_parser_and_no_two_read_the_same_field(table: str) -> None:
    fields = [column.info["api"] for column in schema.MIRRORED[table].columns if column.info["api"]]
    assert len(fields) == len(set(fields))
    for column in schema.MIRRORED[table].columns:
        assert callable(values.parser_of(column.type))


def test_a_column_type_without_a_parser_is_an_error() -> None:
    with pytest.raises(TypeError):
        values.parser_of(sa.Interval())


def test_net_value_is_value_and_every_signed_amount_but_the_two() -> None:
    signed = {column.name for column in schema.transactions.columns if column.info.get("effect")}
    assert signed == {"value", "net_value", *schema.FEES}


def test_the_key_does_not_make_a_row_changed() -> None:
    for table in schema.MIRRORED.values():
        left = {*schema.key_of(table), "synced_at", "run_id"}
        assert set(schema.compared(table)) == {column.name for column in table.columns} - left
