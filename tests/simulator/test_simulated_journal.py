"""What is done by hand survives a restart."""

import json
import urllib.request
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

NEW_YORK = ZoneInfo("America/New_York")
CONFIG = SimulatorConfig(start=date(2026, 10, 1), now=datetime(2026, 11, 2, tzinfo=NEW_YORK))


def call(simulator: Simulator, method: str, **arguments: object) -> object:
    url = f"{simulator.url}/__control__/call/{method}"
    request = urllib.request.Request(url, json.dumps(arguments).encode(), method="POST")  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)["result"]


def test_a_trade_by_hand_is_there_with_the_same_id_after_a_restart(tmp_path: Path) -> None:
    config = replace(CONFIG, journal=tmp_path / "kept" / "journal.jsonl")
    with serve(config) as simulator:
        ids = call(simulator, "trade", n=2)
        call(simulator, "deposit", account="5WT00701", amount="12.34")
        before = simulator.brokerage.digest()
    with serve(config) as simulator:
        assert simulator.brokerage.digest() == before
        listed = {row["id"] for row in simulator.brokerage.transactions("5WT00701")}
        assert set(ids) <= listed  # type: ignore[call-overload]


def test_a_restart_days_later_keeps_the_trade_at_its_time_and_goes_on(tmp_path: Path) -> None:
    config = replace(CONFIG, journal=tmp_path / "journal.jsonl")
    with serve(config) as simulator:
        call(simulator, "trade", account="5WT00701")
        rows = simulator.brokerage.transactions("5WT00701")
    assert config.now
    with serve(replace(config, now=config.now + timedelta(days=3))) as simulator:
        later = {row["id"]: row for row in simulator.brokerage.transactions("5WT00701")}
    assert all(later[row["id"]] == row for row in rows)
    assert len(later) > len(rows)


def test_a_journal_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("no journal\n")
    with pytest.raises(ValueError, match=r"journal\.jsonl is no journal"), serve(replace(CONFIG, journal=path)):
        pass


def test_reading_by_hand_leaves_no_trace(tmp_path: Path) -> None:
    config = replace(CONFIG, journal=tmp_path / "journal.jsonl")
    with serve(config) as simulator:
        call(simulator, "positions", account="5WT00701")
    assert not (tmp_path / "journal.jsonl").exists()
