"""How Django meets the app: the router, the checks and the current user are put in place when it is ready."""

from django.apps import AppConfig
from django.conf import settings
from django.db import router as routing
from django.db.backends.signals import connection_created

_FIRST, _LAST = "tasty_django.router.Router", "tasty_django.router.NoMigrations"


class TastyDjangoConfig(AppConfig):
    """One line in INSTALLED_APPS, `tasty_django`, is all that is needed."""

    name = "tasty_django"
    verbose_name = "TastyTrade"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Install the routers around the project's own, register the checks, guard the database's connections."""
        from tasty_django import checks, current_user  # noqa: F401, PLC0415 - models must be loaded before

        if _FIRST not in settings.DATABASE_ROUTERS:
            settings.DATABASE_ROUTERS = [_FIRST, *settings.DATABASE_ROUTERS, _LAST]
            # the handler keeps what it read first
            routing.__dict__.pop("routers", None)
        connection_created.connect(current_user.on_connection, dispatch_uid="tasty_django.current_user")
