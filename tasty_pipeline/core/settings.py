"""The environment, read when it is used and never at import: the one place that knows the variables' names.

An empty value counts as not set. No value of a credential appears in a repr or an error.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from tasty_pipeline.core.errors import ConfigurationError

DEFAULT_WAREHOUSE_URL = "duckdb:///data/warehouse.duckdb"
DEFAULT_HISTORY_START = date(2017, 1, 1)
DEFAULT_SEALING_KEYS = Path("data/sealing-keys")

VARIABLES: Mapping[str, str] = {
    "TT_SECRET": "client secret of the OAuth application",
    "TT_REFRESH": "OAuth refresh token of the connection `default`; without it only stored connections are read",
    "TASTY_API_URL": "base URL of the API; default production, or the sandbox if TASTY_SANDBOX=1",
    "TASTY_SANDBOX": "1 = the sandbox",
    "TASTY_WAREHOUSE_URL": f"duckdb:///PATH or postgresql://...; default {DEFAULT_WAREHOUSE_URL}",
    "TASTY_HISTORY_START": f"first day of the history, YYYY-MM-DD; default {DEFAULT_HISTORY_START}",
    "TASTY_SEALING_KEYS": f"file of the private keys that open stored credentials; default {DEFAULT_SEALING_KEYS}",
    "TASTY_PUBLISH_COPY": "path of a read-only copy of the DuckDB file, replaced after each run; default none",
    "TASTY_UI_URL": "where the Dagster UI is, for the links in alerts; default none",
    "TASTY_ALERT_WEBHOOK": "URL that gets each alert as JSON",
    "TASTY_ALERT_COMMAND": "command that gets each alert as text on its standard input",
    "TASTY_ALERT_EMAIL": "address, or addresses with commas, that each alert is mailed to",
    "TASTY_SMTP_URL": "mail server: smtp://[USER:PASSWORD@]HOST[:PORT], or smtps://...; default smtp://localhost",
}
_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says; None where it says nothing and there is no default.

    No repr shows a credential, nor what may hold one: a URL with a password, a command with a token.
    """

    client_secret: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    api_url: str | None = field(default=None, repr=False)
    sandbox: bool = False
    warehouse_url: str = field(default=DEFAULT_WAREHOUSE_URL, repr=False)
    history_start: date = DEFAULT_HISTORY_START
    sealing_keys: Path = DEFAULT_SEALING_KEYS
    publish_copy: Path | None = None
    ui_url: str | None = None
    alert_webhook: str | None = field(default=None, repr=False)
    alert_command: str | None = field(default=None, repr=False)
    alert_email: tuple[str, ...] = ()
    smtp_url: str = field(default="smtp://localhost", repr=False)

    @property
    def has_credentials(self) -> bool:
        """Whether both halves of the connection `default` are set."""
        return bool(self.client_secret and self.refresh_token)

    def credentials(self) -> tuple[str, str]:
        """Return client secret and refresh token; raise `ConfigurationError` where one or both are missing.

        The client secret alone is no fault where connections are stored: it is the OAuth application's, and theirs too.
        """
        if self.client_secret and self.refresh_token:
            return self.client_secret, self.refresh_token
        given = [
            name for name, value in (("TT_SECRET", self.client_secret), ("TT_REFRESH", self.refresh_token)) if value
        ]
        what = (
            f"Only {given[0]} is set; a login needs TT_SECRET and TT_REFRESH." if given else "No credentials are set."
        )
        raise ConfigurationError(
            what,
            "set TT_SECRET (the OAuth application's client secret) and TT_REFRESH (the refresh token of your grant); "
            "`make demo` and `make dev` need neither. Further logins are added with `tasty-pipeline connections add`.",
        )


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; raise `ConfigurationError` naming the variable that makes no sense."""
    env = {name: value.strip() for name, value in (os.environ if environment is None else environment).items()}

    def get(name: str) -> str | None:
        return env.get(name) or None

    copy = get("TASTY_PUBLISH_COPY")
    return Settings(
        client_secret=get("TT_SECRET"),
        refresh_token=get("TT_REFRESH"),
        api_url=get("TASTY_API_URL"),
        sandbox=_flag("TASTY_SANDBOX", get("TASTY_SANDBOX")),
        warehouse_url=get("TASTY_WAREHOUSE_URL") or DEFAULT_WAREHOUSE_URL,
        history_start=_history_start(get("TASTY_HISTORY_START")),
        sealing_keys=Path(get("TASTY_SEALING_KEYS") or DEFAULT_SEALING_KEYS).expanduser(),
        publish_copy=Path(copy) if copy else None,
        ui_url=get("TASTY_UI_URL"),
        alert_webhook=get("TASTY_ALERT_WEBHOOK"),
        alert_command=get("TASTY_ALERT_COMMAND"),
        alert_email=tuple(part.strip() for part in (get("TASTY_ALERT_EMAIL") or "").split(",") if part.strip()),
        smtp_url=get("TASTY_SMTP_URL") or "smtp://localhost",
    )


def _flag(name: str, value: str | None) -> bool:
    if value is None or value.lower() in _FALSE:
        return False
    if value.lower() in _TRUE:
        return True
    raise ConfigurationError(f"{name} is neither 1 nor 0.", f"set {name}=1, or leave it out.")


def _history_start(value: str | None) -> date:
    if value is None:
        return DEFAULT_HISTORY_START
    try:
        # fromisoformat takes 20200101 and week dates too; only the one spelling survives the way back
        day = date.fromisoformat(value)
        if day.isoformat() != value:
            raise ValueError(value)  # noqa: TRY301 - one error for both
    except ValueError:
        raise ConfigurationError(
            f"TASTY_HISTORY_START={value!r} is not a date.", "write it as YYYY-MM-DD, such as 2017-01-01."
        ) from None
    return day
