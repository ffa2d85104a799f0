"""The whole circle in a real browser: connect, Sync now, trade, look, and nobody sees what is another's.

One file, because one set of processes serves it; its tests tell one story and run in this order.
"""

import os
import runpy
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Monolith

Visitor = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "browser.py"))["Visitor"]
ALICES, SHARED, BOBS = "5WT00701", "5WT00702", "5WT00703"
TABLES = ("accounts", "positions", "balances", "transactions", "balance_snapshots")


@pytest.fixture(scope="module")
def visitor(monolith: Monolith, browser: Any) -> Any:
    """A browser in front of the example."""
    return Visitor(browser, monolith.url)


def synchronised(visitor: Any, *words: str) -> str:
    """Wait, without reloading, until the page tells of the end and shows these words; returns its text."""
    visitor.browser.wait_for("Synchronising …")
    return str(visitor.browser.wait_for("Sync now", "Synchronised.", "Transactions proven until", *words))


@pytest.fixture(scope="module")
def untraded(monolith: Monolith) -> str:
    """The symbol of a stock that nobody has had so far; who asks for it has synchronised."""
    traded = {symbol for (symbol,) in monolith.rows("SELECT DISTINCT underlying_symbol FROM tasty.transactions")}
    return next(stock for stock in ("TWTR", "XYZL", "NVDA", "AMD", "TSM", "IWM", "QQQ", "SPY") if stock not in traded)


def test_a_double_click_on_sync_now_makes_one_run_whose_progress_the_page_shows(
    monolith: Monolith, visitor: Any
) -> None:
    visitor.log_in("alice")
    assert "Connect your brokerage" in visitor.browser.open(f"{monolith.url}/", "Portfolio")
    visitor.connect("Everything of mine", "simulator-refresh-alice")
    visitor.sync(times=2)
    running = visitor.browser.wait_for("Synchronising.", "Positions", "Balances", "Transactions", "Balance history")
    assert "Log out" in running
    assert BOBS not in synchronised(visitor, ALICES, SHARED)
    ((state, progress, run),) = monolith.rows("SELECT state, progress, run_id FROM tasty.sync_requests")
    assert state == "done"
    assert run
    assert {name: part["state"] for name, part in progress.items()} == dict.fromkeys(TABLES, "done")
    at_broker = monolith.control("state", "GET")["accounts"]
    stored = monolith.rows("SELECT account_number, count(*) FROM tasty.transactions GROUP BY 1")
    assert dict(stored) == {number: at_broker[number] for number in (ALICES, SHARED)}


def test_the_refresh_token_is_nowhere_in_the_database_or_in_the_pages(monolith: Monolith, visitor: Any) -> None:
    visitor.browser.open(f"{monolith.url}/connections/", "Everything of mine", "active")
    assert "simulator-refresh" not in visitor.browser.script("document.documentElement.outerHTML")
    ((sealed,),) = monolith.rows("SELECT sealed_credentials FROM tasty.connections")
    assert sealed.startswith("tp1.")
    assert "simulator" not in sealed


def test_a_trade_by_hand_is_a_position_after_the_next_sync(monolith: Monolith, visitor: Any, untraded: str) -> None:
    assert untraded not in visitor.browser.open(f"{monolith.url}/", "Positions")
    monolith.control("call/trade", login="alice", account=ALICES, symbol=untraded)
    visitor.sync()
    synchronised(visitor, untraded)
    assert untraded in visitor.browser.open(f"{monolith.url}/?account={ALICES}", "Positions")
    assert untraded not in visitor.browser.open(f"{monolith.url}/?account={SHARED}", "Positions")


def test_transactions_are_filtered_and_paged(monolith: Monolith, visitor: Any, untraded: str) -> None:
    pages = visitor.browser

    def rows() -> str:
        return str(pages.script("document.querySelector('table.transactions tbody').innerText"))

    # the trade by hand, the newest of all, tells the first page from every other
    pages.open(f"{monolith.url}/transactions/", "Executed", "Older", untraded)
    first = rows()
    assert untraded in first
    pages.press("Older")
    pages.wait_for("Newer", "Newest")
    assert untraded not in rows()
    pages.press("Newer")
    pages.wait_for("Older", untraded)
    assert rows() == first
    pages.fill(symbol=untraded.lower())
    pages.press("Show")
    pages.wait_for("Clear", "These are the oldest.")
    assert pages.script("document.querySelectorAll('table.transactions tbody tr').length") == 1
    assert untraded in rows()


def test_another_user_sees_nothing_of_it_not_even_by_its_address(monolith: Monolith, visitor: Any) -> None:
    visitor.log_out()
    visitor.log_in("bob")
    for path in ("", "transactions/", "connections/"):
        text = visitor.browser.open(f"{monolith.url}/{path}", "Log out", "bob")
        assert "5WT" not in text
        assert "Everything of mine" not in text
    ((connection,),) = monolith.rows("SELECT connection_id FROM tasty.connections")
    for path in (f"?account={ALICES}", f"transactions/?account={ALICES}", f"connections/reconnect/{connection}/"):
        visitor.browser.open(f"{monolith.url}/{path}", "Page not found (404)")


def test_while_dagster_stands_still_the_page_says_that_it_waits(monolith: Monolith, visitor: Any) -> None:
    visitor.connect("Bob", "simulator-refresh-bob")
    stopped = monolith.daemons()
    assert stopped
    for number in stopped:
        os.kill(number, signal.SIGSTOP)
    try:
        visitor.sync()
        visitor.browser.wait_for("Queued.")
        # as if a quarter of a minute had passed
        monolith.rows(
            "UPDATE tasty.sync_requests SET requested_at = requested_at - interval '15 s' "
            "WHERE state = 'queued' RETURNING 1"
        )
        assert "may be stopped or busy" in visitor.browser.wait_for("Waiting for the pipeline.")
    finally:
        for number in stopped:
            os.kill(number, signal.SIGCONT)
    synchronised(visitor, SHARED, BOBS)


def test_an_account_that_two_see_is_shown_to_both_and_the_others_to_their_own(monolith: Monolith, visitor: Any) -> None:
    assert ALICES not in visitor.browser.open(f"{monolith.url}/", SHARED, BOBS, "Net liquidating value")
    text = visitor.browser.open(f"{monolith.url}/connections/", "Bob", "active")
    assert {"read-only", "owner"} <= set(text.split())
    assert ALICES not in text


def test_a_revoked_grant_is_tried_once_and_shown_to_its_owner_until_it_is_replaced(
    monolith: Monolith, visitor: Any
) -> None:
    monolith.control("call/revoke_grant", login="bob")
    before = monolith.control("state", "GET")["logins"]["bob"]
    for _ in range(2):
        visitor.sync()
        visitor.browser.wait_for("Synchronising …")
        visitor.browser.wait_for("Sync now", "“Bob” needs reauthorisation.")
    after = monolith.control("state", "GET")["logins"]["bob"]
    assert after["oauth_attempts"] - before["oauth_attempts"] == 1
    assert after["oauth_failures"] == 1
    visitor.browser.open(f"{monolith.url}/connections/", "needs reauthorisation")
    monolith.control("call/restore_grant", login="bob")
    visitor.browser.press("Reconnect")
    visitor.browser.wait_for("The new credentials replace the old ones.")
    visitor.browser.fill(refresh_token="simulator-refresh-bob")
    visitor.browser.press("Reconnect")
    visitor.browser.wait_for("not tried yet")
    visitor.sync()
    assert "needs reauthorisation" not in synchronised(visitor)
