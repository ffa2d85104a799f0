"""Who logs in, where, and how patiently.

Here belongs what a caller decides before a connection exists, checked at once. Reading the environment does not belong
here: an empty credential must fail, never fall back on a variable that holds somebody else's token.
"""

import math
import re
from dataclasses import dataclass, field, fields

import httpx2

from tasty_pipeline.core.errors import ConfigurationError

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:]+(%\w+)?")
_BROKER_DOMAINS = ("tastyworks.com", "tastytrade.com")


@dataclass(frozen=True)
class Credentials:
    """The OAuth client secret of the application and the refresh token of the user; neither is ever shown.

    Raises `ConfigurationError` for an empty one (the SDK would silently take `TT_SECRET` or `TT_REFRESH` from the
    environment instead, another user's login) and for one with characters that no credential has, such as the line
    break at the end of a file.
    """

    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("client secret", self.client_secret), ("refresh token", self.refresh_token)):
            if not value.strip():
                raise ConfigurationError(
                    f"The {name} is empty.",
                    "set both: TT_SECRET is the client secret of the OAuth application, TT_REFRESH the refresh token "
                    "of its grant.",
                )
            if not _PRINTABLE.fullmatch(value):
                raise ConfigurationError(
                    f"The {name} holds a blank, a line break or another character that no credential has.",
                    "copy it again, without quotation marks and without the end of the line.",
                )


@dataclass(frozen=True, kw_only=True)
class BrokerConfig:
    """Where the API is and how hard it may be pressed. Seconds everywhere.

    `url` replaces the production or sandbox address of the SDK (scheme, host, port and an optional path prefix).
    `requests_per_second` is kept without bursts, `in_flight` bounds the requests that are open at once.
    `timeout_seconds` bounds one attempt from its first byte sent to its last byte received. `retry_budget_seconds`
    bounds how long one request goes on trying, from its first failure to the start of its last attempt.
    Raises `ConfigurationError`.
    """

    url: str | None = None
    sandbox: bool = False
    requests_per_second: float = 20.0
    in_flight: int = 8
    timeout_seconds: float = 30.0
    retry_budget_seconds: float = 120.0
    first_backoff_seconds: float = 0.5
    max_backoff_seconds: float = 20.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in {"url", "sandbox"}:
                continue
            lowest_is_fine = each.name == "retry_budget_seconds" and value == 0
            if not (math.isfinite(value) and (value > 0 or lowest_is_fine)):
                raise ConfigurationError(f"{each.name} is {value}.", "give a positive number.")
        if self.in_flight != int(self.in_flight):
            raise ConfigurationError(f"in_flight is {self.in_flight}.", "give a whole number.")
        _ = self.base

    @property
    def base(self) -> httpx2.URL | None:
        """The custom address as a URL, None when the SDK's own address holds. A blank one counts as not set."""
        text = (self.url or "").strip()
        return _checked(text) if text else None


def _checked(text: str) -> httpx2.URL:
    remedy = "give it as https://HOST[:PORT][/PREFIX], or leave it out for the broker's own address."
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        raise ConfigurationError("The address of the API is not a URL.", remedy) from None
    if url.userinfo or url.query or url.fragment:
        raise ConfigurationError("The address of the API holds a user, a query or a fragment.", remedy)
    if (
        url.scheme not in {"http", "https"}
        or not _HOST.fullmatch(url.raw_host.decode("ascii"))
        or not 0 < (url.port or 1) < 2**16
    ):
        # not quoted: what is misspelt may hold a password where nobody looks for one
        raise ConfigurationError("The address of the API is not a web address.", remedy)
    if url.scheme == "http" and url.host.endswith(_BROKER_DOMAINS):
        raise ConfigurationError(f"The address of the API would send the login to {url.host} unencrypted.", remedy)
    return url
