"""Whose rows the database shows: the session's setting `tasty.current_user`, kept in step with who acts.

The database's row security reads the setting: empty shows everything (a trusted application), a user's key shows what
his connections see, `nobody` shows nothing. Here belongs keeping it right on the connections of
`TASTY_DJANGO["DATABASE"]`. Who acts is a context variable, so that it follows a request into async views and into the
threads that Django starts for them. It is compared before every statement, also the first one on a new connection, so
that neither a persistent connection, nor a pool, nor a reconnection can show one user's rows to another. A thread that
you start yourself begins as a trusted application: enter `acting_as` there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from tasty_django import conf

EVERYTHING, NOBODY = "", "nobody"
_SET = "SELECT set_config('tasty.current_user', %s, false)"
_IN_ERROR = 3  # libpq's PQTRANS_INERROR

Whose = Callable[[], str]
_whose: ContextVar[Whose | None] = ContextVar("tasty_django_whose", default=None)


@contextmanager
def acting_as(user_id: object | None) -> Iterator[None]:
    """Show the block only what the user with this key may see; None shows it everything.

    For commands and background jobs; requests get it from `CurrentUserMiddleware`. It also limits what the block may
    write: requests and connections of this user only.
    """
    value = EVERYTHING if user_id is None else str(user_id)
    if user_id is not None and not value:
        # it would stand for everything
        raise ValueError("A user's key cannot be empty.")
    with acting(lambda: value):
        yield


@contextmanager
def acting(whose: Whose) -> Iterator[None]:
    """Show the block what `whose()` may see, which is asked before each statement."""
    try:
        with stepping(whose):
            yield
    finally:
        # further in, the next statement of the outer block does it
        if _whose.get() is None:
            settle()


@contextmanager
def stepping(whose: Whose) -> Iterator[None]:
    """Do as `acting`, but leave the connection as it is: for steps, after the last of which comes `settle`."""
    token = _whose.set(whose)
    try:
        yield
    finally:
        _whose.reset(token)


def settle() -> None:
    """Bring this thread's open connection in step now. What cannot be set now is set before the next statement."""
    for connection in connections.all(initialized_only=True):
        guard = _guard_of(connection)
        # within a transaction it would not outlive a rollback
        if guard is not None and connection.connection is not None and connection.autocommit:
            try:
                guard.settle()
            except DatabaseError:
                # the connection is lost, and its setting with it; or else it is asked again before it is used
                guard.forget()


def on_connection(connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    """Put a guard before every statement of a new connection, and set its user: Django's signal connection_created."""
    if connection.alias != conf.database() or connection.vendor != "postgresql":
        return
    guard = _guard_of(connection)
    if guard is None:
        guard = _Guard(connection)
        connection.execute_wrappers.append(guard)
    # a new session knows no user, and one from a pool may know another
    guard.forget()
    guard.settle()


def _guard_of(connection: BaseDatabaseWrapper) -> "_Guard | None":
    return next((each for each in connection.execute_wrappers if isinstance(each, _Guard)), None)


class _Guard:
    """Stands before every statement of one connection. `_known` is the user that the session certainly has, or None."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._known: str | None = None
        self._asking = False

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        self.settle()
        return execute(sql, params, many, context)

    def forget(self) -> None:
        self._known = None

    def settle(self) -> None:
        if self._asking:
            # who it is may itself be asked of this database: of Django's own tables, which have no row security
            return
        self._asking = True
        try:
            whose = _whose.get()
            wanted = EVERYTHING if whose is None else whose()
        finally:
            self._asking = False
        session: Any = self._connection.connection
        # in a transaction that has failed nothing but a rollback will be done
        if wanted == self._known or session.info.transaction_status == _IN_ERROR:
            return
        with self._connection.wrap_database_errors, session.cursor() as cursor:
            cursor.execute(_SET, (wanted,))
        # what is set within a transaction is taken back by a rollback: then it is set again before each statement
        self._known = wanted if self._connection.autocommit else None
