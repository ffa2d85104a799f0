"""A user of an application sees their own rows in every table and view, and no other user's."""

import pytest

from tasty_pipeline.core import schema

from .conftest import As
from .users import ACCOUNTS, COMMON, KINDS, LOGINS, RELATIONS, SEES, seen


@pytest.mark.parametrize("kind", KINDS)
def test_every_table_and_view_is_readable_but_the_access_tokens(acting: As, kind: str) -> None:
    who = acting(kind)
    relations = {name for (name,) in who.ask(RELATIONS)}
    assert relations - set(seen(who)) == {"tasty.access_tokens"}
    tables = {name for name in relations if name.startswith("tasty.")}
    assert tables == {*schema.METADATA.tables, "tasty.schema_version"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", SEES)
def test_a_user_sees_their_own_rows_in_every_table_and_view_and_no_other(acting: As, kind: str, user: str) -> None:
    who = acting(kind, user)
    accounts = SEES[user]
    owners = {user} & {owner for owner, _ in LOGINS.values()}
    connections = {name for name, (owner, _) in LOGINS.items() if owner == user}
    for relation, whose in seen(who).items():
        if relation.partition(".")[2] in COMMON:
            continue
        # a table that does not say whose its rows are has to be named above
        assert set(whose) - {""}, relation
        # the list of accounts itself is of no account
        of_lists = {""} if accounts and relation.endswith(".sync_log") else set()
        assert whose.get("account_number", accounts | of_lists) == accounts | of_lists, relation
        assert whose.get("owner", owners) == owners, relation
        assert whose.get("connection_id", connections) == connections, relation


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("user", [None, ""])
def test_an_application_that_sets_no_user_sees_every_row(acting: As, kind: str, user: str | None) -> None:
    for relation, whose in seen(acting(kind, user)).items():
        assert whose.get("account_number", set(ACCOUNTS)) - {""} == set(ACCOUNTS), relation
        assert whose.get("connection_id", set(LOGINS)) == set(LOGINS), relation


def test_a_session_that_resets_the_user_sees_every_row_again(acting: As) -> None:
    who = acting("tasty_reader", "alice")
    assert len(who.ask("SELECT 1 FROM tasty_v1.accounts")) == 2
    who.ask('RESET tasty."current_user"')
    assert len(who.ask("SELECT 1 FROM tasty_v1.accounts")) == 4


def test_of_the_sync_log_a_user_sees_their_own_failures_and_not_those_of_others(acting: As) -> None:
    failures = "SELECT connection FROM tasty_v1.sync_log WHERE result = 'failed'"
    assert acting("tasty_reader", "alice").ask(failures) == [("a",)]
    assert acting("tasty_reader", "bob").ask(failures) == [("b",)]


def test_an_account_that_two_logins_see_is_seen_by_both_users(acting: As) -> None:
    shared = "SELECT count(*) FROM tasty_v1.transactions WHERE account_number = 'A2'"
    for user in ("alice", "bob"):
        assert acting("tasty_app", user).ask(shared) == [(1,)]


def test_a_disconnected_login_shows_nothing_but_itself(acting: As) -> None:
    who = acting("owner")
    who.ask("UPDATE tasty.connections SET disconnected_at = now() WHERE connection_id = 'a'")
    who.ask("SET ROLE tasty_reader")
    who.act_as("alice")
    for relation, whose in seen(who).items():
        assert whose.get("account_number", set()) == set(), relation
    assert who.ask("SELECT connection_id, state FROM tasty_v1.connections") == [("a", "disconnected")]
    who.act_as("bob")
    assert set(who.ask("SELECT account_number FROM tasty_v1.transactions")) == {("A2",), ("A3",)}


def test_an_account_that_a_login_no_longer_lists_is_no_longer_shown_to_its_user(acting: As) -> None:
    who = acting("owner")
    who.ask(
        "UPDATE tasty.connection_accounts SET removed_at = now() WHERE connection_id = 'a' AND account_number = 'A2'"
    )
    who.ask("SET ROLE tasty_app")
    who.act_as("alice")
    for relation in (
        "accounts",
        "positions",
        "balances",
        "balance_snapshots",
        "transactions",
        "changes",
        "proven_days",
    ):
        assert who.ask(f"SELECT account_number FROM tasty_v1.{relation}") == [("A1",)]  # noqa: S608
    who.act_as("bob")
    assert ("A2",) in who.ask("SELECT account_number FROM tasty_v1.accounts")
