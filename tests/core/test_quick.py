"""The quick path reads what the judge would, exactly, or leaves the page to it.

Here belongs what is said of rows; what is said of the answer around them is in test_quick_answers.py.
"""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from tasty_pipeline.core import payloads, quick, schema
from tasty_pipeline.core.values import BOUGHT, SOLD
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from .pages import ACCOUNT, Page, Raw, judged, odd, ordinary, put, raw
from .test_payloads import SNAPSHOT, TRANSACTION

TABLES = [schema.transactions, schema.balance_snapshots]
NOW = datetime.fromisoformat("2026-11-20T21:00:00-05:00")
FIRST, LAST = date(2026, 6, 1), date(2026, 11, 19)
LOT: dict[str, Any] = {
    "id": "L1",
    "transaction-id": 275_000_000,
    "transaction-date": "2024-12-01",
    "executed-at": "2024-12-01T14:30:00.123+00:00",
    "quantity": "2.0",
    "quantity-direction": "Long",
    "price": "4.50",
}
GOOD: dict[str, Raw] = {
    "transactions": raw({**TRANSACTION, "lots": [LOT]}),
    "balance_snapshots": raw(SNAPSHOT),
}
MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def spoilt(key: str, value: str, table: sa.Table = schema.transactions) -> bytes:
    """Spell a page of five good rows of which the fourth has another raw value in one field."""
    good = GOOD[table.name]
    return Page([good] * 5).with_row(3, put(good, key, value)).body()


def agrees(table: sa.Table, body: bytes) -> bool:
    """Say whether the quick path took the page; fail if it is not then what the judge makes of it."""
    found = quick.read(table, body, ACCOUNT)
    if found is None:
        return False
    expected = judged(table, body)
    assert expected is not None, "the judge refuses some of it"
    assert found.rows.schema == expected.rows.schema
    assert found.rows == expected.rows
    assert (found.total, found.offset, found.size, found.count) == expected.counts
    found.rows.validate(full=True)
    return True


# --- the two paths give the same rows


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_ordinary_pages_are_read_as_the_judge_reads_them(table: sa.Table) -> None:
    @MANY
    @given(ordinary(table))
    def holds(page: Page) -> None:
        assert agrees(table, page.body())

    holds()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_odd_pages_are_read_as_the_judge_reads_them_or_not_at_all(table: sa.Table) -> None:
    @MANY
    @given(odd(table))
    def holds(body: bytes) -> None:
        agrees(table, body)

    holds()


def test_a_page_has_the_columns_that_a_payload_fills() -> None:
    body = Page([GOOD["transactions"]], {"page-offset": 3, "total-items": 7001}).body()
    found = quick.read(schema.transactions, body, ACCOUNT)
    assert found is not None
    assert tuple(found.rows.column_names) == schema.content(schema.transactions)
    assert (found.total, found.offset, found.size, found.count) == (7001, 3, 2000, 1)
    row = found.rows.to_pylist()[0]
    assert (row["quantity"], row["value"], row["commission"]) == (-2, 450, Decimal("-2.5"))
    assert row["lots"] == json.dumps([LOT], separators=(",", ":"), sort_keys=True)
    assert row["extra"] is None


def test_an_empty_page_has_no_rows() -> None:
    found = quick.read(schema.transactions, Page([]).body(), ACCOUNT)
    assert found is not None
    assert (found.rows.num_rows, found.total) == (0, 0)
    assert tuple(found.rows.column_names) == schema.content(schema.transactions)


@pytest.mark.parametrize("action", [*sorted(BOUGHT | SOLD), "Allocate", None])
def test_a_quantity_is_signed_as_the_judge_signs_it(action: str | None) -> None:
    for quantity in ("2.0", "0.0", None):
        row = put(put(GOOD["transactions"], "action", json.dumps(action)), "quantity", json.dumps(quantity))
        assert agrees(schema.transactions, Page([row]).body())


@pytest.mark.parametrize(
    ("value", "effect"),
    [
        *(("4.5", '"Debit"'), ("4.5", '"Credit"'), ("-4.5", '"Debit"'), ("0.0", '"Debit"'), ("-0.0", '"Debit"')),
        *(("0.0", '"Credit"'), ("0", '"None"'), ("0", "null"), ("-0.00", "null")),
    ],
)
def test_a_certain_sign_is_the_judges(value: str, effect: str) -> None:
    row = put(put(GOOD["transactions"], "value", json.dumps(value)), "value-effect", effect)
    assert agrees(schema.transactions, Page([row, GOOD["transactions"]]).body())


@pytest.fixture(scope="module")
def brokerage() -> Iterator[Simulator]:
    """A simulated half a year with everything that its traders do."""
    with serve(SimulatorConfig(now=NOW, start=FIRST)) as simulator:
        yield simulator


def test_the_simulators_pages_are_nearly_all_taken(brokerage: Simulator) -> None:
    login = {"grant_type": "refresh_token", "client_secret": brokerage.client_secret}
    with httpx2.Client(base_url=brokerage.url, timeout=60) as client:
        token = client.post("/oauth/token", json=login | {"refresh_token": brokerage.refresh_token}).json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        taken: Counter[bool] = Counter()
        kinds: set[str] = set()
        lots = 0
        for account in ("5WT00701", "5WT00702", "5WT00703", "5WT00704"):
            for path, table in (("transactions", TABLES[0]), ("balance-snapshots", TABLES[1])):
                for body in pages(client, f"/accounts/{account}/{path}", table):
                    found = quick.read(table, body, account)
                    taken[found is not None] += 1
                    items = json.loads(body, parse_float=Decimal)["data"]["items"]
                    assert found is None or found.rows == payloads.parse(table, items).table
                    kinds |= {row.get("transaction-sub-type", "") for row in items}
                    lots += sum("lots" in row for row in items)
    assert taken[True] > 100
    assert taken[False] <= 0.02 * taken.total()
    assert len(kinds) > 15
    assert lots > 5


def pages(client: httpx2.Client, path: str, table: sa.Table) -> Iterator[bytes]:
    """Read a list in small pages; snapshots up to yesterday, without the balance of this moment."""
    for time_of_day in ("BOD", "EOD") if table is schema.balance_snapshots else (None,):
        asked: dict[str, Any] = {"per-page": 25, "page-offset": 0}
        asked |= {"start-date": FIRST.isoformat(), "end-date": LAST.isoformat()}
        asked |= {"time-of-day": time_of_day} if time_of_day else {}
        while True:
            body = client.get(path, params=asked).content
            yield body
            asked["page-offset"] += 1
            if asked["page-offset"] * 25 >= json.loads(body)["pagination"]["total-items"]:
                break


# --- a page whose one value is odd goes to the judge whole


@pytest.mark.parametrize("text", [".5", "1.", "-.5", "+1", "1e3", "1E-3", "1.e5", "", "NaN", " 1", "1_0", "٣"])
@pytest.mark.parametrize("key", ["price", "value"])
def test_a_number_that_is_not_plain_digits_goes_to_the_judge(key: str, text: str) -> None:
    assert quick.read(schema.transactions, spoilt(key, json.dumps(text)), ACCOUNT) is None


@pytest.mark.parametrize(
    "text", [f"1.{'0' * 58}", f"1.{'0' * 5000}", f"0.{'0' * 12}1", "9" * 27, "9" * 36, "9" * 39, f"{'0' * 60}1"]
)
def test_a_number_of_too_many_digits_goes_to_the_judge(text: str) -> None:
    assert quick.read(schema.transactions, spoilt("price", json.dumps(text)), ACCOUNT) is None


@pytest.mark.parametrize("key", ["executed-at", "created-at"])
@pytest.mark.parametrize(
    "text",
    [
        *("2023-07-28T21:00:00", "2023-07-28T21:00Z", "2023-07-28T21Z", "2023-07-28T21:00:00.1234567Z", "2023-07-28"),
        *("2023-02-30T00:00:00Z", "2023-07-28T24:00:00Z", "2023-07-28T21:00:00z", "2023-07-28T21:00:00+24:00", ""),
    ],
)
def test_a_time_that_is_not_spelled_whole_goes_to_the_judge(key: str, text: str) -> None:
    assert quick.read(schema.transactions, spoilt(key, json.dumps(text)), ACCOUNT) is None


@pytest.mark.parametrize("key", ["transaction-date", "cost-basis-reconciliation-date"])
@pytest.mark.parametrize("text", ["2023-02-30", "2023-7-28", "20230728", "2023-07-28T00:00:00Z", " 2023-07-28", ""])
def test_a_day_that_is_none_goes_to_the_judge(key: str, text: str) -> None:
    assert quick.read(schema.transactions, spoilt(key, json.dumps(text)), ACCOUNT) is None


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *(("transaction-date", "0000-01-01"), ("executed-at", "0000-01-01T00:00:00Z")),
        *(("executed-at", "0001-01-01T00:00:00+05:00"), ("executed-at", "0000-12-31T23:59:59-12:00")),
        ("executed-at", "9999-12-31T23:59:59-10:00"),
    ],
)
def test_years_that_python_does_not_know_go_to_the_judge(key: str, text: str) -> None:
    assert quick.read(schema.transactions, spoilt(key, json.dumps(text)), ACCOUNT) is None


@pytest.mark.parametrize(
    ("value", "effect"),
    [
        *(("4.5", "null"), ("4.5", '"None"'), ("4.5", '"credit"'), ("4.5", '""'), ("0.0", '"Dbit"'), ("4.5", "true")),
        *(("-4.5", '"Credit"'), ("-4.5", '"None"'), ("-4.5", "null")),
    ],
)
def test_an_amount_without_a_certain_sign_goes_to_the_judge(value: str, effect: str) -> None:
    good = GOOD["transactions"]
    for key in ("value", "commission"):
        row = put(put(good, key, json.dumps(value)), f"{key}-effect", effect)
        assert quick.read(schema.transactions, Page([good, row]).body(), ACCOUNT) is None


@pytest.mark.parametrize("effect", ['"Debit"', '"Credit"', '"None"'])
def test_an_effect_without_its_amount_goes_to_the_judge(effect: str) -> None:
    """It belongs into `extra`."""
    assert quick.read(schema.transactions, spoilt("other-charge-effect", effect), ACCOUNT) is None


def test_a_negative_quantity_goes_to_the_judge() -> None:
    assert quick.read(schema.transactions, spoilt("quantity", '"-2.0"'), ACCOUNT) is None


@pytest.mark.parametrize("value", ['"x"', "null", "0", "{}"])
def test_a_field_without_a_column_goes_to_the_judge(value: str) -> None:
    assert quick.read(schema.transactions, spoilt("new-field", value), ACCOUNT) is None


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_missing_required_field_goes_to_the_judge(table: sa.Table) -> None:
    required = {column.info["api"] for column in table.columns if column.info["api"] and not column.nullable}
    for key in required:
        assert quick.read(table, spoilt(key, "null", table), ACCOUNT) is None
        without = [pair for pair in GOOD[table.name] if pair[0] != json.dumps(key)]
        assert quick.read(table, Page([without]).body(), ACCOUNT) is None


@pytest.mark.parametrize("number", ['"5WT00002"', '""', '" 5WT00001"', "500001"])
def test_a_row_of_another_account_goes_to_the_judge(number: str) -> None:
    assert quick.read(schema.transactions, spoilt("account-number", number), ACCOUNT) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("id", '"7"'), ("id", "7.0"), ("id", "7e2"), ("id", "9223372036854775808"), ("leg-count", "true")),
        *(("is-estimated-fee", '"true"'), ("is-estimated-fee", "1"), ("symbol", "5"), ("symbol", "{}")),
        *(("quantity", "2"), ("executed-at", "1690578000000"), ("transaction-date", "[]"), ("lots", '"x"')),
    ],
)
def test_a_value_of_another_json_type_goes_to_the_judge(key: str, value: str) -> None:
    assert quick.read(schema.transactions, spoilt(key, value), ACCOUNT) is None


@pytest.mark.parametrize(
    "value", [r'"a\u0000b"', r'"\ud800"', r'"\udc00"', r'"\ud83dx"', '"a\x00b"', '"a\x01b"', '"\ud800"']
)
def test_a_text_that_no_column_can_hold_goes_to_the_judge(value: str) -> None:
    assert quick.read(schema.transactions, spoilt("description", value), ACCOUNT) is None


def test_bytes_that_are_no_utf8_go_to_the_judge() -> None:
    body = spoilt("description", '"here"').replace(b"here", b"h\xe9re")
    assert quick.read(schema.transactions, body, ACCOUNT) is None
    assert agrees(schema.transactions, spoilt("description", '"hére 😀 \\ud83d\\ude00 \\\\ \\/"'))


@pytest.mark.parametrize("more", [("id", "275000001"), ("id", "null"), ("lots", "null"), ("order-id", "5")])
def test_a_key_that_occurs_twice_goes_to_the_judge(more: tuple[str, str]) -> None:
    row = [*put(GOOD["transactions"], "order-id", "null"), (json.dumps(more[0]), more[1])]
    assert quick.read(schema.transactions, Page([row]).body(), ACCOUNT) is None


@pytest.mark.parametrize(
    "lots", [[None], [{}], [LOT, {**LOT, "price": None}], [{**LOT, "new": 1}], [{**LOT, "price": 4.5}]]
)
def test_a_lot_that_is_not_whole_goes_to_the_judge(lots: list[Any]) -> None:
    assert quick.read(schema.transactions, spoilt("lots", json.dumps(lots)), ACCOUNT) is None


def test_no_lots_are_an_empty_list_or_nothing() -> None:
    for value in ("[]", "null"):
        assert agrees(schema.transactions, spoilt("lots", value))


def test_a_row_that_is_null_goes_to_the_judge() -> None:
    for rows in ("null", "{0},null", "null,{0}"):
        good = Page([GOOD["transactions"]]).body()
        row = good[len(b'{"data":{"items":[') : good.index(b']},"api-version"')].decode()
        body = good.replace(row.encode(), rows.replace("{0}", row).encode())
        assert quick.read(schema.transactions, body, ACCOUNT) is None


def test_the_fields_of_a_lot_are_those_that_are_known_of_it() -> None:
    known = {key.removeprefix("lots.") for key in payloads.NO_COLUMN["transactions"] if key.startswith("lots.")}
    assert known == set(LOT)
    assert agrees(schema.transactions, spoilt("lots", json.dumps([LOT, LOT])))
