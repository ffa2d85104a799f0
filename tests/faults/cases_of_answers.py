"""At which endpoints every kind of bad answer is given, when, and what a sync makes of it there.

Here belongs what is tried and what is expected; the kinds are in `kinds_of_answers.py`, how a case is played and judged
in `bad_answers.py`.
"""

from dataclasses import dataclass
from typing import Any

from .kinds_of_answers import ALL, BELIEVED, HARMLESS, ON_ANY, QUARANTINED, REFUSED, STORED
from .trial import HIT, Endpoint

_BELOW = f"/accounts/{HIT}"
ENDPOINTS = {
    "token": Endpoint("/oauth/token$", "accounts", "accounts"),
    "accounts": Endpoint("/customers/me/accounts$", "accounts", "accounts"),
    "balances": Endpoint(f"{_BELOW}/balances$", "portfolio", "balances"),
    "positions": Endpoint(f"{_BELOW}/positions$", "portfolio", "positions"),
    "transactions": Endpoint(f"{_BELOW}/transactions$", "transactions", "transactions", "per-page=2000"),
    "totals": Endpoint(f"{_BELOW}/transactions$", "verify", "transactions", "per-page=1(&|$)"),
    "transaction": Endpoint(rf"{_BELOW}/transactions/\d+$", "transactions", "transactions"),
    "morning snapshots": Endpoint(f"{_BELOW}/balance-snapshots$", "snapshots", "balance_snapshots", "time-of-day=BOD"),
    "evening snapshots": Endpoint(f"{_BELOW}/balance-snapshots$", "snapshots", "balance_snapshots", "time-of-day=EOD"),
}
# by table: the field that stands for each role of a kind
FIELDS = {
    "accounts": {"text": "nickname", "time": "opened-at"},
    "balances": {"money": "cash-balance", "time": "updated-at", "key": "currency"},
    "positions": {"money": "average-open-price", "text": "streamer-symbol", "time": "updated-at", "key": "symbol"},
    "transactions": {
        "money": "value",
        "text": "description",
        "time": "created-at",
        "key": "id",
        "day": "transaction-date",
    },
    "balance_snapshots": {"money": "cash-balance", "key": "currency", "day": "snapshot-date"},
}
WAYS: dict[str, tuple[int | None, int]] = {"always": (None, 0), "first": (1, 0), "second": (1, 1)}
# over what was there before; the last one is a published table and an API that serves five rows a page
PUBLISHED, EMPTY, SMALL = "published", "empty", "small pages"
_SCENES = ((PUBLISHED, "always"), (PUBLISHED, "first"), (EMPTY, "always"))
_OF_MANY_REQUESTS = {
    (PUBLISHED, "second"): {"positions", "transactions", "totals"},
    (SMALL, "always"): {"transactions", "morning snapshots"},
    (SMALL, "second"): {"transactions", "morning snapshots"},
}


# what the server itself has to do
KIND_OF_SIMULATOR = {"a stale page": "stale_page"}
# what an endpoint makes of a kind that the others take otherwise, and why
EXPECTED: dict[tuple[str, str], str] = {
    # the row is in no list either, and nobody else could be asked
    ("status 404", "transaction"): BELIEVED,
    # the token is in it, and that is all that is asked for
    ("status 206", "token"): HARMLESS,
    ("a byte order mark", "token"): HARMLESS,
    ("an envelope twice", "token"): HARMLESS,
    # amounts that nothing else contradicts; where the positions are gone as well, the guard of those speaks
    ("a wiped sandbox", "balances"): BELIEVED,
    # positions have no total: two equal lists without one of them are what a closed position looks like
    ("a page short of its count", "positions"): BELIEVED,
    ("a page short of its total", "positions"): BELIEVED,
    # lists that do not page say nothing of pages
    ("null pagination", "accounts"): HARMLESS,
    ("null pagination", "positions"): HARMLESS,
}
# of an account that nothing is known of, every list is the first
_FIRST_OF_ALL = {"an empty list", "a wiped sandbox"}
_FIRST_WITHOUT_TOTAL = _FIRST_OF_ALL | {"a page short of its count", "a page short of its total"}
_FIRST_WITHOUT_TOTAL |= {"items gone, total kept", "a page cut after a row"}
# of a total the number alone counts: its rows and the place of its page are not looked at
_ROWS_OF_A_TOTAL = {
    "a row twice",
    "items gone, total kept",
    "a page short of its count",
    "a page short of its total",
    "another page than was asked for",
}


@dataclass(frozen=True)
class Case:
    """One kind at one endpoint, in every answer or in one, over what was there before."""

    kind: str
    endpoint: str
    way: str
    start: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.endpoint}/{self.way}/{self.start}"


def expected(case: Case) -> str:
    """What a sync that hears nothing else makes of a kind at an endpoint."""
    expect = EXPECTED.get((case.kind, case.endpoint), ALL[case.kind].expect)
    if case.endpoint == "totals" and (expect in {QUARANTINED, STORED} or case.kind in _ROWS_OF_A_TOTAL):
        return HARMLESS
    if case.kind == "a page that lost a row and says so" and case.endpoint == "transactions" and case.start != EMPTY:
        return REFUSED  # the row is asked for by its id
    unpaged = case.endpoint in {"accounts", "positions"}
    if case.start == EMPTY and case.kind in (_FIRST_WITHOUT_TOTAL if unpaged else _FIRST_OF_ALL):
        return BELIEVED
    return expect


def cases() -> list[Case]:
    """All cases that have a meaning."""
    found = []
    for kind in ALL.values():
        for name, endpoint in ENDPOINTS.items():
            if name == "token" and kind not in ON_ANY:
                continue
            if kind.role is None or kind.role in FIELDS[endpoint.table]:
                scenes = [*_SCENES]
                if (kind.name, name) == ("a row of another account", "accounts"):
                    scenes.remove((EMPTY, "always"))  # there it is nothing but an account
                if kind.role is None:
                    scenes += [scene for scene, names in _OF_MANY_REQUESTS.items() if name in names]
                found += [Case(kind.name, name, way, start) for start, way in scenes]
    return found


def params(case: Case) -> dict[str, Any]:
    """What the change of a case is told: the field that stands for its role."""
    kind = ALL[case.kind]
    field = {"field": FIELDS[ENDPOINTS[case.endpoint].table][kind.role]} if kind.role else {}
    return dict(kind.params) | field
