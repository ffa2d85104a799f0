"""What Postgres' errors mean and what a person does about them; never with a password.

Here belongs only the translation from psycopg's errors to the taxonomy. Errors of our own statements (a syntax error,
an unknown column) pass as they are: they are bugs, and their traceback says more than we could.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from tasty_pipeline.core.errors import (
    AuditError,
    TastyError,
    WarehouseError,
    WarehouseLockedError,
    WarehouseRightsError,
    WarehouseUnavailableError,
)

# (words of the server's or the system's refusal to connect, what to do)
_CONNECT_REMEDIES: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("authentication failed", "no password supplied", "no pg_hba.conf entry"),
        "check user and password in TASTY_WAREHOUSE_URL (percent-encoded) and the server's pg_hba.conf.",
    ),
    (("does not exist",), "create that database or role, or correct TASTY_WAREHOUSE_URL."),
    (
        ("too many", "remaining connection slots"),
        "close idle connections or raise the connection limit of the server, the database or the role.",
    ),
    (("starting up", "shutting down", "recovery"), "wait until the server has started and run this again."),
    (("resolve", "translate host name", "not known"), "correct the host in TASTY_WAREHOUSE_URL."),
    (("",), "start the server, or correct host and port in TASTY_WAREHOUSE_URL, and look after firewalls between."),
)
_RIGHTS = (
    "have an administrator grant the role CREATE and TEMPORARY on the database, or make it own the schemas tasty and "
    "tasty_v1; where another role owns the tables, `GRANT tasty_pipeline TO` it is enough."
)
# (errors, class, what happened, what to do); the first that fits
_MEANINGS: tuple[tuple[tuple[type[psycopg.Error], ...], type[TastyError], str, str], ...] = (
    (
        (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction),
        WarehouseRightsError,
        "does not allow it",
        _RIGHTS,
    ),
    (
        (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure),
        WarehouseLockedError,
        "has another session that keeps the same rows or tables locked",
        "wait for it to finish, or end it, and run this again.",
    ),
    (
        (errors.IntegrityError,),
        AuditError,
        "refused rows that break a rule of their table",
        "nothing was written; report it with this text, the rows should have been refused earlier.",
    ),
    (
        (errors.UndefinedTable, errors.InvalidSchemaName),
        WarehouseError,
        "has no such table",
        "run a sync or `tasty-pipeline doctor`: the tables are made on first use.",
    ),
    (
        (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow, errors.DatabaseDropped),
        WarehouseUnavailableError,
        "went away",
        "look after the server and run this again; nothing was half-written.",
    ),
    (
        (errors.DiskFull,),
        WarehouseError,
        "has no room left on its disk",
        "make room on the server's disk and run this again; nothing was written.",
    ),
    (
        (errors.QueryCanceled,),
        WarehouseError,
        "cut a statement short",
        "have an administrator raise the role's statement_timeout, or ask who cancelled it, and run this again.",
    ),
    (
        (errors.OperationalError, errors.DataError, errors.InternalError),
        WarehouseError,
        "could not do it",
        "mend the cause and run this again; nothing was written.",
    ),
)


class Explain:
    """Turns the errors of one warehouse's connections into the taxonomy."""

    def __init__(self, label: str, password: str, wait_seconds: float) -> None:
        self._label = label
        self._password = password
        self._wait_seconds = wait_seconds

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Explain why no connection came about."""
        try:
            yield
        except psycopg.OperationalError as error:
            raise self._unconnected(error) from _without_secret(error, self._password)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Explain why a statement failed."""
        try:
            yield
        except psycopg.Error as error:
            meaning = self._meaning(error)
            if meaning is None:
                raise
            raise meaning from error

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Explain why a commit failed: only here may the outcome be unknown."""
        try:
            with self.working():
                yield
        except WarehouseUnavailableError as error:
            raise WarehouseUnavailableError(
                f"{error.what} It went while the transaction was being committed, so that may have happened or not.",
                "run this again: what is stored already is recognised and not written twice.",
            ) from error

    @contextmanager
    def waiting_for(self, lock: str) -> Iterator[None]:
        """Explain why a lock was not taken."""
        try:
            with self.working():
                yield
        except WarehouseLockedError as error:
            raise WarehouseLockedError(
                f"Another session has held the lock '{lock}' in the {self._label} for {self._wait_seconds:g} s.",
                "wait for the other run to finish, or end it, and run this again.",
            ) from error

    def _unconnected(self, error: psycopg.OperationalError) -> TastyError:
        text = self._said(error)
        if "permission denied" in text:
            return WarehouseRightsError(
                f"The {self._label} refuses the connection ({text}).",
                "have an administrator GRANT CONNECT on the database to the role.",
            )
        remedy = next(remedy for signs, remedy in _CONNECT_REMEDIES if any(sign in text for sign in signs))
        return WarehouseUnavailableError(f"The {self._label} cannot be reached ({text}).", remedy)

    def _meaning(self, error: psycopg.Error) -> TastyError | None:
        text = self._said(error)
        if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
            # the words are the driver's, not the server's: the connection broke
            return WarehouseUnavailableError(
                f"The connection to the {self._label} was lost ({text}).",
                "look after the server and run this again; nothing was half-written.",
            )
        for kinds, meaning, what, remedy in _MEANINGS:
            if isinstance(error, kinds):
                return meaning(f"The {self._label} {what} ({text}).", remedy)
        return None

    def _said(self, error: psycopg.Error) -> str:
        """Return the driver's first line, without the password that a misspelt URL can carry into it."""
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return text.replace(self._password, "***") if self._password else text


def _without_secret(error: psycopg.OperationalError, password: str) -> psycopg.OperationalError | None:
    """Keep the cause for the traceback, unless it quotes the password."""
    return None if password and password in str(error) else error
