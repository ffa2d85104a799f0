"""Postgres itself keeps applications to what they may do: the reader reads, the application asks and connects."""

import pytest
from psycopg import errors

from .conftest import As
from .users import KINDS, LOGINS, RELATIONS, SEALED, columns_of

WRITES = (
    "INSERT INTO {} DEFAULT VALUES",
    "UPDATE {} SET {} = NULL",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "ALTER TABLE {} ADD COLUMN more text",
    "DROP TABLE {}",
    "CREATE TRIGGER t BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION tasty.forget_state()",
)
PRIVILEGES = """
    SELECT oid::regclass::text, privilege FROM pg_catalog.pg_class,
        unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    WHERE relnamespace::regnamespace::text IN ('tasty', 'tasty_v1') AND relkind <> 'i' AND (
        has_table_privilege(oid, privilege)
        OR privilege IN ('INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(oid, privilege))"""


@pytest.mark.parametrize("user", [None, "alice"])
def test_the_reader_can_write_nothing_anywhere(acting: As, user: str | None) -> None:
    who = acting("tasty_reader", user)
    assert who.ask(PRIVILEGES) == []
    for (relation,) in who.ask(RELATIONS):
        column = (columns_of(who, relation) or ["connection_id"])[-1]
        for write in WRITES:
            # a view is no table, and says so first
            with pytest.raises((errors.InsufficientPrivilege, errors.WrongObjectType)):
                who.ask(write.format(relation, column))
    for name in ("tasty", "tasty_v1"):
        with pytest.raises(errors.InsufficientPrivilege):
            who.ask(f"CREATE TABLE {name}.more ()")
    with pytest.raises(errors.InsufficientPrivilege, match="function make_roles"):
        who.ask("SELECT tasty.make_roles()")


def test_no_function_looks_for_names_where_its_caller_says(acting: As) -> None:
    ours = "SELECT proname FROM pg_proc WHERE pronamespace = 'tasty'::regnamespace AND "
    owner = acting("owner")
    assert owner.ask(ours + "NOT coalesce(proconfig && %s, false)", ["search_path=pg_catalog, pg_temp"]) == []
    assert owner.ask(f"{ours} prosecdef ORDER BY 1") == [("visible_accounts",), ("visible_connections",)]


def test_the_application_can_write_two_tables_only(acting: As) -> None:
    assert set(acting("tasty_app").ask(PRIVILEGES)) == {
        ("tasty.sync_requests", "INSERT"),
        ("tasty.connections", "INSERT"),
        ("tasty.connections", "UPDATE"),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "query",
    [
        "SELECT sealed_credentials FROM tasty.connections",
        "SELECT refused_login FROM tasty.connections",
        "SELECT * FROM tasty.connections",
        "SELECT connections FROM tasty.connections",
        "SELECT 1 FROM tasty.connections WHERE sealed_credentials LIKE 'tp1.%'",
        "COPY tasty.connections TO STDOUT",
        "SELECT * FROM tasty.access_tokens",
        "SELECT count(*) FROM tasty.access_tokens",
    ],
)
def test_what_is_sealed_can_be_read_by_no_application(acting: As, kind: str, query: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        acting(kind).ask(query)


@pytest.mark.parametrize("kind", KINDS)
def test_no_view_shows_what_is_sealed(acting: As, kind: str) -> None:
    who = acting(kind)
    for (relation,) in who.ask(RELATIONS):
        if relation.startswith("tasty_v1."):
            shown = who.ask(f"SELECT seen::text FROM {relation} AS seen")  # noqa: S608 - names of the catalogue
            assert not [row for row in shown if SEALED in row[0] or "digest" in row[0]] or "proven" in relation


def test_somebody_without_a_role_can_read_nothing(acting: As) -> None:
    who = acting("stranger")
    for (relation,) in who.ask(RELATIONS):
        with pytest.raises(errors.InsufficientPrivilege):
            who.ask(f"SELECT 1 FROM {relation}")  # noqa: S608 - names of the catalogue


ASK = "INSERT INTO tasty.sync_requests (request_id, owner, requested_at, state) VALUES (%s, %s, now(), %s)"
CONNECT = """
    INSERT INTO tasty.connections (connection_id, owner, label, sandbox, sealed_credentials, connected_at)
    VALUES (%s, %s, 'Mine', false, 'tp1.k1.bmV3', now())"""


@pytest.mark.parametrize("user", [None, "", "alice"])
def test_the_application_asks_for_a_sync_and_stores_a_connection(acting: As, user: str | None) -> None:
    who = acting("tasty_app", user)
    assert who.ask(f"{ASK} RETURNING state", "r-9", "alice", "queued") == [("queued",)]
    assert (
        who.count(f"{ASK} ON CONFLICT (owner) WHERE state IN ('queued', 'running') DO NOTHING", "r", "alice", "queued")
        == 0
    )
    assert who.ask(f"{CONNECT} RETURNING connection_id", "c-9", "alice") == [("c-9",)]
    assert who.ask("SELECT state FROM tasty_v1.connections WHERE connection_id = 'c-9'") == [("new",)]


@pytest.mark.parametrize(
    ("user", "statement", "parameters"),
    [
        ("alice", ASK, ("r-9", "bob", "queued")),
        ("alice", ASK, ("r-9", "alice", "running")),
        ("alice", ASK, ("r-9", "alice", "done")),
        (None, ASK, ("r-9", "alice", "running")),
        ("alice", CONNECT, ("c-9", "bob")),
        ("alice", CONNECT, ("c-9", None)),
        (None, CONNECT, ("c-9", None)),
        ("alice", CONNECT, ("default", "alice")),
        (None, CONNECT, ("default", "alice")),
        ("nobody", ASK, ("r-9", "alice", "queued")),
        ("nobody", CONNECT, ("c-9", "alice")),
    ],
)
def test_the_application_may_insert_nothing_else(
    acting: As, user: str | None, statement: str, parameters: tuple[str | None, ...]
) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        acting("tasty_app", user).ask(statement, *parameters)


@pytest.mark.parametrize("owner", ["", "nobody"])
@pytest.mark.parametrize(("statement", "more"), [(ASK, ("queued",)), (CONNECT, ())])
def test_nothing_belongs_to_nobody(acting: As, statement: str, more: tuple[str, ...], owner: str) -> None:
    for user in (None, owner):
        with pytest.raises(errors.CheckViolation):
            acting("tasty_app", user).ask(statement, "n-1", owner, *more)


@pytest.mark.parametrize("column", ["run_id", "started_at", "ended_at", "progress", "error"])
def test_the_application_says_of_a_request_only_that_it_is_wanted(acting: As, column: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        acting("tasty_app").ask(
            f"INSERT INTO tasty.sync_requests (request_id, owner, requested_at, state, {column}) "  # noqa: S608
            "VALUES ('r-9', 'alice', now(), 'queued', NULL)"
        )


@pytest.mark.parametrize("column", ["state", "state_reason", "state_changed_at", "refused_login", "owner", "sandbox"])
def test_the_application_cannot_say_how_a_connection_fares_or_whose_it_is(acting: As, column: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="permission denied"):
        acting("tasty_app").ask(f"UPDATE tasty.connections SET {column} = NULL WHERE connection_id = 'a'")  # noqa: S608


DISCONNECT = "UPDATE tasty.connections SET disconnected_at = now(), sealed_credentials = NULL WHERE connection_id = %s"


@pytest.mark.parametrize(("user", "may"), [(None, {"a", "b"}), ("alice", {"a"}), ("bob", {"b"}), ("nobody", set())])
def test_the_application_ends_only_connections_that_it_could_have_made(
    acting: As, user: str | None, may: set[str]
) -> None:
    who = acting("tasty_app", user)
    assert {name for name in LOGINS if who.count(DISCONNECT, name)} == may


def test_who_disconnected_a_login_connects_it_again(acting: As) -> None:
    who = acting("tasty_app", "alice")
    assert who.count(DISCONNECT, "a") == 1
    again = (
        "UPDATE tasty.connections SET disconnected_at = NULL, sealed_credentials = 'tp1.k1.bmV3', connected_at = now()"
    )
    assert who.count(again) == 1
    assert len(who.ask("SELECT 1 FROM tasty_v1.accounts")) == 2


def test_what_was_known_of_a_connection_is_void_once_its_credentials_change(acting: As) -> None:
    who = acting("owner")
    refused = "state = 'needs reauthorisation', state_reason = 'The grant was revoked.', state_changed_at = now()"
    who.ask(f"UPDATE tasty.connections SET {refused} WHERE connection_id = 'a'")  # noqa: S608
    who.ask("SET ROLE tasty_app")
    known = "SELECT state, state_reason, state_changed_at IS NULL FROM tasty_v1.connections WHERE connection_id = 'a'"
    who.ask("UPDATE tasty.connections SET label = 'Renamed' WHERE connection_id = 'a'")
    assert who.ask(known) == [("needs reauthorisation", "The grant was revoked.", False)]
    who.ask("UPDATE tasty.connections SET sealed_credentials = 'tp1.k1.bmV3' WHERE connection_id = 'a'")
    assert who.ask(known) == [("new", None, True)]


def test_a_user_has_one_open_request_at_a_time(acting: As) -> None:
    who = acting("tasty_app", "alice")
    who.ask(ASK, "r-1", "alice", "queued")
    with pytest.raises(errors.UniqueViolation):
        who.ask(ASK, "r-2", "alice", "queued")
    who.act_as("bob")
    who.ask(ASK, "r-3", "bob", "queued")
