"""An answer of the wrong shape is an error, never an empty list."""

from collections.abc import Callable
from typing import Any

import pytest

from tasty_pipeline.core.broker import BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import (
    ConfigurationError,
    ContractError,
    IncompleteAnswerError,
    TastyError,
)

from .loopback import Answer, data, loopback

pytestmark = pytest.mark.anyio
Config = Callable[..., BrokerConfig]


PAGINATION = {"total-items": 0, "page-offset": 0, "per-page": 2000, "current-item-count": 0}


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"data": null}', IncompleteAnswerError, "holds no data"),
        (b'{"context": "/x"}', IncompleteAnswerError, "holds no data"),
        (b'{"data": {}}', IncompleteAnswerError, "no list of items"),
        (b'{"data": {"items": null}}', IncompleteAnswerError, "no list of items"),
        (b'{"data": []}', ContractError, "is a list, not an object with items"),
        (b'{"data": {"items": {}}}', ContractError, "an object, not a list"),
        (b'{"data": {"items": [1]}}', ContractError, "a number, not an object"),
        (b'{"data": {"items": [{"a": NaN}]}}', ContractError, "NaN is not a number"),
        (b'{"data": {"items": [{"a": -Infinity}]}}', ContractError, "-Infinity is not a number"),
        (b'{"data": {"items": [{"a": 1, "a": 2}]}}', ContractError, "a key occurs twice"),
        (b'{"data": {"items": ["\xff"]}}', ContractError, "not UTF-8"),
        (b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ContractError, "nested too deeply"),
        (b'{"brace": "{", "data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ContractError, "nested too deeply"),
        (b'{"data": {"items": [{"a": ' + b"[" * 120 + b"]" * 120 + b"}]}}", ContractError, "nested too deeply"),
        (b'{"data": {"items": [' + b"9" * 5000 + b"]}}", ContractError, "not the JSON of the API"),
        (b'{"data"; {}}', ContractError, "not the JSON of the API"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
async def test_an_answer_of_the_wrong_shape_is_never_an_empty_one(
    body: bytes, kind: type[TastyError], says: str, credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(lambda _: Answer(body)) as server,
        connect(credentials, config(server.url, retry_budget_seconds=0.0)) as broker,
    ):
        for question in (broker.positions("A1"), broker.accounts(), broker.count_transactions("A1")):
            with pytest.raises(kind, match=says):
                await question


@pytest.mark.parametrize(
    "pagination",
    [
        None,
        {},
        PAGINATION | {"total-items": "0"},
        PAGINATION | {"total-items": -1},
        PAGINATION | {"total-items": None},
        PAGINATION | {"per-page": 0},
        PAGINATION | {"page-offset": True},
    ],
)
async def test_a_page_that_does_not_say_how_many_rows_there_are_is_refused(
    pagination: Any, credentials: Credentials, config: Config
) -> None:
    page = data({"items": []}, pagination=pagination)
    async with loopback(transactions=[page]) as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(ContractError, match="pagination"):
            await broker.count_transactions("A1")


async def test_a_list_that_pages_one_day_is_not_taken_for_whole(credentials: Credentials, config: Config) -> None:
    item = {"account-number": "A1", "symbol": "SPY"}
    paged = PAGINATION | {"total-items": 2, "current-item-count": 1}
    async with (
        loopback(positions=[data({"items": [item]}, pagination=paged)]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        with pytest.raises(IncompleteAnswerError, match="1 of 2 rows"):
            await broker.positions("A1")


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([{"account": {"account-number": "A1"}}, {"account": {"account-number": "A1"}}], IncompleteAnswerError),
        ([{"account": {}}], ContractError),
        ([{"account-number": "A1"}], ContractError),
    ],
)
async def test_accounts_without_a_number_or_with_the_same_are_refused(
    items: Any, kind: type[TastyError], credentials: Credentials, config: Config
) -> None:
    async with (
        loopback(accounts=[data({"items": items})]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        with pytest.raises(kind):
            await broker.accounts()


async def test_balances_may_be_a_bare_list(credentials: Credentials, config: Config) -> None:
    row = {"account-number": "A1", "currency": "USD", "cash-balance": "1.10"}
    async with (
        loopback(balances=[data([row]), data({"something": 1}), data("x")]) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        assert await broker.balances("A1") == [row]
        with pytest.raises(IncompleteAnswerError):
            await broker.balances("A1")
        with pytest.raises(ContractError):
            await broker.balances("A1")


@pytest.mark.parametrize("account", ["", "..", "A/B", "A1?x=1", "A 1", "A1\n", "ä"])
async def test_what_cannot_be_an_account_number_is_never_sent(
    account: str, credentials: Credentials, config: Config
) -> None:
    async with loopback() as server, connect(credentials, config(server.url)) as broker:
        with pytest.raises(ConfigurationError, match="is not an account number"):
            await broker.positions(account)
        assert server.asked == []


async def test_a_number_that_no_decimal_can_be_passes_as_text_for_the_contract_to_reject_with_its_row_alone(
    credentials: Credentials, config: Config
) -> None:
    body = b'{"data": {"items": [{"account-number": "A1", "quantity": 1e99999999999999999999}]}}'
    async with (
        loopback(lambda _: Answer(body)) as server,
        connect(credentials, config(server.url)) as broker,
    ):
        assert [row["quantity"] for row in await broker.positions("A1")] == ["1e99999999999999999999"]
