"""What each page asks the database: how many queries, and whether an index answers them.

Here belongs looking at queries and plans, with the row security of the user who asks; no load.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

# tables whose rows grow with time: none of them may be read from end to end for a page
GROWING = {"transactions", "balance_snapshots", "sync_log", "changes", "proven_days"}


@dataclass(frozen=True)
class Asked:
    """The queries of one page, to the application's own database and to the pipeline's tables."""

    own: int
    tasty: list[str]


def asked_by(user: User, address: str) -> Asked:
    """Open a page as a user; raises `RuntimeError` if it does not open."""
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(user)
    own, tasty = (CaptureQueriesContext(connections[alias]) for alias in ("default", "tasty"))
    with own, tasty:
        answer = client.get(address, secure=True)
        text = answer.getvalue()
    if answer.status_code != 200:  # noqa: PLR2004
        raise RuntimeError(f"{address} answered {answer.status_code}: {text[:500]!r}")
    return Asked(len(own.captured_queries), [query["sql"] for query in tasty.captured_queries])


def scans(user: User, query: str) -> list[tuple[str, str, str]]:
    """Run a query with EXPLAIN as this user: how each table is read, with which index (or nothing)."""
    with connections["tasty"].cursor() as cursor:
        cursor.execute("SELECT set_config('tasty.current_user', %s, false)", [str(user.pk)])
        try:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".replace("%", "%%"), [])
            (plan,) = cursor.fetchone()
        finally:
            cursor.execute("SELECT set_config('tasty.current_user', '', false)")
    found = json.loads(plan) if isinstance(plan, str) else plan
    return [
        (node["Node Type"], node.get("Relation Name", ""), node.get("Index Name", ""))
        for node in _nodes(found[0]["Plan"])
        if "Relation Name" in node or "Index Name" in node
    ]


def refused(user: User, queries: list[str]) -> list[str]:
    """Return the queries that read a growing table from end to end."""
    return [
        query
        for query in queries
        if query.lstrip().upper().startswith(("SELECT", "(SELECT", "WITH"))
        and any(kind == "Seq Scan" and table in GROWING for kind, table, _ in scans(user, query))
    ]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for part in node.get("Plans", ()):
        yield from _nodes(part)
