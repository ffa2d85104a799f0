"""The ways that are measured: who they are, what they can do, and how their table is counted.

Here belongs what the benchmark knows of a way without running it; each way is a program in `ways/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

DUCKDB, POSTGRES = "duckdb", "postgres"
DATABASES = {DUCKDB: "DuckDB", POSTGRES: "Postgres"}
SCENARIOS = {
    "fresh": "fresh: the whole history into an empty database",
    "unchanged": "unchanged: the whole history once more, nothing changed",
    "late": "last ten days: ten rows more, only those days asked for",
    "changed": "ten rows changed anywhere: the whole history once more",
}
OURS, FLOOR = "ours", "floor"
DLT, DLT_ARROW, SDK, ORM_BULK, ORM_EACH = "dlt_rest", "dlt_arrow", "sdk_pandas", "orm_bulk", "orm_each"

_UNSIGNED = "SELECT count(*), sum(CASE net_value_effect WHEN 'Debit' THEN -net_value ELSE net_value END) FROM "

# Tuned on two cores: nothing is compressed that is only read again, files small enough for two processes to share.
_DLT = {
    "RUNTIME__LOG_LEVEL": "ERROR",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "5000",
    "DATA_WRITER__FILE_MAX_ITEMS": "20000",
    "NORMALIZE__WORKERS": "2",
    "NORMALIZE__START_METHOD": "fork",
    "LOAD__WORKERS": "4",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
}


@dataclass(frozen=True)
class Way:
    """`most_rows` is the largest history it is asked for; `count` asks its table for rows and sum of net values."""

    name: str
    title: str
    count: str
    databases: tuple[str, ...] = (DUCKDB, POSTGRES)
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    most_rows: int = 10_000_000
    #: runs in the environment of the project, on tables that it has migrated
    own: bool = False
    #: variables of its process
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_peer(self) -> bool:
        """Whether it is another way to do the same."""
        return not self.own


_WAYS = (
    Way(
        OURS,
        "this project",
        "SELECT count(*), sum(net_value) FROM tasty.transactions WHERE removed_at IS NULL",
        own=True,
    ),
    Way(
        FLOOR,
        "floor: fetch, parse, load",
        "SELECT count(*), sum(net_value) FROM tasty.transactions",
        scenarios=("fresh",),
        own=True,
    ),
    Way(DLT, "dlt, REST source", _UNSIGNED + "peer.transactions", environment=_DLT),
    Way(DLT_ARROW, "dlt, fed with Arrow", _UNSIGNED + "peer.transactions", environment=_DLT),
    Way(SDK, "SDK + pandas", "SELECT count(*), sum(net_value) FROM transactions"),
    Way(ORM_BULK, "ORM, bulk upsert", _UNSIGNED + "transactions", databases=(POSTGRES,)),
    Way(
        ORM_EACH,
        "ORM, row by row",
        _UNSIGNED + "transactions",
        databases=(POSTGRES,),
        most_rows=10_000,
    ),
)
WAYS: Mapping[str, Way] = {way.name: way for way in _WAYS}
