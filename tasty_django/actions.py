"""What a user may ask for: a synchronisation, and to connect, reconnect or disconnect a login.

Here belong the only statements of this app that write. Each names its columns, is bound to the user (`owner`), needs
the rights of the role `tasty_app` and no more, and holds nothing secret: credentials are sealed before they become a
parameter. Forms and pages belong elsewhere.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import ProgrammingError, connections, transaction
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from tasty_django import conf
from tasty_django.errors import ActionError, LabelTakenError, NoRightError
from tasty_django.models import Connection, SyncRequest
from tasty_django.querysets import owner_of
from tasty_django.sealing import seal

# a request may end between the two looks at it; more often than once is no chance any more
_ATTEMPTS = 5
_NO_RIGHT = "42501"


def request_sync(user: Any) -> SyncRequest:
    """Ask for a synchronisation of the user's connections; return the request, or the one that is still open.

    However often and from wherever it is called, a user has one open request at most.
    """
    owner = _owner(user)
    for _ in range(_ATTEMPTS):
        number = str(uuid.uuid4())
        made = _write(
            f"INSERT INTO {conf.table('sync_requests')} (request_id, owner, requested_at, state) "  # noqa: S608
            "VALUES (%s, %s, %s, 'queued') ON CONFLICT DO NOTHING",
            (number, owner, timezone.now()),
        )
        mine = SyncRequest.objects.filter(owner=owner)
        request = mine.filter(pk=number).first() if made else mine.open().first()
        if request is not None:
            return request
    raise ActionError("The synchronisation could not be asked for: its requests end faster than they begin. Try again.")


@sensitive_variables("refresh_token", "client_secret", "sealed")
def connect(user: Any, label: str, refresh_token: str, client_secret: str = "", *, sandbox: bool = False) -> Connection:
    """Store a new login of the user and return it; its accounts appear with the next synchronisation.

    Raises `NoKeyError` where the pipeline has no key to seal with, `LabelTakenError` where one of the user's live
    connections has this name: a form that is sent twice makes one connection.
    """
    owner = _owner(user)
    sealed = seal(refresh_token, client_secret)
    name = uuid.uuid4().hex[:16]
    with transaction.atomic(using=conf.database()):
        _one_at_a_time(owner)
        if Connection.objects.for_user(user).live().filter(label=label).exists():
            raise LabelTakenError(f"You already have a connection named “{label}”.")
        _write(
            f"INSERT INTO {conf.table('connections')} "  # noqa: S608
            "(connection_id, owner, label, sandbox, sealed_credentials, connected_at) VALUES (%s, %s, %s, %s, %s, %s)",
            (name, owner, label, sandbox, sealed, timezone.now()),
        )
    return Connection.objects.get(pk=name, owner=owner)


@sensitive_variables("refresh_token", "client_secret", "sealed")
def reconnect(user: Any, connection_id: str, refresh_token: str, client_secret: str = "") -> Connection:
    """Give one of the user's connections new credentials, a disconnected one too; it counts as new then.

    Raises `Connection.DoesNotExist` for what is not the user's, `NoKeyError` as `connect` does.
    """
    owner = _owner(user)
    sealed = seal(refresh_token, client_secret)
    _write(
        f"UPDATE {conf.table('connections')} SET sealed_credentials = %s, connected_at = %s, "  # noqa: S608
        "disconnected_at = NULL WHERE connection_id = %s AND owner = %s",
        (sealed, timezone.now(), connection_id, owner),
    )
    return Connection.objects.get(pk=connection_id, owner=owner)


def disconnect(user: Any, connection_id: str) -> Connection:
    """End one of the user's connections and forget its credentials; one that is ended stays as it is.

    What it synchronised stays stored, and is shown to those only who see the accounts through another connection.
    Raises `Connection.DoesNotExist` for what is not the user's.
    """
    owner = _owner(user)
    _write(
        f"UPDATE {conf.table('connections')} SET sealed_credentials = NULL, disconnected_at = %s "  # noqa: S608
        "WHERE connection_id = %s AND owner = %s AND disconnected_at IS NULL",
        (timezone.now(), connection_id, owner),
    )
    return Connection.objects.get(pk=connection_id, owner=owner)


def _owner(user: Any) -> str:
    owner = owner_of(user)
    if owner is None:
        raise ActionError("Log in first: only a user has connections.")
    return owner


def _one_at_a_time(owner: str) -> None:
    with connections[conf.database()].cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"tasty_django:connect:{owner}",))


def _write(sql: str, parameters: Sequence[Any]) -> int:
    alias = conf.database()
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(sql, parameters)
            return int(cursor.rowcount)
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", None) != _NO_RIGHT:
            raise
        raise NoRightError(
            f"The database refused it ({str(error).splitlines()[0]}). The alias {alias!r} has to log in as a member of "
            "the role tasty_app, and may only act as the user whom it is about."
        ) from error
