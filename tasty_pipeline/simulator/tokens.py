"""OAuth as the brokerage does it: a refresh token for each login, short-lived access tokens, attempts counted."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable

from tasty_pipeline.simulator.logins import Login, known


class GrantError(Exception):
    """A token request is refused. ``code`` and ``description`` are those of the OAuth answer."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class Tokens:
    """The tokens in circulation. Lifetimes are real seconds: a frozen market does not stop a token from ageing.

    An attempt with a refresh token that nobody has counts in the sums and for no login.
    """

    def __init__(self, lifetime: int, logins: Iterable[Login]) -> None:
        self.lifetime = lifetime
        self._names = {login.refresh_token: login.name for login in logins}
        self._revoked: set[str] = set()
        self._attempts: Counter[str | None] = Counter()
        self._failures: Counter[str | None] = Counter()
        #: Access token to the name of its login and the moment of its end.
        self._issued: dict[str, tuple[str, float]] = {}
        # A token kept from before a restart must not be good again, let alone for another login.
        self._run = secrets.token_hex(4)
        self._lock = threading.Lock()

    @property
    def attempts(self) -> int:
        """The token requests so far."""
        return self._attempts.total()

    @property
    def failures(self) -> int:
        """The token requests that were refused."""
        return self._failures.total()

    def attempts_of(self, login: str) -> int:
        """Return the token requests with a login's refresh token. Raises ``UnknownLoginError``."""
        return self._attempts[self._known(login)]

    def failures_of(self, login: str) -> int:
        """Return the refused token requests with a login's refresh token. Raises ``UnknownLoginError``."""
        return self._failures[self._known(login)]

    def is_revoked(self, login: str) -> bool:
        """Tell whether a login's grant is revoked now. Raises ``UnknownLoginError``."""
        return self._known(login) in self._revoked

    def _known(self, login: str) -> str:
        return known(login, self._names.values())

    def login_of_grant(self, refresh_token: object) -> str | None:
        """Return whose refresh token this is."""
        return self._names.get(refresh_token) if isinstance(refresh_token, str) else None

    def grant(self, grant_type: object, secret_is_right: bool, refresh_token: object) -> str:
        """Return a new access token, or raise ``GrantError``."""
        with self._lock:
            asking = self.login_of_grant(refresh_token)
            self._attempts[asking] += 1
            try:
                login = self._check(grant_type, secret_is_right, refresh_token)
            except GrantError:
                self._failures[asking] += 1
                raise
            token = f"simulator-access-token-{login}-{self._run}-{self.attempts}"
            self._issued[token] = (login, time.monotonic() + self.lifetime)
            return token

    def _check(self, grant_type: object, secret_is_right: bool, refresh_token: object) -> str:
        if grant_type != "refresh_token" or not refresh_token:
            raise GrantError("invalid_request", "Missing required parameter: grant_type or refresh_token")
        if not secret_is_right:
            raise GrantError("invalid_client", "Client authentication failed")
        login = self.login_of_grant(refresh_token)
        if login is None:
            raise GrantError("invalid_grant", "Invalid JWT")
        if login in self._revoked:
            raise GrantError("invalid_grant", "Grant revoked")
        return login

    def accepts(self, token: str) -> str | None:
        """Return the login that an access token stands for, None if it is not alive."""
        with self._lock:
            login, end = self._issued.get(token, (None, 0.0))
            return login if end > time.monotonic() else None

    def issued_to(self, token: str) -> str | None:
        """Return the login for which an access token was made, also when it is no longer alive."""
        with self._lock:
            return self._issued.get(token, (None, 0.0))[0]

    def revoke(self, login: str) -> None:
        """Revoke a login's grant and all that came of it. Raises ``UnknownLoginError``."""
        with self._lock:
            self._revoked.add(self._known(login))
            self._end(login)

    def restore(self, login: str) -> None:
        """Undo ``revoke``: new access tokens are granted again. Raises ``UnknownLoginError``."""
        with self._lock:
            self._revoked.discard(self._known(login))

    def expire(self, login: str | None = None) -> None:
        """End the life of all access tokens, or of those of one login. Raises ``UnknownLoginError``."""
        with self._lock:
            self._end(None if login is None else self._known(login))

    def _end(self, login: str | None) -> None:
        for token, (name, _) in self._issued.items():
            if login in {None, name}:
                self._issued[token] = (name, 0.0)
