"""`manage.py tasty_changes`: shows the change feed as it happens."""

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tasty_django.feed import listen
from tasty_django.models import Change


class Command(BaseCommand):
    """Prints a line for each change until it is interrupted."""

    help = "Show what the pipeline writes, a line for each row, as it happens. Ctrl-C ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add --after and --user."""
        parser.add_argument(
            "--after", type=int, metavar="N", help="begin with what came after this number; 0 is the beginning"
        )
        parser.add_argument("--user", metavar="NAME", help="only accounts that this user's connections see")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Print changes, and return at an interrupt."""
        user = None if options["user"] is None else _user(options["user"])
        try:
            for batch in listen(options["after"], user=user):
                for change in batch:
                    self.stdout.write(_line(change))
                self.stdout.flush()
        except KeyboardInterrupt:
            return


def _user(name: str) -> Any:
    users: Any = get_user_model()._default_manager
    try:
        return users.get_by_natural_key(name)
    except ObjectDoesNotExist:
        raise CommandError(f"There is no user {name!r}.") from None


def _line(change: Change) -> str:
    key = " ".join(f"{name}={value}" for name, value in change.row_key.items())
    when = timezone.localtime(change.changed_at).isoformat(sep=" ", timespec="seconds")
    return f"{change.sequence} {when} {change.kind} {change.table_name} {change.account_number} {key}"
