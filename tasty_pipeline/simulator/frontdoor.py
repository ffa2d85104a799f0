"""The front door of the brokerage: grants revoked and restored, accounts shown to a login or withdrawn from it.

Who sees what at first belongs to ``logins``, the tokens to ``tokens``, trades and other hands to ``brokerage``.
"""

from datetime import datetime

from tasty_pipeline.simulator.ledger import Ledger
from tasty_pipeline.simulator.logins import DEFAULT, OWNER, READ_ONLY


class FrontDoor(Ledger):
    """A ledger with logins. Every method that names a login raises ``UnknownLoginError`` if there is none."""

    def revoke_grant(self, login: str = DEFAULT) -> None:
        """Revoke the refresh token of a login, and every access token that came of it."""
        self.tokens.revoke(login)

    def restore_grant(self, login: str = DEFAULT) -> None:
        """Make a revoked refresh token good again."""
        self.tokens.restore(login)

    def expire_tokens(self, login: str | None = None) -> None:
        """Let every access token (of one login) expire now."""
        self.tokens.expire(login)

    def share(self, account: str, login: str, authority: str = READ_ONLY) -> None:
        """Let a login see an account as ``owner`` or ``read-only``, or with another authority than before."""
        with self.lock:
            self.access.share(self.holder(account).number, login, authority)

    def unshare(self, account: str, login: str) -> None:
        """Withdraw an account from a login: to it, it is now another customer's."""
        with self.lock:
            self.access.unshare(self.holder(account).number, login)

    def _tradable(self, login: str | None, account: str | None, now: datetime) -> str:
        """Return the account to trade in: the asked one, or the first open one (of those that the login owns)."""
        if account is None:
            account = next((number for number in self._owned(login) if not self.holder(number).is_closed(now)), None)
            if account is None:
                raise ValueError("no account is open" if login is None else f"login {login!r} owns no open account")
        elif login is not None and self.holder(account).number not in self._owned(login):
            raise ValueError(f"login {login!r} does not own account {account}, so it cannot trade in it")
        return account

    def _owned(self, login: str | None) -> list[str]:
        return [number for number in self._holders if login is None or self.access.level(login, number) == OWNER]
