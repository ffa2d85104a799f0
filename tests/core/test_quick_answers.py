"""An answer that is not one whole page of rows is never taken for one by the quick path."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tasty_pipeline.core import quick, schema

from .pages import ACCOUNT, Page, raw
from .test_payloads import POSITION
from .test_quick import GOOD


@pytest.mark.parametrize("data", [None, {}, {"items": None}, [], {"items": {}}, {"items": [], "more": 1}])
def test_an_answer_without_its_list_is_no_empty_page(data: Any) -> None:
    answer = json.loads(Page([]).body()) | {"data": data}
    assert quick.read(schema.transactions, json.dumps(answer).encode(), ACCOUNT) is None
    del answer["data"]
    assert quick.read(schema.transactions, json.dumps(answer).encode(), ACCOUNT) is None


@pytest.mark.parametrize("name", ["total-items", "page-offset", "per-page", "current-item-count"])
@pytest.mark.parametrize("count", [None, -1, 1.5, "1", True])
def test_a_pagination_without_its_counts_goes_to_the_judge(name: str, count: Any) -> None:
    assert quick.read(schema.transactions, Page([], {name: count}).body(), ACCOUNT) is None


def test_pages_of_no_size_go_to_the_judge() -> None:
    assert quick.read(schema.transactions, Page([], {"per-page": 0}).body(), ACCOUNT) is None


def test_an_answer_without_pagination_goes_to_the_judge() -> None:
    answer = json.loads(Page([GOOD["transactions"]]).body())
    for missing in (
        {key: value for key, value in answer.items() if key != "pagination"},
        {**answer, "pagination": None},
    ):
        assert quick.read(schema.transactions, json.dumps(missing).encode(), ACCOUNT) is None


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b" ", b"[", b"{}"])
def test_what_stands_before_the_answer_leaves_it_to_the_judge(before: bytes) -> None:
    assert quick.read(schema.transactions, before + Page([GOOD["transactions"]]).body(), ACCOUNT) is None


@pytest.mark.parametrize("after", [b"{}", b"null", b"]", b"x", b"\x00", b",", Page([]).body(), b"\n" + Page([]).body()])
def test_what_stands_after_the_answer_leaves_it_to_the_judge(after: bytes) -> None:
    assert quick.read(schema.transactions, Page([GOOD["transactions"]]).body() + after, ACCOUNT) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"x"', b"{}", b"<html></html>", b"\x00"])
def test_an_answer_that_is_no_page_goes_to_the_judge(body: bytes) -> None:
    assert quick.read(schema.transactions, body, ACCOUNT) is None


def test_an_answer_of_null_does_not_end_the_process() -> None:
    """Arrow 26 does where an answer begins with it."""
    program = (
        "from tasty_pipeline.core import quick, schema; "
        "assert not any(quick.read(schema.transactions, body, '') for body in (b'null', b'null{}'))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 - our own program


def test_a_page_cut_anywhere_goes_to_the_judge() -> None:
    body = Page([GOOD["transactions"]]).body()
    for length in range(len(body)):
        assert quick.read(schema.transactions, body[:length], ACCOUNT) is None


def test_the_balance_of_this_moment_among_snapshots_goes_to_the_judge() -> None:
    current = [pair for pair in GOOD["balance_snapshots"] if pair[0] != '"time-of-day"']
    assert quick.read(schema.balance_snapshots, Page([GOOD["balance_snapshots"], current]).body(), ACCOUNT) is None


def test_lists_that_do_not_page_go_to_the_judge() -> None:
    payload = {**POSITION, "quantity": "3", "multiplier": "100"}
    assert quick.read(schema.positions, Page([raw(payload)]).body(), ACCOUNT) is None
