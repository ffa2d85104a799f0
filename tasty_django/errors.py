"""What this app raises on its own account. Database errors that it has nothing to add to stay Django's."""

from typing import NoReturn


class TastyError(Exception):
    """Any of the errors below; its text says what happened and what to do."""


class ReadOnlyError(TastyError):
    """Somebody tried to write through a model: only the pipeline writes these tables."""


class ActionError(TastyError):
    """An action cannot be done now; the text may be shown to the user."""


class NoKeyError(ActionError):
    """Credentials cannot be kept: the pipeline has made no sealing key yet."""


class NoRightError(ActionError):
    """The database's role lacks a right, or acts as another user."""


class LabelTakenError(ActionError):
    """The user already has a connection with this name."""


def refuse(model: type[object]) -> NoReturn:
    """Raise `ReadOnlyError` for a model."""
    raise ReadOnlyError(
        f"{model.__name__} cannot be written: its table is the pipeline's, which keeps it equal to the broker. "
        "Ask for a synchronisation or change a connection with tasty_django.actions; keep data of your own in a model "
        "of your own."
    )
