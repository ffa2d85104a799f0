"""Everything between the TastyTrade API and proven rows.

Here belong the login, the way of a request, the shape of answers and the proof that a read is complete. What a field
means belongs to `core.payloads`, where rows go to `core.warehouse`. From the question to the wire: `broker`;
`reading`, `proof`, `shelf` and `windows` (complete ranges); `api`, `contents` and `decode` (one answer); `login`;
`transport`, `retrying`, `verdicts` and `quoting` (one request); `config` and `meter`.
"""

from tasty_pipeline.core.broker.broker import Broker, connect
from tasty_pipeline.core.broker.config import BrokerConfig, Credentials
from tasty_pipeline.core.broker.login import AccessToken
from tasty_pipeline.core.broker.meter import Meter
from tasty_pipeline.core.broker.shelf import ProvenRead, Receipt
from tasty_pipeline.core.broker.windows import PAD_DAYS, Span, Window

__all__ = [
    "PAD_DAYS",
    "AccessToken",
    "Broker",
    "BrokerConfig",
    "Credentials",
    "Meter",
    "ProvenRead",
    "Receipt",
    "Span",
    "Window",
    "connect",
]
