"""Production and the sandbox may share a warehouse, on logins and accounts of their own; a simulator stands alone."""

from datetime import UTC, date, datetime

import pytest

from tasty_pipeline.core import publish, schema
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.publish import Run
from tasty_pipeline.core.warehouse import Warehouse


def run(environment: str, connection: str) -> Run:
    return Run(run_id="r", environment=environment, connection=connection, history_start=date(2020, 1, 1))


def was_read(warehouse: Warehouse, environment: str, connection: str, account: str) -> None:
    """Write to the log what a sync of this account publishes."""
    result = publish.SyncResult(table="positions", account=account)
    entry = publish.log_entry(run(environment, connection), "positions", account, None, result)
    with warehouse.write() as writer:
        writer.insert(schema.sync_log, [{**entry, "read_started_at": datetime.now(UTC)}])


@pytest.mark.parametrize(
    ("environment", "connection", "account", "fits"),
    [
        ("production", "mine", "A1", True),
        ("sandbox", "play", "S1", True),
        ("sandbox", "mine", "S1", False),
        ("sandbox", "play", "A1", False),
        ("127.0.0.1", "play", "S1", False),
    ],
    ids=["again", "side by side", "one login", "one account", "simulator"],
)
@pytest.mark.usefixtures("either_backend")
def test_what_may_stand_beside_productions_data(
    warehouse: Warehouse, environment: str, connection: str, account: str, fits: bool
) -> None:
    was_read(warehouse, "production", "mine", "A1")
    with warehouse.read() as reader:
        if fits:
            publish.refuse_other_environment(reader, run(environment, connection), [account])
            return
        with pytest.raises(ConfigurationError, match="holds data read from production"):
            publish.refuse_other_environment(reader, run(environment, connection), [account])


def test_nothing_stands_beside_a_simulators_data(warehouse: Warehouse) -> None:
    was_read(warehouse, "127.0.0.1", "default", "5WT1")
    with warehouse.read() as reader, pytest.raises(ConfigurationError, match=r"holds data read from 127\.0\.0\.1"):
        publish.refuse_other_environment(reader, run("production", "mine"))
