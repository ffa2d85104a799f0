"""The access token: bought when needed, renewed before it expires, and never asked for twice after a refusal.

Here belongs who logs in when. `tastytrade.Session` does the login itself; this keeps many concurrent readers from
doing it all at once.
"""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasty_pipeline.core.errors import AuthenticationError, TastyError

if TYPE_CHECKING:
    from tastytrade import Session

# As the SDK itself: an access token lives 15 minutes and must not expire on the way.
_MARGIN_SECONDS = 60


@dataclass(frozen=True)
class AccessToken:
    """An access token, never shown, and the aware time of its end: what a later connection need not buy again."""

    value: str = field(repr=False)
    expires_at: datetime


class Login:
    """Hands out a valid access token of one session, on one event loop.

    A refused login stays refused for the life of the connection: every later request raises the same error without
    asking again. Whoever waits while a login fails for another reason shares that failure instead of repeating it.
    A kept token is used while it lives; one that is refused is renewed as any other.
    """

    def __init__(self, session: "Session", kept: AccessToken | None = None) -> None:
        if kept is not None:
            session.session_token, session.session_expiration = kept.value, kept.expires_at.timestamp()
        self._refused: str | None = None
        self._session = session
        self._lock = asyncio.Lock()
        self._outcomes = 0
        self._failure: TastyError | None = None

    @property
    def access_token(self) -> AccessToken | None:
        """The token that a later connection can use, None where none was bought or the API refused it."""
        session = self._session
        if time.time() >= session.session_expiration or session.session_token == self._refused:
            return None
        return AccessToken(session.session_token, datetime.fromtimestamp(session.session_expiration, UTC))

    async def token(self) -> str:
        """A token with at least a minute to live. Raises `AuthenticationError` when the login is refused."""
        if not self._is_fresh():
            await self._renew(self._session.session_token)
        return self._session.session_token

    async def renewed(self, refused: str) -> str:
        """A token other than `refused`. Concurrent callers that were refused with the same token cause one login."""
        self.distrust(refused)
        await self._renew(refused)
        return self._session.session_token

    def distrust(self, refused: str) -> None:
        """Notes that the API refused this token, so that it is not kept."""
        self._refused = refused

    def _is_fresh(self) -> bool:
        return time.time() < self._session.session_expiration - _MARGIN_SECONDS

    async def _renew(self, stale: str) -> None:
        seen = self._outcomes
        async with self._lock:
            while_waiting = self._outcomes != seen
            failure = self._failure
            if failure is not None and (isinstance(failure, AuthenticationError) or while_waiting):
                raise type(failure)(failure.what, failure.remedy)
            if while_waiting or self._session.session_token != stale:
                return
            self._failure = None
            try:
                await self._session.refresh(force=True)
            except TastyError as error:
                self._failure = error
                self._outcomes += 1
                raise
            self._outcomes += 1
