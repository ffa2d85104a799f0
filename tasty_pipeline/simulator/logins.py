"""Who logs in to the brokerage, and which accounts each login sees with which authority.

Tokens in circulation belong to ``tokens``, what a person can change by hand to ``frontdoor``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT = "default"
OWNER, READ_ONLY = "owner", "read-only"
AUTHORITIES = (OWNER, READ_ONLY)


class UnknownLoginError(LookupError):
    """No login has this name."""


@dataclass(frozen=True, slots=True)
class Login:
    """One customer's login: its name, its refresh token, and the accounts by their place, the first being 0.

    ``owns`` are seen as owner, ``reads`` as read-only; ``sees_all``: every account as owner, later ones too.
    """

    name: str
    refresh_token: str
    owns: tuple[int, ...] = ()
    reads: tuple[int, ...] = ()
    sees_all: bool = False

    def authority(self, slot: int) -> str | None:
        """Return the authority level in the account of this place, None where it is another customer's."""
        if self.sees_all or slot in self.owns:
            return OWNER
        return READ_ONLY if slot in self.reads else None

    def fits(self, accounts: int) -> bool:
        """Tell whether a brokerage of so many accounts has all of this login's."""
        return all(slot < accounts for slot in (*self.owns, *self.reads))


# the second account is seen by both
ALICE = Login("alice", "simulator-refresh-alice", owns=(0, 1))
BOB = Login("bob", "simulator-refresh-bob", owns=(2,), reads=(1,))


def known(login: str, names: Iterable[str]) -> str:
    """Return the name of a login if it is one of these; raises ``UnknownLoginError`` with the names there are."""
    if login not in names:
        raise UnknownLoginError(f"no login {login!r}; there are {', '.join(names)}")
    return login


class Access:
    """Which login sees which account. Not thread-safe: the brokerage's lock guards it."""

    def __init__(self, logins: Iterable[Login]) -> None:
        self._logins = tuple(logins)
        self._levels: dict[str, dict[str, str]] = {login.name: {} for login in self._logins}

    def enter(self, account: str, slot: int) -> None:
        """Let the logins that are meant to see a new account see it."""
        for login in self._logins:
            authority = login.authority(slot)
            if authority is not None:
                self._levels[login.name][account] = authority

    def seen(self, login: str) -> dict[str, str]:
        """Return the authority level by account number. Raises ``UnknownLoginError``."""
        return dict(self._levels[known(login, self._levels)])

    def level(self, login: str, account: str) -> str | None:
        """Return a login's authority level in an account, None if it does not see it."""
        return self._levels[known(login, self._levels)].get(account)

    def share(self, account: str, login: str, authority: str) -> None:
        """Let a login see an account, or with another authority than before."""
        if authority not in AUTHORITIES:
            raise ValueError(f"authority {authority!r}: {' or '.join(AUTHORITIES)}")
        self._levels[known(login, self._levels)][account] = authority

    def unshare(self, account: str, login: str) -> None:
        """Let a login no longer see an account. Raises ``ValueError`` if it did not."""
        if self._levels[known(login, self._levels)].pop(account, None) is None:
            raise ValueError(f"login {login!r} does not see account {account}")
