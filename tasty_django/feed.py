"""The change feed: every row that the pipeline wrote, in the order of the commits, without a gap, as it happens.

    for batch in listen(after=last_seen):
        for change in batch:
            react(change)
        last_seen = batch[-1].sequence  # keep it; from any number the feed goes on where it was left

Here belongs reading the feed. What a change means to the application is the application's.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tasty_django import conf
from tasty_django.models import Change

CHANNEL = "tasty_changes"
# beside the notifications, should one get lost on its way (a pooler, a dead line)
POLL_SECONDS = 30.0
_LONGEST_PAUSE = 30.0
_LOG = logging.getLogger(__name__)


def newest() -> int:
    """Return the number of the newest change, 0 if there is none."""
    return Change.objects.newest_first().values_list("sequence", flat=True).first() or 0


def changes(after: int = 0, *, user: Any = None, size: int = 1000) -> Iterator[list[Change]]:
    """Return what came after a number, of all accounts or a user's, in lists of up to `size`, until there is no more.

    A list is never empty, and no smaller number ever appears after a larger one was seen.
    """
    rows = Change.objects.all() if user is None else Change.objects.for_user(user)
    while batch := list(rows.after(after)[:size]):
        yield batch
        after = batch[-1].sequence


def listen(
    after: int | None = None, *, user: Any = None, size: int = 1000, poll_seconds: float = POLL_SECONDS
) -> Iterator[list[Change]]:
    """Return what came after a number (None: from now on), and then without end what comes, a moment after its commit.

    Holds one connection of its own to be woken by. When the database goes away it is tried again, with growing pauses,
    until it is back; nothing is lost or told twice.
    """
    seen, pause = after, 1.0
    while True:
        try:
            if seen is None:
                seen = newest()
            with closing(connections.create_connection(conf.database())) as session:
                _subscribe(session)
                pause = 1.0
                while True:
                    for batch in changes(seen, user=user, size=size):
                        yield batch
                        seen = batch[-1].sequence
                    _wait(session, poll_seconds)
        except (OperationalError, InterfaceError) as error:
            _LOG.warning("The change feed lost the database (%s); trying again in %.0f s.", str(error).strip(), pause)
            connections[conf.database()].close()
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _subscribe(session: BaseDatabaseWrapper) -> None:
    session.ensure_connection()
    # within a transaction nothing would be delivered
    session.set_autocommit(autocommit=True)
    with session.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")


def _wait(session: BaseDatabaseWrapper, seconds: float) -> None:
    """Return when something was published, or after the time."""
    connection: Any = session.connection
    with session.wrap_database_errors:
        for _ in connection.notifies(timeout=seconds, stop_after=1):
            pass
