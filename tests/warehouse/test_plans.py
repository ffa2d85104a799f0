"""Row security costs a reader neither an index nor a lookup for each row."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from .conftest import As

# 200,000 transactions of 40 accounts on 500 days
FILL = (
    """
    INSERT INTO tasty.transactions (transaction_id, account_number, transaction_type, transaction_sub_type, executed_at,
        transaction_date, symbol, value, net_value, synced_at, run_id)
    SELECT (account * 500 + day) * 10 + number, 'A' || account, 'Trade', 'Buy to Open',
        timestamptz '2024-01-01 15:00+00' + day * interval '1 day' + number * interval '1 minute',
        date '2024-01-01' + day, 'S' || number, -1, -1, now(), 'run-1'
    FROM generate_series(0, 39) account, generate_series(0, 499) day, generate_series(0, 9) number
    ON CONFLICT DO NOTHING""",
    """
    INSERT INTO tasty.changes (sequence, table_name, account_number, row_key, kind, changed_at, run_id)
    SELECT n, 'transactions', 'A' || n % 40, jsonb_build_object('transaction_id', n), 'insert', now(), 'run-1'
    FROM generate_series(1000, 200000) n""",
    "ANALYZE tasty.transactions, tasty.changes, tasty.connections, tasty.connection_accounts",
)
ALL = "SELECT * FROM tasty_v1.transactions"
VISIBLE = "SELECT account_number FROM tasty_v1.connection_accounts"
QUERIES = (
    (
        f"{ALL} WHERE account_number = 'A1' AND transaction_date BETWEEN '2024-03-01' AND '2024-03-31'",
        "transactions_account_number_transaction_date_idx",
    ),
    (
        f"{ALL} WHERE account_number = 'A1' ORDER BY executed_at DESC LIMIT 50",
        "transactions_account_number_executed_at_idx",
    ),
    (
        f"{ALL} WHERE account_number IN ({VISIBLE}) AND transaction_date >= '2025-05-01' ORDER BY executed_at LIMIT 50",
        "transactions_account_number_transaction_date_idx",
    ),
    (f"{ALL} WHERE transaction_id = 12345", "transactions_pkey"),
    ("SELECT * FROM tasty_v1.changes WHERE sequence > 150000 ORDER BY sequence LIMIT 100", "changes_pkey"),
    (
        "SELECT * FROM tasty_v1.changes WHERE account_number = 'A1'",
        "changes_account_number_sequence_idx",
    ),
)


@pytest.fixture(scope="module")
def many(two_users: str) -> Iterator[str]:
    """Two users and 200,000 transactions and changes, which are taken away in the end."""
    with psycopg.connect(two_users, autocommit=True) as owner:
        for statement in FILL:
            owner.execute(statement.encode())
        yield two_users
        owner.execute("DELETE FROM tasty.transactions WHERE symbol LIKE 'S%'")
        owner.execute("DELETE FROM tasty.changes WHERE sequence >= 1000")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


@pytest.mark.parametrize("user", [None, "alice"])
@pytest.mark.parametrize(("query", "index"), QUERIES)
def test_a_reader_with_and_without_a_user_finds_rows_by_their_index(
    acting: As, many: str, query: str, index: str, user: str | None
) -> None:
    ((found,),) = acting("tasty_app", user).ask(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}")
    nodes = list(_nodes((json.loads(found) if isinstance(found, str) else found)[0]["Plan"]))
    assert index in {node.get("Index Name") for node in nodes}
    assert "Seq Scan" not in {node["Node Type"] for node in nodes if node.get("Relation Name") == "transactions"}
    # who may see what is asked once for the query, and not of each row
    assert not [node for node in nodes if "tasty." in node.get("Filter", "") + node.get("Index Cond", "")]
    assert {node["Actual Loops"] for node in nodes if node.get("Parent Relationship") == "InitPlan"} <= {0, 1}
    assert any(node.get("Parent Relationship") == "InitPlan" for node in nodes)
