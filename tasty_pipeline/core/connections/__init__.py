"""The logins that the pipeline reads with: where they are stored, what they may do now, and how they are changed.

`base` says which there are; `logins` turns one into credentials and an address; `states` remembers what came of it
(refused or active, the access token); `changing` adds and ends connections; `keys` makes and rotates the key pair that
their credentials are sealed with. Cryptography is in `core.sealing`; `core.sync` finds which accounts a login sees.

    for connection in live_connections(warehouse, settings):
        login = login_of(connection, settings, timeout_seconds=10)   # ConfigurationError: this connection fails alone
        refused = refused_before(login)                              # an AuthenticationError, or None: try it
        async with connect(login.credentials, login.config, kept_token(login)) as broker:
            ...                                                      # AuthenticationError: mark_refused
        mark_active(warehouse, login)
        keep_token(warehouse, login, broker.access_token)
"""

from tasty_pipeline.core.connections.base import (
    ACTIVE,
    DEFAULT,
    NEEDS_REAUTHORISATION,
    Connection,
    find_connection,
    live_connections,
)
from tasty_pipeline.core.connections.changing import add, disconnect, settle, settle_disconnected
from tasty_pipeline.core.connections.keys import KeyState, Rotation, key_state, make_key, rotate_key
from tasty_pipeline.core.connections.logins import (
    Login,
    credentials_of,
    login_of,
    refused_before,
)
from tasty_pipeline.core.connections.states import keep_token, kept_token, mark_active, mark_refused

__all__ = [
    "ACTIVE",
    "DEFAULT",
    "NEEDS_REAUTHORISATION",
    "Connection",
    "KeyState",
    "Login",
    "Rotation",
    "add",
    "credentials_of",
    "disconnect",
    "find_connection",
    "keep_token",
    "kept_token",
    "key_state",
    "live_connections",
    "login_of",
    "make_key",
    "mark_active",
    "mark_refused",
    "refused_before",
    "rotate_key",
    "settle",
    "settle_disconnected",
]
