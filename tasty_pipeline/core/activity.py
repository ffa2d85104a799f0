"""Has an account anything new? The cheap question, what was seen before, and what follows from the two.

Here belongs asking (two small requests an account), remembering (the cursor) and comparing. Starting runs belongs to
the sensor, reading what is new to `core.sync`.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from tasty_pipeline.core.broker import AccessToken, Broker, BrokerConfig, Credentials, connect
from tasty_pipeline.core.errors import AuthenticationError, TastyError, TransientError
from tasty_pipeline.core.payloads import account_payload

# All of a tick's questions; a sensor's tick is lost after a minute.
POLL_SECONDS = 40.0


@dataclass(frozen=True)
class Poll:
    """Fingerprints of a login's open accounts that answered, errors of the others; the token they answered to."""

    fingerprints: Mapping[str, str]
    failures: Mapping[str, TastyError] = field(default_factory=dict)
    token: AccessToken | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the sensor remembers between two ticks: its cursor.

    `fingerprints` are those whose runs were requested. `life` and `requests` make every run key differ from all earlier
    ones, also where an account returns to an earlier state or where the cursor was reset in order to sync again.
    """

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    life: str = ""
    requests: int = 0

    def to_json(self) -> str:
        """Return the cursor as text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, cursor: str | None) -> "Seen":
        """Read a cursor; none, and one that somebody edited into something else, mean that nothing was seen yet."""
        try:
            seen = cls(**json.loads(cursor or ""))
            known = isinstance(seen.fingerprints, dict) and isinstance(seen.requests, int)
        except (ValueError, TypeError):
            known = False
        return seen if known and seen.life else cls(life=uuid.uuid4().hex[:8])

    def without(self, accounts: Iterable[str]) -> "Seen":
        """Return a cursor that has not seen these accounts."""
        kept = {name: found for name, found in self.fingerprints.items() if name not in set(accounts)}
        return replace(self, fingerprints=kept)

    def changed(self, poll: Poll) -> list[str]:
        """Return the accounts that answered something else than what was seen."""
        return sorted(name for name, found in poll.fingerprints.items() if self.fingerprints.get(name) != found)

    def after(self, poll: Poll, *, requested: bool) -> "Seen":
        """Return what is known after a tick; an account that did not answer keeps what was seen of it."""
        kept = {name: self.fingerprints[name] for name in poll.failures if name in self.fingerprints}
        return replace(self, fingerprints={**kept, **poll.fingerprints}, requests=self.requests + requested)

    def run_key(self, poll: Poll, changed: Iterable[str]) -> str:
        """Return the key of the run for these changes: the same if the tick is repeated, never used otherwise."""
        told = json.dumps([self.life, self.requests, [(name, poll.fingerprints[name]) for name in changed]])
        return f"activity-{self.requests}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


async def poll(
    credentials: Credentials, config: BrokerConfig, token: AccessToken | None = None, seconds: float = POLL_SECONDS
) -> Poll:
    """Ask every open account of a login for its fingerprint, within `seconds` in all.

    With a kept access token no login is needed.

    Raises `AuthenticationError` for a refused login and the broker's other errors where not even the accounts could
    be listed; one account's failure is an entry of `failures`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    async with connect(credentials, config, token) as broker:
        try:
            async with asyncio.timeout_at(end):
                listed = [account_payload(item) for item in await broker.accounts()]
        except TimeoutError:
            raise _late(seconds) from None
        numbers = [str(each["account-number"]) for each in listed if each.get("is-closed") is not True]
        found = await _ask(broker, numbers, end - loop.time(), _late(seconds))
        return replace(found, token=broker.access_token)


async def _ask(broker: Broker, numbers: Iterable[str], seconds: float, late: TastyError) -> Poll:
    tasks = {number: asyncio.create_task(broker.activity(number)) for number in numbers}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=max(seconds, 0))
    for task in tasks.values():
        task.cancel()  # those that are done stay what they are
    outcomes = await asyncio.gather(*tasks.values(), return_exceptions=True)
    fingerprints: dict[str, str] = {}
    failures: dict[str, TastyError] = {}
    for number, outcome in zip(tasks, outcomes, strict=True):
        if isinstance(outcome, str):
            fingerprints[number] = outcome
        elif isinstance(outcome, asyncio.CancelledError):
            failures[number] = late
        elif isinstance(outcome, TastyError) and not isinstance(outcome, AuthenticationError):
            failures[number] = outcome
        else:
            raise outcome
    return Poll(fingerprints, failures)


def _late(seconds: float) -> TransientError:
    return TransientError(
        f"The API did not answer within the {seconds:g} s of one tick.",
        "nothing; the next tick asks again. If it lasts, look at the broker's status page.",
    )
