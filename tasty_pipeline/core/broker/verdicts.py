"""What went wrong, decided once: from an answer or a lost connection to one error that says what to do.

Here belongs every sentence about a failed request. Pure: nothing is sent, repeated or parsed beyond the error's own
body. The texts name the host, the path and the account, quote the API's own message with every known secret blotted
out, and never hold a header.
"""

import re
import ssl
from typing import Any

import httpx2

from tasty_pipeline.core.broker import quoting
from tasty_pipeline.core.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    IncompleteAnswerError,
    NotFoundError,
    PermanentError,
    TastyError,
    TransientError,
)

_LOGIN_PATH = "/oauth/token"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_BLOCKED = "repeated failed logins block the caller's address for about 8 hours, which looks exactly like a time-out"
_TRY_LATER = "nothing; the next run tries again. If it lasts, look at the broker's status page."
_OWN_GRANT = (
    "make a new refresh token at my.tastytrade.com (Manage > My Profile > API > OAuth applications > Create grant) "
    "and set it as this connection's refresh token (TT_REFRESH); check that the client secret (TT_SECRET) belongs to "
    "the same application, and both to the environment of the address, production or sandbox."
)


class TokenRefusedError(AuthenticationError):
    """The access token, not the login, was refused (401 `token_invalid`): a fresh one may be accepted, once."""


def is_login(request: httpx2.Request) -> bool:
    """Whether this is the OAuth request that buys an access token."""
    return request.method == "POST" and request.url.path.endswith(_LOGIN_PATH)


def is_certificate_error(error: BaseException | None) -> bool:
    """Whether TLS refused for good: an untrusted certificate, or a server that speaks no TLS."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            return True
        error = error.__cause__ or error.__context__
    return False


class Judge:
    """Turns outcomes into errors. `secrets` are the credentials that a hostile answer could echo."""

    def __init__(self, host: str, environment: str, secrets: tuple[str, ...]) -> None:
        self._host = host
        self._environment = environment
        self._quoter = quoting.Quoter(secrets)

    def failure(self, request: httpx2.Request, error: httpx2.HTTPError, tries: int) -> TastyError:
        """The verdict on a request that got no whole answer."""
        what = f"{self._subject(request)} got no answer after {_times(tries)}"
        if is_certificate_error(error):
            return ConfigurationError(
                f"{self._host} has no certificate that is trusted here: {self._quoter.text(str(error), request)}.",
                "check that the address is right (https or http, host, port); for an authority of your own set "
                "SSL_CERT_FILE.",
            )
        if isinstance(error, httpx2.ConnectError):
            return TransientError(
                f"{what}: {self._host} cannot be reached ({self._quoter.text(str(error), request)}).",
                "check the network and, if you set an address for the API, that it is right.",
            )
        if isinstance(error, httpx2.TimeoutException):
            if is_login(request):
                return TransientError(
                    f"{what}: the login timed out. It was not repeated: {_BLOCKED}.",
                    "check the network; if logins failed before, wait 8 hours or ask from another address.",
                )
            return TransientError(
                f"{what}: timed out ({self._quoter.text(str(error), request) or 'no answer in time'}).", _TRY_LATER
            )
        kind = "the body could not be decompressed" if isinstance(error, httpx2.DecodingError) else "broke off"
        return TransientError(
            f"{what}: {kind} ({self._quoter.text(str(error), request) or type(error).__name__}).", _TRY_LATER
        )

    def answer(self, request: httpx2.Request, response: httpx2.Response, tries: int) -> TastyError | None:
        """The verdict on a whole answer, None for a good one."""
        if response.is_redirect:
            target = self._quoter.text(response.headers.get("Location", "nowhere").split("?")[0], request)
            return ConfigurationError(
                f"{self._subject(request)} was sent elsewhere (status {response.status_code}, to {target}).",
                "set the address of the API to the one that answers itself, with https if it asks for that.",
            )
        passing = response.status_code in {408, 429} or response.is_server_error
        if passing:
            return self._busy(request, response, tries)
        if is_login(request):
            return self._login(request, response)
        if response.status_code == httpx2.codes.OK:
            return self._hollow(request, response, tries) or self._echo(request, response)
        return self._refused(request, response)

    def _subject(self, request: httpx2.Request) -> str:
        return f"{request.method} {request.url.path} at {self._host}"

    def _busy(self, request: httpx2.Request, response: httpx2.Response, tries: int) -> TastyError:
        status = response.status_code
        if status == httpx2.codes.TOO_MANY_REQUESTS:
            why, remedy = "asks for fewer requests (429)", "lower requests_per_second, or let fewer runs share a login."
        elif status == httpx2.codes.REQUEST_TIMEOUT:
            why, remedy = "timed out on its side (408)", _TRY_LATER
        else:
            page = ", a page of HTML as in maintenance" if quoting.is_html(response.content) else ""
            why, remedy = f"is in trouble ({status}{page})", _TRY_LATER
        said = self._quoter.said(request, response)
        return TransientError(f"{self._subject(request)}: the API {why} after {_times(tries)}{said}.", remedy)

    def _login(self, request: httpx2.Request, response: httpx2.Response) -> TastyError | None:
        status, body = response.status_code, response.content
        if response.is_success:
            return self._token(request, body)
        said = self._quoter.said(request, response)
        if status in {404, 405, 410}:
            return ConfigurationError(
                f"{self._host} knows no login at {request.url.path} (status {status}).",
                "check the address of the API; it is not the API of the broker.",
            )
        if quoting.is_html(body):
            return AuthenticationError(
                f"{self._host} answered the login with a page of HTML (status {status}): the request was turned away "
                "before the API saw it.",
                f"check the address of the API, and wait: {_BLOCKED}.",
            )
        return self._login_refused(status, body, said)

    def _login_refused(self, status: int, body: bytes, said: str) -> TastyError:
        code, text = quoting.oauth_error(body)
        if "client" in code or (code != "invalid_grant" and "client" in text.lower()):
            return AuthenticationError(
                f"The client secret was refused in {self._environment}{said}.",
                "set TT_SECRET to the client secret of the OAuth application of that environment; it is shown once, "
                "when the application is made, and can be made anew.",
            )
        if code == "invalid_grant":
            return AuthenticationError(
                f"The refresh token was revoked or is not valid for this environment ({self._environment}){said}.",
                _OWN_GRANT,
            )
        if status in {400, 401, 403}:
            return AuthenticationError(f"The login was refused in {self._environment} ({status}){said}.", _OWN_GRANT)
        return PermanentError(
            f"The login was refused in {self._environment} with status {status}{said}.",
            "look whether a newer version of this package exists; the API may have changed.",
        )

    def _token(self, request: httpx2.Request, body: bytes) -> TastyError | None:
        answer = quoting.json_object(body)
        token, lifetime = answer.get("access_token"), answer.get("expires_in", 900)
        if isinstance(token, str) and _TOKEN.fullmatch(token) and _is_positive(lifetime):
            return None
        if quoting.is_html(body):
            return TransientError(
                f"{self._subject(request)} answered with a page of HTML: the API is in maintenance, or this is not "
                "the API.",
                "check the address of the API; otherwise nothing, the next run tries again.",
            )
        return ContractError(
            f"{self._subject(request)} answered without a usable access token.",
            "check the address of the API; if it is right, look for a newer version of this package.",
        )

    def _hollow(self, request: httpx2.Request, response: httpx2.Response, tries: int) -> TastyError | None:
        body, what = response.content, self._subject(request)
        if not quoting.looks_damaged(body):
            return None
        if quoting.is_html(body):
            return TransientError(
                f"{what} answered with a page of HTML and status 200 ({_times(tries)}): maintenance, or a proxy.",
                _TRY_LATER,
            )
        if not body.strip():
            return IncompleteAnswerError(f"{what} answered with nothing ({_times(tries)}).", _TRY_LATER)
        return TransientError(
            f"{what} answered with a body that breaks off after {len(body)} bytes ({_times(tries)}).", _TRY_LATER
        )

    def _echo(self, request: httpx2.Request, response: httpx2.Response) -> TastyError | None:
        """The verdict on data with our own credentials in it: they would stand in the tables."""
        if not self._quoter.is_echo(response.content, request):
            return None
        return ContractError(
            f"{self._subject(request)} answered with this login's own credentials among the data.",
            "check the address of the API: the broker's own does not do that. If it is right, make a new refresh token "
            "and client secret, and report it; nothing of the answer was stored.",
        )

    def _refused(self, request: httpx2.Request, response: httpx2.Response) -> TastyError:
        status, what, said = response.status_code, self._subject(request), self._quoter.said(request, response)
        if status == httpx2.codes.UNAUTHORIZED:
            return self._unauthorized(request, response)
        if response.is_success:
            return IncompleteAnswerError(f"{what} answered with status {status} and no data.", _TRY_LATER)
        causes = {
            400: ("found the request invalid", "report it: this package asked for something that the API rejects."),
            403: (
                "does not let this login see it",
                "check that the account belongs to this login and that the grant has the scope 'read'.",
            ),
            404: self._unknown(request),
            406: ("no longer serves this version of its answers", "install a newer version of this package."),
            422: ("could not process the request", "report it: this package asked for something that the API rejects."),
        }
        why, remedy = causes.get(status, ("refused", "look for a newer version of this package; the API changed."))
        kind = NotFoundError if status == httpx2.codes.NOT_FOUND else PermanentError
        return kind(f"{what}: the API {why} ({status}){said}.", remedy)

    @staticmethod
    def _unknown(request: httpx2.Request) -> tuple[str, str]:
        account = re.search(r"/accounts/([^/]+)", request.url.path)
        if account and "/customers/" not in request.url.path:
            return (
                f"knows no account {account[1]} for this login",
                "check the account number against the accounts that this login lists.",
            )
        return ("knows no such path", "check the address of the API, with its path prefix if it has one.")

    def _unauthorized(self, request: httpx2.Request, response: httpx2.Response) -> TastyError:
        what = self._subject(request)
        said = self._quoter.said(request, response)
        if quoting.is_html(response.content):
            return AuthenticationError(
                f"{what}: turned away with a page of HTML (401) before the API saw the request.",
                f"check the address and that no proxy strips the User-Agent; if logins failed before, wait: "
                f"{_BLOCKED}.",
            )
        kind = (
            TokenRefusedError
            if quoting.api_error(response.content).get("code") == "token_invalid"
            else AuthenticationError
        )
        return kind(f"{what}: the access token was refused in {self._environment} (401){said}.", _OWN_GRANT)


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _times(tries: int) -> str:
    return "one try" if tries == 1 else f"{tries} tries"
