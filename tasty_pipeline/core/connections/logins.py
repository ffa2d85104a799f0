"""From a connection to credentials and an address, and what tells one login from another.

Here belongs unsealing. Nothing here asks the broker or writes a table.
"""

import hashlib
import hmac
from dataclasses import dataclass

from tasty_pipeline.core.broker import BrokerConfig, Credentials
from tasty_pipeline.core.connections.base import NEEDS_REAUTHORISATION, Connection
from tasty_pipeline.core.errors import AuthenticationError, ConfigurationError
from tasty_pipeline.core.sealing import read_keys, unseal
from tasty_pipeline.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Login:
    """All that it takes to log in with a connection; its credentials are never shown."""

    connection: Connection
    credentials: Credentials
    config: BrokerConfig

    @property
    def digest(self) -> str:
        """What tells this login from another and tells nothing else."""
        return login_digest(self.credentials, self.config)

    @property
    def bound_to(self) -> tuple[str, ...]:
        """What an access token of this login is locked with: it goes to no other address than where it was bought."""
        secret, token = self.credentials.client_secret, self.credentials.refresh_token
        return (secret, token, self.config.url or "", str(self.config.sandbox))


def login_of(connection: Connection, settings: Settings, **limits: float) -> Login:
    """Return the login of a connection; `limits` are those of `BrokerConfig`. Raises `ConfigurationError`."""
    config = config_of(connection, settings, **limits)
    return Login(connection=connection, credentials=credentials_of(connection, settings), config=config)


def config_of(connection: Connection, settings: Settings, **limits: float) -> BrokerConfig:
    """Return which API a connection belongs to, within the given limits."""
    return BrokerConfig(url=settings.api_url, sandbox=connection.sandbox, **limits)  # type: ignore[arg-type]


def credentials_of(connection: Connection, settings: Settings) -> Credentials:
    """Return the credentials: the environment's for `default`, else what is sealed.

    A seal without a client secret means the environment's OAuth application, where both are of one environment. Raises
    `ConfigurationError` for whatever of it is missing, cannot be opened or makes no sense, with the connection's name.
    """
    if connection.is_default:
        return Credentials(*settings.credentials())
    try:
        return _stored_credentials(connection, settings)
    except ConfigurationError as error:
        raise ConfigurationError(f"Connection {connection.connection_id!r}: {error.what}", error.remedy) from None


def _stored_credentials(connection: Connection, settings: Settings) -> Credentials:
    if connection.sealed is None:
        raise ConfigurationError(
            "No credentials are stored.",
            "connect it again in the application, or with `tasty-pipeline connections add`.",
        )
    secrets = unseal(connection.sealed, read_keys(settings.sealing_keys))
    own = settings.client_secret if connection.sandbox == settings.sandbox else None
    client_secret = secrets.client_secret or own
    if not client_secret:
        kind = "sandbox" if connection.sandbox else "production"
        raise ConfigurationError(
            f"It has no client secret of its own, and the environment has none for {kind}.",
            f"set TT_SECRET to the client secret of the OAuth application of {kind} (and TASTY_SANDBOX to match), or "
            "connect it again with its own.",
        )
    return Credentials(client_secret, secrets.refresh_token)


def login_digest(credentials: Credentials, config: BrokerConfig) -> str:
    """Return what tells one login from another and tells nothing else: a keyed hash, keyed by the secret half of it."""
    told = "\n".join([credentials.refresh_token, config.url or "", str(config.sandbox)])
    return hmac.new(credentials.client_secret.encode(), told.encode(), hashlib.sha256).hexdigest()[:16]


def is_refused(login: Login) -> bool:
    """Say whether the broker has refused this very login, which is not tried again by itself.

    Where somebody stored credentials since, there is no state: they are tried once, also where they are the same.
    """
    stands = login.connection.state == NEEDS_REAUTHORISATION
    return stands and hmac.compare_digest(login.connection.refused_login or "", login.digest)


def refused_before(login: Login) -> AuthenticationError | None:
    """Return the refusal of this very login, to be raised instead of another try; None where it may be tried."""
    if not is_refused(login):
        return None
    connection = login.connection
    name = connection.connection_id
    mend = (
        "mend TT_SECRET and TT_REFRESH" if connection.is_default else f"connect {name} again with a new refresh token"
    )
    return AuthenticationError(
        f"The login {name} needs reauthorisation: {connection.state_reason or 'the broker refused it.'}",
        f"{mend}, or try the same once more with `tasty-pipeline connections check {name}`; it is not tried again by "
        "itself, because repeated failed logins block the address for hours.",
    )
