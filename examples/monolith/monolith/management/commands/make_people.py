"""`manage.py make_people`: the users of the example; those that there are stay as they are."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from monolith.people import OPERATOR, USERS, password_of


class Command(BaseCommand):
    """Makes alice and bob, and an operator who sees everything in the admin."""

    help = __doc__

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Make who is missing."""
        people = User.objects
        for name in (*USERS, OPERATOR):
            if not people.filter(username=name).exists():
                make = people.create_superuser if name == OPERATOR else people.create_user
                make(name, password=password_of(name))
