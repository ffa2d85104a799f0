"""The simulated brokerage that stands in where there are no credentials: one seed, one set of books for every command.

Its clock stands at New York's last midnight, so that two commands on one day see the same books; what is traded in it
by hand is kept in a journal.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

from tasty_pipeline.cli.parser import day_given
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.tradingdays import NEW_YORK, new_york_day

if TYPE_CHECKING:
    from tasty_pipeline.simulator import SimulatorConfig

WAREHOUSE_URL = "duckdb:///data/demo.duckdb"
JOURNAL = Path("data/simulator.jsonl")
START = date(2023, 1, 3)


def wanted(settings: Settings) -> bool:
    """Say whether to simulate: no credential is set, and no address of an API either."""
    return not (settings.client_secret or settings.refresh_token or settings.api_url or settings.sandbox)


def first_day(text: str | None) -> date:
    """Return the first day that `--from` names; raises `ConfigurationError` for what is no day of the past."""
    day = day_given("--from", text) if text else START
    if day > new_york_day(datetime.now(UTC)):
        raise ConfigurationError(f"--from {day} lies in the future.", "give a day of the past.")
    return day


def simulator_config(start: date = START, port: int = 0) -> "SimulatorConfig":
    """Return the books of the demo and the dev set-up."""
    from tasty_pipeline.simulator import SimulatorConfig  # noqa: PLC0415 - a server, which real credentials need not

    midnight = datetime.combine(datetime.now(NEW_YORK).date(), time.min, NEW_YORK)
    return SimulatorConfig(seed=7, start=start, now=midnight, port=port, journal=JOURNAL)


def environment(url: str, client_secret: str, refresh_token: str, start: date = START) -> Mapping[str, str]:
    """Return the variables that point the pipeline at a simulator."""
    return {
        "TASTY_API_URL": url,
        "TASTY_SANDBOX": "",
        "TT_SECRET": client_secret,
        "TT_REFRESH": refresh_token,
        "TASTY_HISTORY_START": start.isoformat(),
    }
