"""Each fault does what it says, over real HTTP, as often as it was asked to."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from conftest import MAIN, SHORT, Client

from tasty_pipeline.simulator import Fault, Simulator, SimulatorConfig, serve
from tasty_pipeline.simulator.answers import Answer
from tasty_pipeline.simulator.spoiling import KINDS

PATH = f"/accounts/{MAIN}/transactions"


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with serve(SimulatorConfig(**SHORT)) as simulator:
        yield simulator


@pytest.fixture
def sim(running: Simulator) -> Iterator[Simulator]:
    """Return the one brokerage of this module; what was broken is mended after each test."""
    yield running
    running.brokerage.faults.clear()


def break_with(sim: Simulator, kind: str, **params: Any) -> None:
    sim.brokerage.faults.add(Fault(kind, **params))


def items(client: Client, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(PATH, **params)
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["data"]["items"]
    return found


def test_a_fault_hits_after_some_requests_so_many_times_and_only_its_path(sim: Simulator, client: Client) -> None:
    break_with(sim, "status", path="/positions$", times=2, after=1)
    statuses = [client.get(f"/accounts/{MAIN}/positions").status_code for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]
    assert client.get(PATH).status_code == 200


def test_a_fault_without_path_spares_the_token(sim: Simulator, client: Client) -> None:
    break_with(sim, "status", status=503)
    client.refresh()
    assert client.get(PATH).status_code == 503
    sim.brokerage.faults.clear()
    assert client.get(PATH).status_code == 200


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="token_invalid"):
        Fault("explode")


def test_a_status_has_the_error_of_the_api(sim: Simulator, client: Client) -> None:
    for status in (400, 403, 404, 408, 422, 500, 503):
        break_with(sim, "status", status=status, times=1)
        answer = client.get(PATH)
        assert answer.status_code == status
        assert {"code", "message"} <= set(answer.json()["error"])


def test_a_429_is_empty_and_says_nothing_of_when_to_return(sim: Simulator, client: Client) -> None:
    break_with(sim, "status", status=429)
    answer = client.get(PATH)
    assert (answer.status_code, answer.content) == (429, b"")
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("status", [200, 502])
def test_html_comes_with_any_status(sim: Simulator, client: Client, status: int) -> None:
    break_with(sim, "html", status=status)
    answer = client.get(PATH)
    assert answer.status_code == status
    assert answer.text.startswith("<html>")


def test_an_empty_body_keeps_its_status(sim: Simulator, client: Client) -> None:
    break_with(sim, "empty_body")
    answer = client.get(PATH)
    assert (answer.status_code, answer.content) == (200, b"")


def test_cut_json_is_complete_http(sim: Simulator, client: Client) -> None:
    break_with(sim, "cut_json")
    answer = client.get(PATH)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_truncated_body_ends_before_its_end(sim: Simulator, client: Client, chunked: bool) -> None:
    break_with(sim, "truncated_body", chunked=chunked)
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        client.get(PATH)


def test_a_dropped_connection_brings_no_answer_at_all(sim: Simulator, client: Client) -> None:
    break_with(sim, "drop_connection", times=1)
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        client.get(PATH)
    assert client.get(PATH).status_code == 200


def test_a_connection_can_be_dropped_in_the_middle_of_the_body(sim: Simulator, client: Client) -> None:
    break_with(sim, "drop_connection", how="truncated")
    with client.http.stream("GET", PATH) as answer:
        assert answer.status_code == 200
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            answer.read()


def test_latency_and_slow_bodies_take_their_time(sim: Simulator, client: Client) -> None:
    for kind in ("latency", "slow_body"):
        sim.brokerage.faults.clear()
        break_with(sim, kind, seconds=0.3)
        begun = time.monotonic()
        assert client.get(PATH).status_code == 200
        assert time.monotonic() - begun > 0.25
    sim.brokerage.faults.clear()
    break_with(sim, "latency", seconds=2)
    with pytest.raises(httpx2.ReadTimeout):
        client.http.get(PATH, timeout=0.1)


def test_token_faults_have_their_own_shapes(sim: Simulator, client: Client) -> None:
    break_with(sim, "token_invalid", times=1)
    assert client.get(PATH).json()["error"]["code"] == "token_invalid"
    assert client.get(PATH).status_code == 200
    break_with(sim, "expired_token", times=1)
    assert client.get(PATH).status_code == 401
    assert client.get(PATH).status_code == 401
    client.refresh()
    assert client.get(PATH).status_code == 200
    break_with(sim, "revoked_grant")
    assert client.get(PATH).status_code == 200
    assert client.http.post("/oauth/token", json=client.login).json()["error_description"] == "Grant revoked"
    sim.brokerage.faults.clear()
    break_with(sim, "not_permitted")
    assert client.get(PATH).status_code == 403


def paged(client: Client) -> list[int]:
    ids: list[int] = []
    for offset in range(4):
        ids += [row["id"] for row in items(client, per_page=20, page_offset=offset)]
    return ids


def test_page_drift_repeats_or_loses_rows(sim: Simulator, client: Client) -> None:
    break_with(sim, "page_drift", mode="insert", times=2)
    repeated = paged(client)
    assert len(repeated) == len(set(repeated)) + 1
    for mode in ("remove", "redate"):
        sim.brokerage.faults.clear()
        before = [row["id"] for row in client.rows()]
        break_with(sim, "page_drift", mode=mode, times=2)
        read = paged(client)
        assert before[20] not in read, mode
        assert before[19] in read


def test_pages_can_be_smaller_than_what_is_asked_for(sim: Simulator, client: Client) -> None:
    everything = [row["id"] for row in items(client, per_page=2000)]
    break_with(sim, "small_pages", size=7)
    answer = client.get(PATH, per_page=2000, page_offset=1).json()
    assert [row["id"] for row in answer["data"]["items"]] == everything[7:14]
    assert answer["pagination"]["per-page"] == 7


def test_a_fault_can_concern_a_query_and_be_a_function(sim: Simulator, client: Client) -> None:
    def teapot(answer: Answer, params: dict[str, Any]) -> Answer:
        return Answer(418, params["said"] + answer.body)

    sim.brokerage.faults.add(Fault(teapot, PATH, query="per-page=3(&|$)", said=b"short and stout"))
    assert client.get(PATH, per_page=3).text.startswith("short and stout")
    assert client.get(PATH, per_page=30).status_code == 200


def test_a_stale_page_is_the_first_answer_again(sim: Simulator, client: Client) -> None:
    old = items(client, per_page=7)
    sim.brokerage.trade(MAIN)
    break_with(sim, "stale_page", times=1)
    assert items(client, per_page=7) == old
    assert items(client, per_page=7) != old


def test_lists_can_be_empty_or_missing(sim: Simulator, client: Client) -> None:
    break_with(sim, "empty_list", times=1)
    answer = client.get(PATH).json()
    assert (answer["data"]["items"], answer["pagination"]["total-items"]) == ([], 0)
    break_with(sim, "missing_items", times=1)
    assert "items" not in client.get(PATH).json()["data"]
    break_with(sim, "null_data", times=1)
    assert client.get(PATH).json()["data"] is None


def test_a_wiped_sandbox_still_has_its_accounts(sim: Simulator, client: Client) -> None:
    break_with(sim, "wiped")
    assert items(client) == []
    assert client.get(f"/accounts/{MAIN}/balances/USD").json()["data"]["cash-balance"] == "0.0"
    assert len(client.get("/customers/me/accounts").json()["data"]["items"]) == 4


def test_single_rows_can_be_spoilt(sim: Simulator, client: Client) -> None:
    good = items(client)
    cases: list[tuple[str, dict[str, Any], str, Any]] = [
        ("unknown_enum", {"row": 1}, "transaction-type", "Quantum Entanglement"),
        ("unknown_enum", {"field": "action", "value": "Allocate"}, "action", "Allocate"),
        ("missing_field", {"field": "net-value"}, "net-value", None),
        ("extra_field", {}, "brand-new-field", {"nested": ["new", 1]}),
        ("retyped_field", {"field": "value"}, "value", float(good[0]["value"])),
        ("retyped_field", {"field": "is-estimated-fee", "value": "yes"}, "is-estimated-fee", "yes"),
        ("bad_value", {"field": "value", "value": "NaN"}, "value", "NaN"),
        ("bad_value", {"row": -1}, "value", "12.3.4"),
        ("wrong_account", {}, "account-number", "5WX99999"),
    ]
    for kind, params, field, value in cases:
        sim.brokerage.faults.clear()
        break_with(sim, kind, **params)
        spoilt = items(client)
        changed = [index for index, row in enumerate(spoilt) if row != good[index]]
        assert changed == [params.get("row", 0) % len(good)], kind
        assert spoilt[changed[0]].get(field) == value
    sim.brokerage.faults.clear()
    break_with(sim, "bad_value", ids=[good[3]["id"], good[5]["id"]])
    assert [i for i, row in enumerate(items(client)) if row != good[i]] == [3, 5]
    sim.brokerage.faults.clear()
    break_with(sim, "missing_field", row="all", field="value")
    assert not any("value" in row for row in items(client))


def test_rows_can_be_repeated_or_fall_short_of_the_total(sim: Simulator, client: Client) -> None:
    good = items(client)
    break_with(sim, "duplicate_row", times=1)
    assert items(client) == [*good, good[0]]
    break_with(sim, "short_page", times=1)
    assert items(client) == good[:-1]


def test_objects_and_accounts_can_be_spoilt_too(sim: Simulator, client: Client) -> None:
    break_with(sim, "missing_field", field="cash-balance", path="/balances")
    assert "cash-balance" not in client.get(f"/accounts/{MAIN}/balances/USD").json()["data"]
    break_with(sim, "bad_value", field="opened-at", value="soon", path="/accounts$")
    entry = client.get("/customers/me/accounts").json()["data"]["items"][0]
    assert entry["account"]["opened-at"] == "soon"


def test_every_kind_can_be_set_over_http_and_cleared(client: Client) -> None:
    for kind in KINDS:
        answer = client.http.post("/__control__/faults", json={"kind": kind, "times": 1, "path": "/nowhere"})
        assert answer.status_code == 200, kind
    assert len(client.http.get("/__control__/state").json()["faults"]) == len(KINDS)
    assert client.http.delete("/__control__/faults").json() == {"faults": []}
    assert client.http.post("/__control__/faults", json={"kind": "explode"}).status_code == 400
