"""The admin shows every model, and changes none."""

from collections.abc import Callable

import pytest
from books import A1, NOON, SHARED, Books
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connections, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from scene import People

MODELS = list(apps.get_app_config("tasty_django").get_models())
ClientOf = Callable[[User | None], Client]


def _list(model: type[models.Model]) -> str:
    return reverse(f"admin:tasty_django_{model._meta.model_name}_changelist")


def _name(model: type[models.Model]) -> str:
    return model.__name__


@pytest.fixture
def a_row_of_each(books: Books) -> Books:
    """At least one row in every view."""
    books.transaction(A1, removed_at=NOON)
    books.insert("sealing_keys", key_id="k1", public_key="x", created_at=NOON)
    books.insert("sync_requests", request_id="r/1 ?#", owner="1", requested_at=NOON, state="queued")
    books.change(1)
    rejected = {"table_name": "transactions", "payload_digest": "00", "reason": "<script>", "payload": {"a": "<b>"}}
    books.insert("rejected_rows", account_number=A1, **rejected)
    books.position(A1, "SPY   260320C00500000", instrument_type="Equity Option", extra={"<i>": 1})
    return books


@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_every_model_is_listed_filtered_searched_and_looked_at(
    a_row_of_each: Books, people: People, client_of: ClientOf, model: type[models.Model]
) -> None:
    root, page = client_of(people.root), admin.site.get_model_admin(model)
    assert root.get(_list(model)).status_code == 200
    for text in ("a", "5WX", "1", "it's % _ \\"):
        assert root.get(_list(model), {"q": text}).status_code == 200
    for name in page.list_filter:
        field = model._meta.get_field(str(name))
        asked = {f"{name}__exact": "x"} if field.choices else {f"{name}__isnull": "True"}
        assert root.get(_list(model), asked).status_code == 200
    for column in range(1, len(page.list_display) + 1):
        assert root.get(_list(model), {"o": str(-column)}).status_code == 200
    for row in model._default_manager.all():
        url = reverse(f"admin:tasty_django_{model._meta.model_name}_change", args=[quote(row.pk)])
        answer = root.get(url)
        assert answer.status_code == 200
        assert "<script>" not in answer.content.decode().split('id="content"')[1].split("<footer")[0]


@pytest.mark.parametrize("model", MODELS, ids=_name)
def test_nothing_can_be_added_changed_or_deleted(
    a_row_of_each: Books, people: People, client_of: ClientOf, model: type[models.Model]
) -> None:
    root = client_of(people.root)
    row = model._default_manager.all()[0]
    add = reverse(f"admin:tasty_django_{model._meta.model_name}_add")
    change, delete = (
        reverse(f"admin:tasty_django_{model._meta.model_name}_{what}", args=[quote(row.pk)])
        for what in ("change", "delete")
    )
    assert {root.get(url).status_code for url in (add, delete)} == {403}
    assert {root.post(url, {"post": "yes"}).status_code for url in (add, delete)} == {403}
    # an action of the list page
    chosen = {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"}
    assert root.post(_list(model), chosen).status_code in {200, 302, 403}
    assert root.post(change, {}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()
    assert b'name="_save"' not in root.get(change).content


def test_a_list_costs_the_same_queries_for_any_number_of_rows(
    books: Books, people: People, client_of: ClientOf
) -> None:
    root = client_of(people.root)
    for model in MODELS:
        with CaptureQueriesContext(connections["tasty"]) as before:
            root.get(_list(model))
        assert len(before) <= 3, model
        with books.together():
            for number in range(5):
                books.change(1 + number + 5 * MODELS.index(model))
                books.transaction(A1)
                books.position(SHARED, f"{model.__name__}{number}")
        with CaptureQueriesContext(connections["tasty"]) as after:
            root.get(_list(model))
        assert len(after) <= len(before), model


def test_a_list_shows_fifty_rows_and_finds_by_symbol_words_and_account(
    books: Books, people: People, client_of: ClientOf
) -> None:
    root = client_of(people.root)
    with books.together():
        for number in range(60):
            books.transaction(A1, f"X{number}")
    url = reverse("admin:tasty_django_transaction_changelist")

    def rows(**asked: str) -> int:
        return root.get(url, asked).content.count(b'class="field-transaction_id"')

    assert (rows(), rows(p="2"), rows(q="x59"), rows(q="Bought 1 X12"), rows(q=SHARED)) == (50, 14, 1, 1, 1)
    assert (rows(transaction_type__exact="Trade"), rows(transaction_type__exact="Other")) == (50, 0)


def test_staff_see_in_the_admin_only_their_own_rows(books: Books, people: People, client_of: ClientOf) -> None:
    people.alice.is_staff = True
    people.alice.save()
    people.alice.user_permissions.add(Permission.objects.get(codename="view_transaction"))
    page = client_of(people.alice).get(reverse("admin:tasty_django_transaction_changelist")).content.decode()
    assert A1 in page
    assert "5WX00003" not in page
    assert client_of(people.alice).get(reverse("admin:tasty_django_account_changelist")).status_code == 403
