"""The HTTP surface: headers, tokens, envelopes, pages, filters, all over real HTTP."""

import threading
import time
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from conftest import MAIN, Client, Connect, Start

from tasty_pipeline.simulator import Simulator


def test_without_a_sane_user_agent_the_web_server_answers_html(client: Client) -> None:
    answer = client.http.get("/customers/me/accounts", headers={"User-Agent": "sneaky"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "text/html"
    assert "nginx" in answer.text


def test_an_unknown_version_is_a_406_with_an_integer_code(client: Client) -> None:
    answer = client.http.get("/customers/me/accounts", headers={"Accept-Version": "19990101"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (406, 406)
    assert client.http.get("/customers/me/accounts", headers={"Accept-Version": "20251101"}).status_code == 200


def test_the_sandbox_knows_no_version(start: Start, connect: Connect) -> None:
    client = connect(start(sandbox=True))
    assert client.http.get("/customers/me/accounts", headers={"Accept-Version": "20251101"}).status_code == 404


def test_a_bad_token_is_token_invalid(client: Client) -> None:
    client.http.headers["Authorization"] = "Bearer nonsense"
    answer = client.get("/customers/me/accounts")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_invalid")


def test_tokens_expire(start: Start, connect: Connect) -> None:
    client = connect(start(token_lifetime=0))
    assert client.get("/customers/me").status_code == 401


def test_expired_tokens_are_replaced_by_the_refresh_token_and_a_revoked_one_is_not(
    sim: Simulator, connect: Connect
) -> None:
    client = connect(sim)
    sim.brokerage.expire_tokens()
    assert client.get("/customers/me").status_code == 401
    client.refresh()
    assert client.get("/customers/me").status_code == 200
    sim.brokerage.revoke_grant()
    assert client.get("/customers/me").status_code == 401
    answer = client.http.post("/oauth/token", json=client.login)
    assert answer.status_code == 400
    assert answer.json() == {"error_code": "invalid_grant", "error_description": "Grant revoked"}
    assert (sim.brokerage.tokens.attempts, sim.brokerage.tokens.failures) == (3, 1)


def test_the_status_of_oauth_errors_is_configurable(start: Start, connect: Connect) -> None:
    client = connect(start(auth_error_status=401))
    answer = client.http.post("/oauth/token", json=client.login | {"refresh_token": "other"})
    assert (answer.status_code, answer.json()["error_description"]) == (401, "Invalid JWT")


def test_unknown_and_foreign_accounts(client: Client) -> None:
    assert client.get("/accounts/nobody/positions").status_code == 404
    answer = client.get("/accounts/5WX99999/transactions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_permitted")
    assert client.get(f"/accounts/{MAIN}/nonsense").status_code == 404
    assert client.get(f"/accounts/{MAIN}/transactions/1").status_code == 404


def test_pages_follow_each_other_without_gap(client: Client) -> None:
    whole = [row["id"] for row in client.rows()]
    paged = []
    for offset in range(100):
        answer = client.get(f"/accounts/{MAIN}/transactions", per_page=30, page_offset=offset).json()
        pagination = answer["pagination"]
        assert pagination["total-items"] == len(whole)
        assert pagination["total-pages"] == -(-len(whole) // 30)
        assert pagination["item-offset"] == 30 * offset
        assert pagination["current-item-count"] == len(answer["data"]["items"])
        paged += [row["id"] for row in answer["data"]["items"]]
        if offset + 1 >= pagination["total-pages"]:
            break
    assert paged == whole
    assert answer["context"] == f"/accounts/{MAIN}/transactions"


def test_too_large_a_page_and_bad_parameters_are_validation_errors(client: Client) -> None:
    for params in ({"per_page": 2001}, {"per_page": 0}, {"sort": "Up"}, {"start_date": "yesterday"},
                   {"type": "Trade", "types__": "Trade"}):  # fmt: skip
        answer = client.get(f"/accounts/{MAIN}/transactions", **params)
        assert answer.status_code == 400, params
        assert answer.json()["error"]["code"] == "validation_error"
        assert set(answer.json()["error"]["errors"][0]) == {"domain", "reason"}


@pytest.mark.parametrize("pages", [0, 1])
def test_an_empty_answer_has_as_many_pages_as_configured(start: Start, connect: Connect, pages: int) -> None:
    client = connect(start(total_pages_when_empty=pages))
    answer = client.get(f"/accounts/{MAIN}/transactions", symbol="NONE").json()
    assert answer["data"]["items"] == []
    assert (answer["pagination"]["total-items"], answer["pagination"]["total-pages"]) == (0, pages)


def test_field_filters_select_what_they_name(client: Client) -> None:
    everything = client.rows()
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"type": "Trade"}, lambda r: r["transaction-type"] == "Trade"),
        ({"types__": ["Trade", "Receive Deliver"]}, lambda r: r["transaction-type"] in {"Trade", "Receive Deliver"}),
        ({"sub_type__": "Expiration"}, lambda r: r["transaction-sub-type"] == "Expiration"),
        ({"action": "Buy to Open"}, lambda r: r.get("action") == "Buy to Open"),
        ({"instrument_type": "Equity Option"}, lambda r: r.get("instrument-type") == "Equity Option"),
        ({"underlying_symbol": "SPY"}, lambda r: r.get("underlying-symbol") == "SPY"),
        ({"currency": "USD"}, lambda r: r is not None),
        ({"nonsense": "ignored"}, lambda r: r is not None),
        ({"start_at": "2026-11-02T14:00:00Z", "end_at": "2026-11-09T14:00:00Z"},
         lambda r: "2026-11-02T14" <= r["executed-at"] <= "2026-11-09T14"),
    ]  # fmt: skip
    for params, keep in cases:
        assert client.rows(**params) == [row for row in everything if keep(row)], params
        assert client.rows(**params), params


def test_rows_are_sorted_by_time_and_id_newest_first_unless_asked(client: Client) -> None:
    rows = client.rows()
    keys = [(datetime.fromisoformat(row["executed-at"]), row["id"]) for row in rows]
    assert all(later > earlier for later, earlier in pairwise(keys))
    assert client.rows(sort="Asc") == rows[::-1]


def _day(row: dict[str, Any], column: str) -> date:
    if column == "transaction_date":
        return date.fromisoformat(row["transaction-date"])
    moment = datetime.fromisoformat(row["executed-at"])
    return (moment if column == "executed_utc" else moment.astimezone(ZoneInfo("America/New_York"))).date()


@pytest.mark.parametrize("column", ["executed_utc", "executed_new_york", "transaction_date"])
@pytest.mark.parametrize("inclusive", ["both", "start", "end", "neither"])
def test_date_filters_read_column_and_ends(start: Start, connect: Connect, column: str, inclusive: str) -> None:
    client = connect(start(date_filter=column, inclusive=inclusive, start=date(2026, 10, 26)))
    futures = "5WT00703"
    first, last = date(2026, 11, 4), date(2026, 11, 11)
    low = first + timedelta(days=inclusive in {"end", "neither"})
    high = last - timedelta(days=inclusive in {"start", "neither"})
    for account in (MAIN, futures):
        asked = client.rows(account, start_date=first, end_date=last)
        assert asked == [row for row in client.rows(account) if low <= _day(row, column) <= high]


def test_a_leaky_filter_adds_rows_from_outside_the_range(start: Start, connect: Connect) -> None:
    client = connect(start(leaky_filter=True))
    days = {row["transaction-date"] for row in client.rows(start_date=date(2026, 11, 10), end_date=date(2026, 11, 10))}
    assert "2026-11-10" in days
    assert len(days) > 1


def test_positions_can_be_filtered(client: Client) -> None:
    everything = client.get(f"/accounts/{MAIN}/positions").json()["data"]["items"]
    assert {position["quantity-direction"] for position in everything} == {"Long", "Short"}
    symbol = everything[0]["symbol"]
    assert client.get(f"/accounts/{MAIN}/positions", symbol=symbol).json()["data"]["items"] == everything[:1]
    options = client.get(f"/accounts/{MAIN}/positions", instrument_type="Equity Option").json()["data"]["items"]
    assert options == [p for p in everything if p["instrument-type"] == "Equity Option"]


def test_types_of_json_values_wobble_as_in_real_payloads(client: Client) -> None:
    positions = client.get(f"/accounts/{MAIN}/positions").json()["data"]["items"]
    assert {type(position["quantity"]) for position in positions} >= {int, str}
    assert {type(position["multiplier"]) for position in positions} == {int, str}
    assert all(isinstance(position["close-price"], str) for position in positions)


def test_a_position_closed_today_is_shown_as_zero_on_request(sim: Simulator, connect: Connect) -> None:
    client = connect(sim)
    symbol = sim.brokerage.positions(MAIN)[0]["symbol"]
    sim.brokerage.close_position(MAIN, symbol)
    shown = client.get(f"/accounts/{MAIN}/positions", include_closed_positions="true").json()["data"]["items"]
    assert [p["quantity-direction"] for p in shown if p["symbol"] == symbol] == ["Zero"]
    assert symbol not in {p["symbol"] for p in client.get(f"/accounts/{MAIN}/positions").json()["data"]["items"]}


@pytest.mark.parametrize("shape", ["object", "list"])
def test_balances_without_currency_have_the_configured_shape(start: Start, connect: Connect, shape: str) -> None:
    client = connect(start(balances_shape=shape))
    named = client.get(f"/accounts/{MAIN}/balances/USD").json()["data"]
    body = client.get(f"/accounts/{MAIN}/balances").json()["data"]
    assert body == ({"items": [named]} if shape == "list" else named)
    assert len(named) > 46


def test_snapshots_need_a_time_of_day_and_page(client: Client) -> None:
    assert client.get(f"/accounts/{MAIN}/balance-snapshots").status_code == 400
    answer = client.get(
        f"/accounts/{MAIN}/balance-snapshots", time_of_day="EOD", start_date="2026-10-05", per_page=10
    ).json()
    assert answer["pagination"]["total-items"] == 36
    assert len(answer["data"]["items"]) == 10


def test_requests_are_recorded_and_control_is_not(sim: Simulator, client: Client) -> None:
    client.get("/customers/me", a="b")
    client.http.get("/__control__/state")
    assert sim.requests == [("POST", "/oauth/token", ""), ("GET", "/customers/me", "a=b")]


def test_the_port_is_free_after_the_block(sim: Simulator) -> None:
    sim.stop()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(sim.url)


def test_a_trade_before_every_second_read_shifts_the_pages(start: Start, connect: Connect) -> None:
    client = connect(start(trade_every=2))
    seen = []
    for offset in range(5):
        page = client.get(f"/accounts/{MAIN}/transactions", per_page=10, page_offset=offset).json()
        seen += [row["id"] for row in page["data"]["items"]]
    assert len(seen) - len(set(seen)) == 2


def test_trades_go_on_in_real_time_when_asked(start: Start) -> None:
    sim = start(live_trade_interval=0.01)
    before = len(sim.brokerage.archive(MAIN).rows)
    deadline = time.monotonic() + 5
    while len(sim.brokerage.archive(MAIN).rows) < before + 2:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
