"""Fuzzing of the payload parser: whatever an answer's bytes are, nothing of it is lost, invented or crashes the read.

Here belongs what must hold of each answer that `drawn_answers.py` draws: a typed row that states exactly what its
payload says (`said.py`), or a bad row that is kept in full, or one clear error for the whole. Hypothesis draws and
shortens: a fuzzer that is guided by coverage would see only Python's own branches, and most of the reading is in C++.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from core.pages import ACCOUNT, judged
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tasty_pipeline.core import arrow, payloads, publish, quick, schema
from tasty_pipeline.core.broker import contents, decode
from tasty_pipeline.core.digests import day_digests, payload_digest
from tasty_pipeline.core.errors import ContractError, IncompleteAnswerError, TastyError
from tasty_pipeline.core.payloads import Rejected
from tasty_pipeline.core.publish import Answer, Run
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

from .drawn_answers import KINDS
from .said import kept, misstated, parsed, same
from .tally import Tally

Rejects = Sequence[Rejected]
PAGED = (schema.transactions, schema.balance_snapshots)
# an answer may be refused as one; any other error would take good rows along with an odd one
REFUSALS = (ContractError, IncompleteAnswerError)
LONGEST_ERROR = 2_000  # characters of an error or a reason, whatever the answer holds
STORED_AT_ONCE = 200
TODAY = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class Fuzz:
    """Reads answers and counts what became of them; bad rows are stored in a real warehouse from time to time."""

    tally: Tally
    warehouse: Warehouse | None
    waiting: dict[str, list[Rejected]] = field(default_factory=dict)
    last: bytes = b""

    def paged(self, table: sa.Table, body: bytes) -> None:
        """Read one answer of a paged list. Raises AssertionError where something is lost, invented or unlike."""
        self.last = body
        self.tally.tried += 1
        found = quick.read(table, body, ACCOUNT)
        if found is not None:
            self.tally.notes["pages read quickly"] += 1
            judge = judged(table, body)
            assert judge is not None, "the judge refuses some of it"
            assert found.rows == judge.rows, "the quick path reads it otherwise than the judge"
        try:
            page = contents.read(table, body, ACCOUNT, "the page")
        except REFUSALS as error:
            self._refused(error)
            return
        answer = parsed(body)
        counts = answer["pagination"]
        assert (page.total, page.offset) == (counts["total-items"], counts["page-offset"])
        assert min(page.total, page.offset, page.count, page.size - 1) >= 0, "counts that are none"
        assert (page.size, page.count) == (counts["per-page"], counts["current-item-count"])
        items = answer["data"]["items"]
        assert page.items == len(items) == page.rows.num_rows + len(page.rejected) + len(page.others), "rows are lost"
        self._rows(table, items, page.rows, page.rejected, page.others)
        self._onward(table, page.rows, page.rejected)

    def _rows(self, table: sa.Table, items: list[Any], typed: Any, rejected: Rejects, others: Sequence[Any]) -> None:
        """Go through the items in their order: each is the next bad row, the next that is none, or the next typed."""
        rows, bad, others = iter(typed.to_pylist()), list(rejected), list(others)
        for item in items:
            if bad and same(bad[0].payload, item):
                assert bad.pop(0).reason, "rejected without a reason"
            elif others and same(others[0], item):
                others.pop(0)
            else:
                row = next(rows, None)
                assert row is not None, "a row that was not sent"
                flaw = misstated(table, item, row)
                assert not flaw, flaw
                assert row["account_number"] == ACCOUNT, "a row of another account"
                self.tally.notes["typed rows"] += 1
        assert not bad, "a rejected payload that was not sent"

    def _onward(self, table: sa.Table, rows: Any, rejected: Rejects) -> None:
        """Let what was read go as far as a sync takes it."""
        arrow.refuse_inexact(table, rows.schema)
        if table in PAGED:
            day_digests(table, rows, schema.DAY[table.name])
        for each in rejected:
            self.tally.notes["rejected rows"] += 1
            assert len(each.reason) < LONGEST_ERROR, "a reason of any length"
            self.waiting.setdefault(table.name, []).append(each)
        if sum(map(len, self.waiting.values())) > STORED_AT_ONCE:
            self.store()

    def unpaged(self, table: sa.Table, body: bytes) -> None:
        """Read one answer of a list that does not page."""
        self.last = body
        self.tally.tried += 1
        try:
            items = decode.of_account(
                decode.whole_list(decode.parse(body, "the list"), "the list"), ACCOUNT, "the list"
            )
        except REFUSALS as error:
            self._refused(error)
            return
        found = payloads.parse(table, items)
        assert len(items) == found.table.num_rows + len(found.rejected), "rows are lost"
        self._rows(table, parsed(body)["data"]["items"], found.table, found.rejected, ())
        self._onward(table, found.table, found.rejected)

    def _refused(self, error: TastyError) -> None:
        assert len(str(error)) < LONGEST_ERROR, "an error of any length"
        self.tally.notes["answers refused"] += 1

    def store(self) -> None:
        """Write the bad rows that wait, and find each of them in the warehouse with all that it said."""
        if self.warehouse is None:
            return
        for name, rejected in self.waiting.items():
            table = schema.MIRRORED[name]
            rows = arrow.content_schema(table).empty_table()
            answer = Answer(rows=rows, rejected=tuple(rejected), started_at=TODAY, ended_at=TODAY)
            run = Run(run_id="fuzzing", environment="fuzzing", history_start=date(2020, 1, 1), now=lambda: TODAY)
            table_of_bad = schema.rejected_rows
            with self.warehouse.write() as writer:
                publish.record_rejects(writer, table, run, ACCOUNT, answer)
                stored = writer.rows(sa.select(table_of_bad))
                writer.execute(sa.delete(table_of_bad))
            expected = {payload_digest(each.payload): each for each in rejected}
            assert {row["payload_digest"] for row in stored} == expected.keys(), "a rejected row is not stored"
            for row in stored:
                sent = expected[row["payload_digest"]].payload
                assert kept(sent, row["payload"]), f"stored as {row['payload']!r:.500} for {sent!r:.500}"
            self.tally.notes["rejected rows stored and found again"] += len(stored)
        self.waiting.clear()


def search(*, seed: int = 0, examples: int = 1_000, database: str | None = None) -> Tally:
    """Draw so many answers of each kind for each paged table, and of those that the others have.

    Bad rows are stored in the warehouse at `database`, which must be migrated, and compared.
    """
    tally = Tally("whatever an answer says becomes exact rows, rejected rows in full, or one error", seed=seed)
    fuzz = Fuzz(tally, open_warehouse(database) if database else None)
    for table in PAGED:
        for kind, drawing in KINDS.items():
            _drawn(fuzz, seed, examples, f"{kind} of {table.name}", drawing(table), partial(fuzz.paged, table))
    for table in (schema.accounts, schema.positions, schema.balances):
        for kind in ("mutated fields", "any JSON"):
            drawing = KINDS[kind]
            _drawn(fuzz, seed, examples, f"{kind} of {table.name}", drawing(table), partial(fuzz.unpaged, table))
    return tally


def _drawn(
    fuzz: Fuzz, number: int, examples: int, name: str, answers: st.SearchStrategy[bytes], check: Callable[[bytes], None]
) -> None:
    @seeded(number)
    @settings(max_examples=examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(answers)
    def holds(body: bytes) -> None:
        check(body)

    try:
        holds()
        fuzz.store()
    except Exception as error:  # noqa: BLE001 - any error that is not one of our own is what is searched for
        fuzz.tally.broken.append(
            f"{name}, seed {number}: {type(error).__name__}: {error!s:.300} for {fuzz.last!r:.2000}"
        )
