"""OAuth as the brokerage does it: one refresh token, short-lived access tokens, attempts counted."""

import threading
import time


class GrantError(Exception):
    """A token request is refused. ``code`` and ``description`` are those of the OAuth answer."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


class Tokens:
    """The tokens in circulation. Lifetimes are real seconds: a frozen market does not stop a token from ageing."""

    def __init__(self, lifetime: int, refresh_token: str) -> None:
        self.lifetime = lifetime
        self.attempts = 0
        self.failures = 0
        self._refresh_token = refresh_token
        self._revoked = False
        self._issued: dict[str, float] = {}
        self._lock = threading.Lock()

    def grant(self, grant_type: object, secret_is_right: bool, refresh_token: object) -> str:
        """Return a new access token, or raise ``GrantError``."""
        with self._lock:
            self.attempts += 1
            try:
                self._check(grant_type, secret_is_right, refresh_token)
            except GrantError:
                self.failures += 1
                raise
            token = f"simulator-access-token-{self.attempts}"
            self._issued[token] = time.monotonic() + self.lifetime
            return token

    def _check(self, grant_type: object, secret_is_right: bool, refresh_token: object) -> None:
        if grant_type != "refresh_token" or not refresh_token:
            raise GrantError("invalid_request", "Missing required parameter: grant_type or refresh_token")
        if not secret_is_right:
            raise GrantError("invalid_client", "Client authentication failed")
        if refresh_token != self._refresh_token:
            raise GrantError("invalid_grant", "Invalid JWT")
        if self._revoked:
            raise GrantError("invalid_grant", "Grant revoked")

    def accepts(self, token: str) -> bool:
        """Tell whether an access token is alive."""
        with self._lock:
            return self._issued.get(token, 0.0) > time.monotonic()

    def revoke(self) -> None:
        """Revoke the grant and all that came of it."""
        with self._lock:
            self._revoked = True
            self._issued.clear()

    def restore(self) -> None:
        """Undo ``revoke``: new access tokens are granted again."""
        with self._lock:
            self._revoked = False

    def expire(self) -> None:
        """End the life of all access tokens."""
        with self._lock:
            self._issued.clear()
