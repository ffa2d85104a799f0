"""A login that owns no table and is a member of tasty_pipeline keeps the tables as their owner would."""

from collections.abc import Iterator

import pytest
from warehouse.users import member_of

from tasty_pipeline.core import schema
from tasty_pipeline.core.errors import WarehouseRightsError
from tasty_pipeline.core.warehouse import open_warehouse

from .bench import QUIET, TODAY, Bench, day
from .conftest import Start


@pytest.fixture
def members_bench(start: Start, postgres_database: str) -> Iterator[Bench]:
    """A bench whose warehouse was migrated by its owner and is opened by a member of tasty_pipeline."""
    open_warehouse(postgres_database).migrate()
    with member_of(postgres_database, "tasty_pipeline") as url:
        yield Bench(start(), open_warehouse(url))


def test_a_member_of_the_pipelines_role_publishes_all_tables_and_removes_what_is_gone(members_bench: Bench) -> None:
    bench = members_bench
    bench.everything()
    assert bench.live() == bench.listed()
    identifier = bench.sim.brokerage.book_late(QUIET, 3)
    bench.transactions(day(5))
    bench.sim.brokerage.remove(identifier)
    assert bench.transactions(day(5), TODAY).removed == 1
    assert bench.complete()
    feed = bench.rows(schema.changes)
    assert [row["sequence"] for row in feed] == list(range(1, len(feed) + 1))
    assert [row["kind"] for row in feed if row["row_key"] == {"transaction_id": identifier}] == ["insert", "remove"]
    told = {row["table_name"] for row in feed}
    assert told == set(schema.MIRRORED)


def test_a_second_sync_of_the_same_state_tells_the_feed_nothing(bench: Bench) -> None:
    bench.everything()
    before = bench.rows(schema.changes)
    assert sum(result.written for result in bench.everything()) == 0
    assert bench.rows(schema.changes) == before


def test_a_login_without_the_role_is_told_what_to_do(start: Start, postgres_database: str) -> None:
    open_warehouse(postgres_database).migrate()
    with member_of(postgres_database, "tasty_reader") as url:
        bench = Bench(start(), open_warehouse(url))
        with pytest.raises(WarehouseRightsError, match="GRANT tasty_pipeline"):
            bench.accounts()
