"""Dagster's own SQLite files, written faster: the instance storage that `cli/home.py` chooses for a new DAGSTER_HOME.

Here belongs how runs and their events reach the disk. It knows nothing of our assets, and nothing imports it:
`dagster.yaml` names it. Files, tables and rows are those of Dagster's default storage, so that each of the two can
follow the other on the same folder.

Dagster 1.13 opens a database file, compiles its statements and waits for the disk anew for every event, and twice for
an event of a partition: 20 ms each, and five years of two assets have 7,320 of them. Here a file stays open, a batch of
events is one transaction, and the disk is waited for at checkpoints only.

What can be lost, beyond what Dagster itself loses:
- a process that is killed, or interrupted while it marks an asset's days, loses the marks that it was collecting (at
  most `BATCH_SIZE` days of one asset; their rows are in the tables). These days show as not materialized, and
  materializing them again writes no row.
- a power failure can take the log's last transactions with it. It is never torn.
A run that fails loses nothing: an asset's days are marked together, after its work has succeeded.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from dagster import DagsterRun
from dagster._core.event_api import EventHandlerFn
from dagster._core.events import ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorageWatchdog
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from watchdog.events import FileSystemEvent
from watchdog.observers import Observer

# One transaction of so many events takes some 50 ms, in which others cannot write.
BATCH_SIZE = 1000
# Dagster's own switch of batches; a value that the operator has set is left alone.
_BATCHING = "DAGSTER_EVENT_BATCH_SIZE"
# A run's process writes the index and one run; the UI's reads a few.
OPEN_FILES = 8


class SqliteStorage(DagsterSqliteStorage):
    """Dagster's default storage with the event log and the runs of this module; `base_dir` is DAGSTER_HOME."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        history = Path(base_dir) / "history"
        self._event_log_storage = EventLog(str(history / "runs"))
        self._run_storage = Runs.from_local(str(history))
        os.environ.setdefault(_BATCHING, str(BATCH_SIZE))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:
        """Return the storage that `dagster.yaml` describes; the parent's would return a parent."""
        return cls.from_local(inst_data=inst_data, **config_value)


class Runs(SqliteRunStorage):
    """Dagster's SQLite run storage; a run over many days plans them for the assets that have days only."""

    def add_run(self, dagster_run: DagsterRun) -> DagsterRun:
        """Store a run without its `partitions_subset`: its tags say the same, and Dagster then asks each asset.

        With it Dagster 1.13 plans every day for every asset and check of the run, partitioned or not: for five years
        53,000 rows of checks that no evaluation ever answers, in a file of 149 MB instead of 25.
        """
        return super().add_run(dagster_run._replace(partitions_subset=None))


class EventLog(SqliteEventLogStorage):
    """Dagster's SQLite event log with files that stay open, and batches that are one transaction in each of two."""

    _obs: Any

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        super().__init__(base_dir, inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of one run as `store_event` would store each of them in turn.

        What is planned for checks is added after the transaction, by Dagster's own code.
        """
        types = [each.dagster_event_type for each in events]
        if not BATCH_WRITABLE_EVENTS.issuperset(types) or len({each.run_id for each in events}) != 1:
            super().store_event_batch(events)
            return
        rows = [self._event_to_row(each) for each in events]
        insert = SqlEventLogStorageTable.insert()
        in_order = insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
        # both are written before either is committed: Dagster stores a batch that fails again, one by one
        with self._db_lock, self._begin(events[0].run_id) as run, self._begin(INDEX_SHARD_NAME) as index:
            run.execute(insert, rows)
            stored = list(zip(events, index.execute(in_order, rows).scalars(), strict=True))
            of_assets = [pair for pair in stored if pair[0].dagster_event_type in ASSET_EVENTS]
            self._store_asset_event_tags(index, [each for each, _ in of_assets], [number for _, number in of_assets])
            # of each kind of event the last one of an asset says what is newest
            newest = {
                (row["asset_key"], row["dagster_event_type"]): pair for row, pair in zip(rows, stored, strict=True)
            }
            for each, number in sorted(newest.values(), key=itemgetter(1)):
                self._store_asset_event(index, each, number)
        for each, number in stored:
            if each.dagster_event_type not in ASSET_EVENTS:
                self.store_asset_check_event(each, number)

    def watch(self, run_id: str, cursor: str | None, callback: EventHandlerFn) -> None:
        """Tell of a run's new events, as Dagster does, also of those that are in its write-ahead file yet."""
        if not self._obs:
            self._obs = Observer()
            self._obs.start()
        watchdog = _Watchdog(self, run_id, callback, cursor)
        self._watchers[run_id][callback] = (watchdog, self._obs.schedule(watchdog, self._base_dir, recursive=True))

    def wipe(self) -> None:
        """Remove everything; the files are closed first."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close the files: the last to close one empties its write-ahead file."""
        super().dispose()
        self._close()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock, self._begin(shard) as connection:
            yield connection

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        with self._engine(shard).connect() as connection, connection.begin():
            yield connection

    def _engine(self, shard: str) -> Engine:
        if shard in self._engines and not Path(self.path_for_shard(shard)).exists():
            # `dagster run wipe` of another process: what is written to the open file is seen by nobody
            self._engines.pop(shard).dispose()
            self._initialized_dbs.discard(shard)
        if shard not in self._engines:
            self._engines[shard] = _open(self.conn_string_for_shard(shard))
        if shard not in self._initialized_dbs:
            self._initdb(self._engines[shard])
            self._initialized_dbs.add(shard)
        self._engines.move_to_end(shard)
        if len(self._engines) > OPEN_FILES:
            self._engines.popitem(last=False)[1].dispose()
        return self._engines[shard]

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()


class _Watchdog(SqliteEventLogStorageWatchdog):
    """Looks at a run's file, and at the one beside it that holds what is newest while the run is open."""

    @property
    def patterns(self) -> list[str]:
        return [self._log_path, f"{self._log_path}-wal"]

    def on_modified(self, event: FileSystemEvent) -> None:  # noqa: ARG002 - watchdog's signature
        self._process_log()


def _open(url: str) -> Engine:
    # one connection is kept; making the tables of a new file needs a second one for a moment
    engine = create_engine(url, pool_size=1, max_overflow=-1, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS})

    @event.listens_for(engine, "connect")
    def relax(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")

    return engine
