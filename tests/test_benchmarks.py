"""What the benchmarks measure against: the fake API serves what it says it holds, also while rows change."""

import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "fake_api.py"
ROWS = 3000
TRANSACTIONS = "/accounts/5WT00001/transactions"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("rows")
    command = [sys.executable, str(PROGRAM), "--rows", str(ROWS)]
    environment = {"TMPDIR": str(folder), "PYTHONPATH": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.fixture(autouse=True)
def pristine(url: str) -> None:
    ask(url, "/bench/reset")
    ask(url, "/bench/settings", latency=0, rate=0)


def ask(url: str, path: str, **query: Any) -> Any:
    parameters = urlencode({name.replace("_", "-"): value for name, value in query.items()})
    with urllib.request.urlopen(f"{url}{path}?{parameters}") as answer:  # noqa: S310 - loopback
        return json.load(answer)


def rows_of(url: str, **query: Any) -> list[dict[str, Any]]:
    """Every row, page by page."""
    found: list[dict[str, Any]] = []
    for number in itertools.count():
        page = ask(url, TRANSACTIONS, per_page=1000, page_offset=number, **query)
        found += page["data"]["items"]
        assert page["pagination"]["current-item-count"] == len(page["data"]["items"])
        if number + 1 >= page["pagination"]["total-pages"]:
            assert page["pagination"]["total-items"] == len(found)
            return found
    raise AssertionError


def net(row: dict[str, Any]) -> Decimal:
    amount = Decimal(row["net-value"])
    return -amount if row["net-value-effect"] == "Debit" else amount


def agrees(url: str, rows: list[dict[str, Any]]) -> bool:
    expected = ask(url, "/bench/expected")
    ids = {row["id"] for row in rows}
    return len(ids) == len(rows) == expected["rows"] and sum(map(net, rows)) == Decimal(expected["net"])


def test_all_pages_hold_as_many_distinct_rows_and_as_much_net_value_as_the_server_says(url: str) -> None:
    oldest_first = rows_of(url, sort="Asc")
    assert agrees(url, oldest_first)
    assert [row["executed-at"] for row in oldest_first] == sorted(row["executed-at"] for row in oldest_first)
    assert [row["id"] for row in oldest_first] != sorted(row["id"] for row in oldest_first)
    assert rows_of(url, sort="Desc") == oldest_first[::-1]


def test_the_days_asked_for_are_both_included(url: str) -> None:
    days = sorted({row["transaction-date"] for row in rows_of(url)})
    start, end = days[100], days[150]
    found = rows_of(url, sort="Asc", start_date=start, end_date=end)
    assert found == [row for row in rows_of(url, sort="Asc") if start <= row["transaction-date"] <= end]
    assert rows_of(url, start_date="2030-01-01", end_date="2030-02-01") == []


def test_a_changed_row_keeps_its_place_and_its_net_value_is_counted(url: str) -> None:
    before = rows_of(url, sort="Asc")
    changed = ask(url, "/bench/change", rows=10)
    after = rows_of(url, sort="Asc")
    assert agrees(url, after)
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert [b["id"] for a, b in zip(before, after, strict=True) if a != b] == sorted(
        changed, key=[row["id"] for row in before].index
    )
    assert net(ask(url, f"{TRANSACTIONS}/{changed[0]}")["data"]) == 1 + sum(
        net(row) for row in before if row["id"] == changed[0]
    )


def test_rows_are_added_to_the_last_ten_days(url: str) -> None:
    before = {row["id"] for row in rows_of(url)}
    added = ask(url, "/bench/add", rows=10)
    after = rows_of(url, sort="Desc")
    assert agrees(url, after)
    assert {row["id"] for row in after} == before | set(added)
    first = date.fromisoformat(ask(url, "/bench/expected")["last-day"]) - timedelta(days=9)
    late = {row["id"] for row in rows_of(url, start_date=first)}
    assert set(added) <= late


def test_net_value_is_value_less_the_fees(url: str) -> None:
    for row in rows_of(url):
        value = Decimal(row["value"]) * (-1 if row["value-effect"] == "Debit" else 1)
        names = ("regulatory-fees", "clearing-fees", "commission", "proprietary-index-option-fees")
        assert net(row) == value - sum(Decimal(row.get(name, 0)) for name in names)


def test_above_the_rate_a_request_is_refused_without_a_hint_when_to_come_back(url: str) -> None:
    ask(url, "/bench/settings", rate=3)
    with pytest.raises(urllib.error.HTTPError) as refused:
        [ask(url, TRANSACTIONS, per_page=1) for _ in range(10)]
    refused.value.close()
    assert refused.value.code == 429
    assert "Retry-After" not in refused.value.headers
    counts = ask(url, "/bench/counts")
    assert counts["throttled"] == 1
    assert counts["requests"] >= 4
