"""Telling a person: one alert to every channel that the environment names (mail, webhook, command).

Here belongs how an alert is worded and delivered. When there is cause for one, and whether it was told before, is
decided by the sensors. No text and no error from here holds a credential, a webhook's address or a command's arguments.
"""

import logging
import os
import re
import shlex
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import httpx2

from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.hosts import is_loopback
from tasty_pipeline.core.settings import Settings

# Each channel gets this long, so that all three together stay below the minute that a sensor's tick may take.
CHANNEL_SECONDS = 10.0
TITLE_LENGTH = 150
_LOG = logging.getLogger(__name__)
_SUBMISSION_PORT = 587
_CREDENTIALS = ("TT_SECRET", "TT_REFRESH")


@dataclass(frozen=True, kw_only=True)
class Alert:
    """What a person needs at 3 a.m. No `accounts` means all of the login; `url` leads to the run's page."""

    title: str
    cause: str
    remedy: str
    run_id: str
    accounts: tuple[str, ...] = ()
    url: str | None = None

    @property
    def headline(self) -> str:
        """The title as one short line: it becomes a mail's header, where a line break would start another one."""
        line = re.sub(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+", " ", self.title).strip()
        return line if len(line) <= TITLE_LENGTH else f"{line[: TITLE_LENGTH - 1]}…"

    @property
    def text(self) -> str:
        """The whole alert as plain text."""
        lines = [
            self.headline,
            "",
            self.cause.strip(),
            "",
            f"Accounts: {', '.join(self.accounts) or 'all of the login'}",
            f"What to do: {self.remedy.strip()}",
            f"Run: {self.run_id}",
        ]
        return "\n".join([*lines, f"Page: {self.url}"] if self.url else lines) + "\n"


class AlertError(TastyError):
    """One or more channels failed; the others were served. `delivered` says how many."""

    def __init__(self, failures: list[str], delivered: int) -> None:
        self.delivered = delivered
        others = f"The other {delivered} got it." if delivered else "Nobody was told."
        super().__init__(
            f"An alert could not be delivered: {'; '.join(failures)}. {others}",
            "check the TASTY_ALERT_... and TASTY_SMTP_URL settings of the named channel and that its server answers.",
        )


class _ChannelError(Exception):
    """Why one channel failed, in words without secrets."""


def send(alert: Alert, settings: Settings) -> None:
    """Deliver an alert to every configured channel; one that fails does not stop the others.

    Raises `AlertError`, after all were tried, naming those that failed. Where none is configured it logs that nobody
    was told, and how to change that.
    """
    channels, clean = _channels(settings), _without_secrets(alert, settings)
    if not channels:
        _LOG.warning(
            "Nobody was told of this alert: no channel is configured. Set TASTY_ALERT_EMAIL (with TASTY_SMTP_URL), "
            "TASTY_ALERT_WEBHOOK or TASTY_ALERT_COMMAND.\n%s",
            clean.text,
        )
        return
    failures = []
    for name, deliver in channels.items():
        try:
            deliver(clean, settings)
        except _ChannelError as error:
            failures.append(f"{name}: {error}")
    if failures:
        raise AlertError(failures, len(channels) - len(failures))


def _channels(settings: Settings) -> dict[str, Callable[[Alert, Settings], None]]:
    known = {
        "TASTY_ALERT_EMAIL": (settings.alert_email, _mail),
        "TASTY_ALERT_WEBHOOK": (settings.alert_webhook, _post),
        "TASTY_ALERT_COMMAND": (settings.alert_command, _run),
    }
    return {name: deliver for name, (value, deliver) in known.items() if value}


def _without_secrets(alert: Alert, settings: Settings) -> Alert:
    """Blot out what an unforeseen error, quoted in the alert, may have quoted in its turn."""
    urls = [settings.warehouse_url, settings.smtp_url, settings.alert_webhook or ""]
    passwords = [_split(url).password for url in urls]
    passwords += parse_qs(_split(settings.warehouse_url).query).get("password", [])
    secrets = {settings.client_secret, settings.refresh_token, settings.alert_webhook, *passwords}

    def clean(text: str) -> str:
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, "***").replace(unquote(secret), "***")
        return text

    return Alert(
        title=clean(alert.title),
        cause=clean(alert.cause),
        remedy=clean(alert.remedy),
        run_id=alert.run_id,
        accounts=alert.accounts,
        url=alert.url,
    )


def _post(alert: Alert, settings: Settings) -> None:
    # `text` is the field that Slack, Mattermost and their like show; the rest is for programs
    body = {**asdict(alert), "title": alert.headline, "text": alert.text}
    failure = None
    try:
        with httpx2.Client(timeout=CHANNEL_SECONDS, headers={"User-Agent": "tasty-pipeline"}) as client:
            status = client.post(settings.alert_webhook or "", json=body).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        failure = type(error).__name__
    # raised outside of the handler: the library's errors quote the address, which often is the secret
    if failure:
        raise _ChannelError(f"the webhook could not be reached ({failure})")
    if not httpx2.codes.is_success(status):
        raise _ChannelError(f"the webhook answered with status {status}")


def _run(alert: Alert, settings: Settings) -> None:
    try:
        command = shlex.split(settings.alert_command or "")
    except ValueError as error:
        raise _ChannelError(f"the command cannot be read ({error})") from None
    if not command:
        raise _ChannelError("the command is empty")
    name = os.path.basename(command[0])  # noqa: PTH119 - a command need not be a path
    environment = {key: value for key, value in os.environ.items() if key not in _CREDENTIALS}
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            command,
            input=alert.text.encode(),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=CHANNEL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _ChannelError(f"{name} did not end within {CHANNEL_SECONDS:g} s") from None
    except OSError as error:
        raise _ChannelError(f"{name} could not be started ({error.strerror})") from None
    if done.returncode:
        raise _ChannelError(f"{name} ended with exit code {done.returncode}")


def _mail(alert: Alert, settings: Settings) -> None:
    server = _split(settings.smtp_url)
    if server.scheme not in {"smtp", "smtps"} or not server.hostname:
        raise _ChannelError("TASTY_SMTP_URL is not smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://...")
    user = unquote(server.username or "")
    message = EmailMessage()
    failure = None
    try:
        message["Subject"] = f"[tasty-pipeline] {alert.headline}"
        # a server that wants a login usually wants it as the sender too
        message["From"] = user if "@" in user else settings.alert_email[0]
        message["To"] = ", ".join(settings.alert_email)
        message.set_content(alert.text)
        with _smtp(server) as smtp:
            if user:
                _log_in(smtp, server, user)
            refused = smtp.send_message(message)
    except ValueError:
        failure = "an address is not one"
    except smtplib.SMTPAuthenticationError as error:
        failure = f"{server.hostname} refused the login (status {error.smtp_code})"
    except smtplib.SMTPResponseException as error:
        failure = f"{server.hostname} refused with status {error.smtp_code}"
    except (smtplib.SMTPException, OSError) as error:
        failure = f"{server.hostname} could not be used ({type(error).__name__})"
    else:
        failure = f"{server.hostname} refused {len(refused)} of the addresses" if refused else None
    # raised outside of the handler: the library's errors may quote what was sent
    if failure:
        raise _ChannelError(failure)


@contextmanager
def _smtp(server: SplitResult) -> Iterator[smtplib.SMTP]:
    host = server.hostname or ""
    if server.scheme == "smtps":
        secure = smtplib.SMTP_SSL(
            host, server.port or smtplib.SMTP_SSL_PORT, timeout=CHANNEL_SECONDS, context=ssl.create_default_context()
        )
        with secure:
            yield secure
        return
    port = server.port or (_SUBMISSION_PORT if server.username else smtplib.SMTP_PORT)
    with smtplib.SMTP(host, port, timeout=CHANNEL_SECONDS) as plain:
        yield plain


def _log_in(smtp: smtplib.SMTP, server: SplitResult, user: str) -> None:
    if server.scheme == "smtp":
        smtp.ehlo_or_helo_if_needed()
        if smtp.has_extn("starttls"):
            smtp.starttls(context=ssl.create_default_context())
        elif not is_loopback(server.hostname or ""):
            raise _ChannelError(f"{server.hostname} offers no encryption for the login; use smtps:// or leave it out")
    smtp.login(user, unquote(server.password or ""))


def _split(url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        _ = split.port
    except ValueError:
        return urlsplit("")
    return split
