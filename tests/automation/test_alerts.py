"""Delivering: real mail server, real webhook, real command; what each gets, and what happens when one fails."""

import json
import logging
import shlex
import socketserver
import sys
import threading
from base64 import b64decode
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from tasty_pipeline.core import alerts
from tasty_pipeline.core.alerts import Alert, AlertError, send
from tasty_pipeline.core.hosts import is_loopback
from tasty_pipeline.core.settings import Settings

from .conftest import Webhook

ALERT = Alert(
    title="sync_history failed: the broker refused",
    cause="AuthenticationError: The refresh token was revoked.",
    remedy="make a new one.",
    run_id="run-1",
    accounts=("5WT00001", "5WT00002"),
    url="http://localhost:3000/runs/run-1",
)


class MailServer(socketserver.ThreadingTCPServer):
    """Enough of SMTP to take mail; it keeps who logged in, the envelopes and the messages."""

    daemon_threads = True

    def __init__(self, *, refuse: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _MailSession)
        self.refuse = refuse
        self.logins: list[bytes] = []
        self.recipients: list[str] = []
        self.messages: list[EmailMessage] = []
        self.port = self.server_address[1]


class _MailSession(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = cast("MailServer", self.server)
        self.say("220 mail")
        while line := self.rfile.readline().decode().strip():
            word = line.split()[0].upper()
            if word == "EHLO":
                self.say("250-mail\r\n250 AUTH PLAIN")
            elif word == "AUTH":
                server.logins.append(b64decode(line.split()[2]))
                self.say("235 fine")
            elif word == "RCPT":
                server.recipients.append(line)
                self.say("550 no" if server.refuse else "250 fine")
            elif word == "DATA":
                self.say("354 go on")
                lines = iter(self.rfile.readline, b".\r\n")
                parsed = message_from_bytes(b"".join(lines), policy=policy.default)
                server.messages.append(parsed)
                self.say("250 fine")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 fine")

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def python(code: str, *arguments: object) -> str:
    return shlex.join([sys.executable, "-c", code, *map(str, arguments)])


SAVE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


def settings(**given: object) -> Settings:
    return Settings(**given)  # type: ignore[arg-type]


def test_every_configured_channel_gets_the_whole_alert(mail: MailServer, webhook: Webhook, tmp_path: Path) -> None:
    saved = tmp_path / "a file"
    send(
        ALERT,
        settings(
            alert_email=("one@example.com", "two@example.com"),
            smtp_url=f"smtp://127.0.0.1:{mail.port}",
            alert_webhook=webhook.url,
            alert_command=python(SAVE, saved),
        ),
    )
    (message,) = mail.messages
    (posted,) = webhook.alerts
    assert message["Subject"] == "[tasty-pipeline] sync_history failed: the broker refused"
    assert message["To"] == "one@example.com, two@example.com"
    assert len(mail.recipients) == 2
    assert posted["accounts"] == ["5WT00001", "5WT00002"]
    assert {name: posted[name] for name in ("cause", "remedy", "run_id", "url")} == {
        name: getattr(ALERT, name) for name in ("cause", "remedy", "run_id", "url")
    }
    for text in (message.get_content(), posted["text"], saved.read_text()):
        for part in (ALERT.cause, ALERT.remedy, "5WT00001, 5WT00002", "run-1", "http://localhost:3000/runs/run-1"):
            assert part in text.replace("\r\n", "\n")


def test_one_channel_that_fails_does_not_stop_the_others_and_is_named_without_its_secrets(
    mail: MailServer, webhook: Webhook, tmp_path: Path
) -> None:
    mail.refuse, webhook.status, saved = True, 500, tmp_path / "saved"
    with pytest.raises(AlertError) as raised:
        send(
            ALERT,
            settings(
                alert_email=("one@example.com",),
                smtp_url=f"smtp://robot:pass%2Dword@127.0.0.1:{mail.port}",
                alert_webhook=webhook.url,
                alert_command=python(SAVE, saved),
            ),
        )
    assert raised.value.delivered == 1
    assert saved.exists()
    told = str(raised.value)
    assert "TASTY_ALERT_EMAIL" in told
    assert "TASTY_ALERT_WEBHOOK: the webhook answered with status 500" in told
    assert "TASTY_ALERT_COMMAND" not in told
    for secret in ("very-secret-path", "pass-word", "pass%2Dword", "robot"):
        assert secret not in told


def test_a_mail_server_that_wants_a_login_gets_it_decoded(mail: MailServer) -> None:
    url = f"smtp://robot%40example.com:p%40ss@127.0.0.1:{mail.port}"
    send(ALERT, settings(alert_email=("one@example.com",), smtp_url=url))
    assert mail.logins == [b"\0robot@example.com\0p@ss"]
    assert mail.messages[0]["From"] == "robot@example.com"


def test_nothing_configured_is_logged_with_how_to_change_that(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        send(ALERT, settings())
    assert "Nobody was told" in caplog.text
    assert "TASTY_ALERT_WEBHOOK" in caplog.text
    assert ALERT.cause in caplog.text


def test_a_line_break_in_a_title_starts_no_header(mail: MailServer) -> None:
    title = "failed\r\nBcc: thief@example.com\r\n\r\nbody\u2028more" + "x" * 300
    alert = Alert(title=title, cause="c", remedy="r", run_id="i")
    send(alert, settings(alert_email=("one@example.com",), smtp_url=f"smtp://127.0.0.1:{mail.port}"))
    (message,) = mail.messages
    assert message["Bcc"] is None
    assert len(mail.recipients) == 1
    assert message["Subject"].startswith("[tasty-pipeline] failed Bcc: thief@example.com body more")
    assert len(alert.headline) == 150


def test_an_address_with_a_line_break_is_refused() -> None:
    with pytest.raises(AlertError, match="an address is not one"):
        send(ALERT, settings(alert_email=("one@example.com\nBcc: thief@example.com",), smtp_url="smtp://127.0.0.1:1"))


def test_what_an_unforeseen_error_quotes_is_blotted_out(webhook: Webhook) -> None:
    leaky = Alert(title="t token-canary", cause="c secret-canary p%40ss p@ss", remedy=webhook.url, run_id="i")
    send(
        leaky,
        settings(
            alert_webhook=webhook.url,
            client_secret="secret-canary",
            refresh_token="token-canary",
            warehouse_url="postgresql://user:p%40ss@host/db",
        ),
    )
    sent = json.dumps(webhook.alerts)
    for secret in ("canary", "p%40ss", "p@ss", "very-secret"):
        assert secret not in sent


def test_a_command_runs_without_a_shell_and_without_the_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TT_SECRET", "canary")
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(repr((sys.argv[2:], dict(os.environ))))"
    send(ALERT, settings(alert_command=python(code, tmp_path / "saved") + " '$HOME; echo' | cat"))
    saved = (tmp_path / "saved").read_text()
    assert "['$HOME; echo', '|', 'cat']" in saved
    assert "canary" not in saved


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (python("import sys; sys.exit(3)", "argument-canary"), "ended with exit code 3"),
        ("/no/such/program argument-canary", "program could not be started"),
        ("'unclosed argument-canary", "cannot be read"),
        (python("import time; time.sleep(60)", "argument-canary"), "did not end within"),
    ],
)
def test_a_command_that_fails_says_how_and_shows_no_argument(
    command: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "CHANNEL_SECONDS", 0.5)
    with pytest.raises(AlertError, match=words) as raised:
        send(ALERT, settings(alert_command=command))
    assert "canary" not in str(raised.value)
    assert raised.value.delivered == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/very-secret-path", "nonsense very-secret-path", "http://[::1"])
def test_a_webhook_that_is_not_there_is_one_clear_error(url: str) -> None:
    with pytest.raises(AlertError, match="could not be reached") as raised:
        send(ALERT, settings(alert_webhook=url))
    assert "very-secret" not in str(raised.value)


@pytest.mark.parametrize("url", ["localhost", "smtp://", "http://host", "smtp://host:port"])
def test_a_mail_server_that_is_no_address_is_one_clear_error(url: str) -> None:
    with pytest.raises(AlertError, match="TASTY_SMTP_URL is not"):
        send(ALERT, settings(alert_email=("one@example.com",), smtp_url=url))


@pytest.mark.parametrize(("host", "here"), [("localhost", True), ("127.0.0.9", True), ("::1", True), ("a.b", False)])
def test_loopback_is_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here
