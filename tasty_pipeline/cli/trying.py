"""One login that a person asked for: also one that was refused before, and exactly once."""

import asyncio
from dataclasses import dataclass

from tasty_pipeline.core import connections
from tasty_pipeline.core.broker import AccessToken, connect
from tasty_pipeline.core.connections import Login
from tasty_pipeline.core.errors import AuthenticationError, TastyError
from tasty_pipeline.core.warehouse import Warehouse


@dataclass(frozen=True)
class Seen:
    """What a login found: where it led, and the number of accounts or why they could not be listed."""

    environment: str
    token: AccessToken | None
    accounts: int = 0
    failure: TastyError | None = None

    def __str__(self) -> str:
        return f"logged in to {self.environment}; it lists {self.accounts} account{'' if self.accounts == 1 else 's'}"


def try_login(login: Login, warehouse: Warehouse | None) -> Seen:
    """Log in without a kept token and remember what came of it in the warehouse, where there is one.

    Raises `AuthenticationError` for a refused login, and the broker's other errors.
    """
    try:
        seen = asyncio.run(_log_in(login))
    except AuthenticationError as error:
        if warehouse is not None:
            connections.mark_refused(warehouse, login, error)
        raise
    if warehouse is not None:
        connections.mark_active(warehouse, login)
        connections.keep_token(warehouse, login, seen.token)
    if seen.failure is not None:
        raise seen.failure
    return seen


async def _log_in(login: Login) -> Seen:
    async with connect(login.credentials, login.config) as broker:
        await broker.log_in()
        try:
            accounts, failure = len(await broker.accounts()), None
        except AuthenticationError:
            raise
        except TastyError as error:
            # the login itself is good: that has to be remembered before this is raised
            accounts, failure = 0, error
        return Seen(broker.environment, broker.access_token, accounts, failure)
