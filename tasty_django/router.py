"""Where the models are read, and that nothing is written or migrated through them."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from tasty_django import conf
from tasty_django.errors import refuse

_APP = "tasty_django"


class Router:
    """Sends reads of this app's models to `TASTY_DJANGO["DATABASE"]`; has no opinion on other apps' models."""

    def db_for_read(self, model: type[Model], **_hints: Any) -> str | None:
        """Return the alias of the pipeline's database."""
        return conf.database() if model._meta.app_label == _APP else None

    def db_for_write(self, model: type[Model], **_hints: Any) -> str | None:
        """Raise `ReadOnlyError`."""
        if model._meta.app_label == _APP:
            refuse(model)
        return None

    def allow_relation(self, one: Model, other: Model, **_hints: Any) -> bool | None:
        """Allow relations among the app's own models; Django decides on others."""
        labels = {one._meta.app_label, other._meta.app_label}
        return True if labels == {_APP} else None

    def allow_migrate(self, _db: str, app_label: str, **_hints: Any) -> bool | None:
        """Refuse: the pipeline makes its tables itself."""
        return False if app_label == _APP else None


class NoMigrations:
    """Keeps other apps' migrations away from an alias that is the pipeline's alone, where no other router wants them.

    Once a project has any router, `makemigrations` asks every alias for its migrations; the pipeline's roles may not
    even read them.
    """

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool | None:
        """Refuse on `TASTY_DJANGO["DATABASE"]`, unless it is the default alias."""
        return False if db == conf.database() != DEFAULT_DB_ALIAS else None
