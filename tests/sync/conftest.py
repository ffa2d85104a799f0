"""Workbenches: a short simulated history with a clock that stands still, in front of a fresh warehouse."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasty_pipeline.core.warehouse import Warehouse
from tasty_pipeline.simulator import Simulator, SimulatorConfig, serve

from .bench import NOW, START, Bench

HERE = Path(__file__).parent
SHORT: dict[str, Any] = {"now": NOW, "start": START, "accounts": 2, "trades_per_day": 2.0}
Start = Callable[..., Simulator]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to Postgres what does not ask for `either_backend`: the backends have a contract suite of their own."""

    def wanted(item: pytest.Item) -> bool:
        if not isinstance(item, pytest.Function) or HERE not in item.path.parents or not hasattr(item, "callspec"):
            return True
        return item.callspec.params.get("warehouse") != "duckdb" or "either_backend" in item.fixturenames

    items[:] = filter(wanted, items)


@pytest.fixture
def either_backend() -> None:
    """Ask for the test to run on DuckDB and on Postgres."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Start brokerages of six weeks; keywords change their configuration."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(serve(SimulatorConfig(**{**SHORT, **changes})))


@pytest.fixture
def bench(start: Start, warehouse: Warehouse) -> Bench:
    """A brokerage of its own for the test, and an empty warehouse."""
    return Bench(start(), warehouse)
