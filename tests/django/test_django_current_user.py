"""One user's request cannot see another's rows, whatever a view forgets and whatever becomes of the connection."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from books import A1, B1, O1, SHARED, Books
from django.contrib.auth import login, logout
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from scene import People, Site

from tasty_django.current_user import acting_as
from tasty_django.middleware import CurrentUserMiddleware
from tasty_django.models import Account, Connection, SyncLog, SyncRequest, Transaction

ALL = [A1, SHARED, B1, O1]
ClientOf = Callable[[User | None], Client]


def _numbers() -> list[str]:
    """Every account number in sight, asked without any `for_user`."""
    return sorted(row.account_number for row in Transaction.objects.all())


def _session_user() -> str | None:
    """What the session has, past everything that would set it."""
    session: Any = connections["tasty"].connection
    found: str | None = session.execute("SELECT current_setting('tasty.current_user', true)").fetchone()[0]
    return found


def _kill(site: Site) -> None:
    """End the application's sessions, as a restart of the server would."""
    with psycopg.connect(site.owner_url, autocommit=True) as admin:
        sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
        assert admin.execute(sql, (site.role,)).fetchall()


def _fail() -> None:
    with connections["tasty"].cursor() as cursor:
        cursor.execute("SELECT 1 / 0")


def see(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"seen": _numbers()})


def fail(request: HttpRequest) -> JsonResponse:
    _numbers()
    raise RuntimeError("a bug")


def leave(request: HttpRequest) -> JsonResponse:
    before = _numbers()
    logout(request)
    return JsonResponse({"before": before, "after": _numbers()})


def enter(request: HttpRequest) -> JsonResponse:
    before = _numbers()
    login(request, User.objects.get(username="alice"))
    return JsonResponse({"before": before, "after": _numbers()})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for row in Transaction.objects.order_by("pk").iterator(chunk_size=1):
            yield f"{row.account_number}\n"
        yield from (f"again {number}\n" for number in _numbers())

    return StreamingHttpResponse(lines())


async def see_async(request: HttpRequest) -> JsonResponse:
    seen = [row.account_number async for row in Transaction.objects.order_by("account_id")]

    def elsewhere() -> list[str]:
        try:
            return _numbers()
        finally:
            connections.close_all()

    return JsonResponse({"seen": seen, "in another thread": await sync_to_async(elsewhere, thread_sensitive=False)()})


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[str]:
        async for row in Transaction.objects.order_by("pk"):
            yield f"{row.account_number}\n"

    return StreamingHttpResponse(lines())


urlpatterns = [path(f"{view.__name__}/", view) for view in (see, fail, leave, enter, stream, see_async, stream_async)]


@pytest.fixture(autouse=True)
def _urls(books: Books) -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.fixture
def ask() -> Callable[[Callable[[HttpRequest], Any], Any], Any]:
    """Put a view behind the middleware and a user in front of it."""

    def answer(view: Callable[[HttpRequest], Any], user: Any) -> Any:
        request = RequestFactory().get("/")
        request.user = user
        return CurrentUserMiddleware(view)(request)

    return answer


def test_a_request_sees_only_its_users_rows_without_any_scoping(people: People, client_of: ClientOf) -> None:
    def seen(user: User | None) -> list[str]:
        numbers: list[str] = client_of(user).get("/see/").json()["seen"]
        return numbers

    assert seen(people.alice) == [A1, SHARED]
    assert seen(people.bob) == [SHARED, B1]
    assert seen(people.carol) == []
    assert seen(None) == []
    assert seen(people.root) == ALL
    # on one and the same persistent connection, in turn
    assert [len(seen(user)) for user in (people.alice, None, people.root, people.bob, None)] == [2, 0, 4, 2, 0]


def test_a_scope_and_a_raw_query_cannot_reach_further(people: People, ask: Any) -> None:
    def view(_: HttpRequest) -> list[Any]:
        with connections["tasty"].cursor() as cursor:
            cursor.execute("SELECT DISTINCT account_number FROM tasty.transactions")
            raw = sorted(cursor.fetchall())
        others = [
            list(Transaction.objects.for_user(people.bob)),
            list(Transaction.objects.filter(account=B1)),
            list(Connection.objects.filter(owner=str(people.bob.pk))),
            list(SyncRequest.objects.filter(owner=str(people.bob.pk))),
        ]
        return [raw, [len(rows) for rows in others], {row.connection for row in SyncLog.objects.all()}]

    assert ask(view, people.alice) == [[(A1,), (SHARED,)], [0, 0, 0, 0], {"alice"}]


def test_nothing_is_left_on_the_connection_after_a_request_or_an_exception(people: People, client_of: ClientOf) -> None:
    alice = client_of(people.alice)
    alice.get("/see/")
    assert _session_user() == ""
    alice.raise_request_exception = False
    assert alice.get("/fail/").status_code == 500
    assert _session_user() == ""
    assert _numbers() == ALL


def test_a_login_and_a_logout_within_a_request_count_at_once(people: People, client_of: ClientOf) -> None:
    assert client_of(people.bob).get("/leave/").json() == {"before": [SHARED, B1], "after": []}
    assert client_of(None).get("/enter/").json() == {"before": [], "after": [A1, SHARED]}


def test_a_lost_connection_comes_back_with_its_user(people: People, site: Site, ask: Any) -> None:
    def view(_: HttpRequest) -> list[str]:
        assert _numbers() == [A1, SHARED]
        _kill(site)
        with pytest.raises(OperationalError):
            _numbers()
        connections["tasty"].close()
        assert _session_user_after_connecting() == str(people.alice.pk)
        return _numbers()

    def _session_user_after_connecting() -> str | None:
        connections["tasty"].ensure_connection()
        return _session_user()

    assert ask(view, people.alice) == [A1, SHARED]
    assert _session_user() == ""
    assert _numbers() == ALL


def test_a_connection_that_dies_at_the_end_of_a_request_harms_nobody(people: People, site: Site, ask: Any) -> None:
    def view(_: HttpRequest) -> list[str]:
        seen = _numbers()
        _kill(site)
        return seen

    assert ask(view, people.alice) == [A1, SHARED]
    connections["tasty"].close_if_unusable_or_obsolete()
    assert ask(lambda _: _numbers(), people.bob) == [SHARED, B1]


def test_a_rollback_does_not_bring_an_earlier_user_back(people: People, ask: Any) -> None:
    def view(_: HttpRequest) -> list[list[str]]:
        seen = []
        with suppress(RuntimeError), transaction.atomic(using="tasty"):
            with acting_as(people.bob.pk), suppress(DatabaseError), transaction.atomic(using="tasty"):
                seen.append(_numbers())
                _fail()
            seen.append(_numbers())
            raise RuntimeError("rolls back")
        return [*seen, _numbers()]

    assert ask(view, people.alice) == [[SHARED, B1], [A1, SHARED], [A1, SHARED]]


def test_a_user_that_was_set_within_a_transaction_goes_with_it(people: People) -> None:
    with acting_as(people.alice.pk):
        assert _numbers() == [A1, SHARED]
        with transaction.atomic(using="tasty"), acting_as(people.bob.pk):
            assert _numbers() == [SHARED, B1]
            transaction.set_rollback(True, using="tasty")
        assert _numbers() == [A1, SHARED]
        with transaction.atomic(using="tasty"), acting_as(people.bob.pk):
            assert _numbers() == [SHARED, B1]
            transaction.set_rollback(True, using="tasty")
        # the session is back at alice, whatever was set since
        with acting_as(people.bob.pk):
            assert _numbers() == [SHARED, B1]
    assert _session_user() == ""


def test_savepoints_that_fail_can_be_rolled_back(people: People) -> None:
    with transaction.atomic(using="tasty"), acting_as(people.alice.pk):
        for _ in range(2):
            with suppress(DatabaseError), transaction.atomic(using="tasty"):
                _fail()
            assert _numbers() == [A1, SHARED]


def test_with_atomic_requests_the_user_is_set_before_the_transaction(
    people: People, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections.settings["tasty"], "ATOMIC_REQUESTS", True)
    for user, expected in ((people.alice, [A1, SHARED]), (people.bob, [SHARED, B1]), (people.root, ALL)):
        assert client_of(user).get("/see/").json()["seen"] == expected
        assert _session_user() == ""


def test_a_stream_is_read_as_its_user_after_the_middleware_has_returned(people: People, client_of: ClientOf) -> None:
    answer = client_of(people.alice).get("/stream/")
    chunks: Any = iter(answer.streaming_content)  # type: ignore[attr-defined]
    assert next(chunks) == f"{A1}\n".encode()
    # between two of its steps another's query sees what is the other's
    with acting_as(people.bob.pk):
        assert _numbers() == [SHARED, B1]
    assert [*chunks] == [f"{text}\n".encode() for text in (SHARED, f"again {A1}", f"again {SHARED}")]
    assert _session_user() == ""


def test_a_stream_that_is_dropped_leaves_nothing_behind(people: People, client_of: ClientOf) -> None:
    answer = client_of(people.alice).get("/stream/")
    next(iter(answer.streaming_content))  # type: ignore[attr-defined]
    answer.close()
    assert _session_user() == ""


def test_async_views_streams_and_their_threads_see_only_their_users_rows(people: People) -> None:
    async def scene() -> None:
        for user, expected in ((people.alice, [A1, SHARED]), (people.bob, [SHARED, B1]), (people.carol, [])):
            client = AsyncClient()
            await client.aforce_login(user)
            answer = await client.get("/see_async/")
            assert answer.json() == {"seen": expected, "in another thread": expected}
            assert await sync_to_async(_session_user)() == ""
            assert (await client.get("/see/")).json() == {"seen": expected}
            streamed = await client.get("/stream_async/")
            lines = [chunk.decode().strip() async for chunk in streamed.streaming_content]  # type: ignore[attr-defined]
            assert lines == expected

    async_to_sync(scene)()
    assert _session_user() == ""
    assert _numbers() == ALL


def test_commands_and_jobs_act_as_whom_they_say(people: People) -> None:
    assert _numbers() == ALL
    with acting_as(people.alice.pk):
        assert _numbers() == [A1, SHARED]
        with acting_as(None):
            assert _numbers() == ALL
        with acting_as("nobody"):
            assert _numbers() == []
            assert not Account.objects.exists()
        assert _numbers() == [A1, SHARED]
    assert _session_user() == ""
    with pytest.raises(ValueError, match="cannot be empty"), acting_as(""):
        pytest.fail("it would see everything")


def test_a_thread_of_ones_own_begins_as_a_trusted_application(people: People) -> None:
    found: list[list[str]] = []

    def work() -> None:
        found.append(_numbers())
        with acting_as(people.bob.pk):
            found.append(_numbers())
        connections.close_all()

    with acting_as(people.alice.pk):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [ALL, [SHARED, B1]]


def test_a_request_that_asks_nothing_costs_nothing(people: People, ask: Any) -> None:
    connections["tasty"].close()
    assert ask(lambda _: "done", people.alice) == "done"
    assert connections["tasty"].connection is None


def test_the_middleware_says_where_it_belongs() -> None:
    with pytest.raises(ImproperlyConfigured, match="has to stand below"):
        CurrentUserMiddleware(lambda _: HttpResponseBase())(RequestFactory().get("/"))


def test_the_other_databases_are_left_alone(people: People, ask: Any) -> None:
    def view(_: HttpRequest) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(current_setting('tasty.current_user', true), '')")
            return bool(cursor.fetchone() == ("",))

    assert ask(view, people.alice)
    assert ask(view, AnonymousUser())


@pytest.fixture
def one_alias(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The application keeps its own tables and reads the pipeline's through one alias and one role."""
    with psycopg.connect(site.owner_url, autocommit=True) as admin:
        for what in ("TABLES", "SEQUENCES"):
            admin.execute(f"GRANT ALL ON ALL {what} IN SCHEMA public TO {site.role}".encode())
    connections["default"].close()
    for key in ("USER", "PASSWORD"):
        monkeypatch.setitem(connections.settings["default"], key, connections.settings["tasty"][key])
    with override_settings(TASTY_DJANGO={}):
        yield
    # its guard would go on
    for alias in ("default", "tasty"):
        connections[alias].close()
        del connections[alias]


@pytest.mark.parametrize("atomic", [False, True])
def test_sessions_and_users_may_be_in_the_same_database_and_alias(
    people: People, one_alias: None, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, atomic: bool
) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)
    browsers = {user: client_of(user) for user in (people.alice, people.bob, people.carol, people.root, None)}
    for _ in range(2):
        seen = {user: browser.get("/see/").json()["seen"] for user, browser in browsers.items()}
        assert [len(numbers) for numbers in seen.values()] == [2, 2, 0, 4, 0]
        assert seen[people.bob] == [SHARED, B1]
    assert browsers[people.alice].get("/leave/").json() == {"before": [A1, SHARED], "after": []}
