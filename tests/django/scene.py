"""Who and what stands on the stage of the tests: the project's site and its users (fixtures make them)."""

import os
from dataclasses import dataclass
from pathlib import Path

from django.contrib.auth.models import User

PASSWORD = "an open secret"


@dataclass(frozen=True)
class Site:
    """The session's project: the URL of its database as the owner of the tables, and as the application's role."""

    owner_url: str
    app_url: str
    role: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs that is started beside the test, such as `python -m django ...`."""
        here = str(Path(__file__).parent)
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]),
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "TASTY_TEST_SITE_DEFAULT": self.owner_url,
            "TASTY_TEST_SITE_TASTY": self.app_url,
        }


@dataclass(frozen=True)
class People:
    """alice and bob own connections, root is a superuser, carol has nothing."""

    alice: User
    bob: User
    carol: User
    root: User
