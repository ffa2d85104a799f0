"""One state for several queries: a publication that is committed between them is seen by all or by none.

The pipeline publishes what belongs together in one transaction, such as an account's positions and balances. A single
query sees all of it or nothing; several ones need a transaction that keeps to one state. Here belongs that transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from psycopg import IsolationLevel

from tasty_django import conf
from tasty_django.current_user import settle


@contextmanager
def one_state() -> Iterator[None]:
    """Let all queries of the block to the pipeline's tables see one and the same state; a decorator as well.

    Within a transaction that is open already, such as that of ATOMIC_REQUESTS, its own isolation level decides.
    """
    connection = connections[conf.database()]
    if connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    settle()  # set within the transaction, it would be set again before every statement
    session: Any = connection.connection
    usual = session.isolation_level
    session.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with transaction.atomic(using=connection.alias):
            yield
    finally:
        if not session.closed:
            session.isolation_level = usual
