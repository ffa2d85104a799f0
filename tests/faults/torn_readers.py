"""Readers of every kind, each of which takes snapshots of one account for as long as it is asked to.

Here belongs how a snapshot is taken on either database, and what a whole one holds; who publishes meanwhile is in
torn.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
import psycopg
import sqlalchemy as sa

from tasty_pipeline.core.warehouse import DUCKDB_CONFIG, open_warehouse

TOGGLED = "QQQ"  # held in every second generation; so in the questions too
STEADY = ("AAPL", "SPY", "KO")  # held in every generation, one more of each with every one

# {0} is the schema. Each question has one row; joined they are one statement.
PORTFOLIO = """
SELECT b.cash, b.currencies, p.positions, p.least, p.most, least(b.oldest, p.oldest), greatest(b.newest, p.newest),
 (SELECT run_id FROM {0}.sync_log WHERE table_name = 'positions' AND account_number = '{1}'
  ORDER BY read_started_at DESC LIMIT 1),
 (SELECT run_id FROM {0}.sync_log WHERE table_name = 'balances' AND account_number = '{1}'
  ORDER BY read_started_at DESC LIMIT 1)
FROM (SELECT max(cash_balance) cash, count(*) currencies, min(run_id) oldest, max(run_id) newest
      FROM {0}.balances WHERE account_number = '{1}') b,
 (SELECT count(*) positions, min(quantity) FILTER (WHERE symbol <> 'QQQ') least, max(quantity) most,
         min(run_id) oldest, max(run_id) newest
  FROM {0}.positions WHERE account_number = '{1}') p"""
HISTORY = """
SELECT t.rows, t.net, t.oldest, t.newest,
 (SELECT sum(row_count) FROM {0}.proven_days WHERE table_name = 'transactions' AND account_number = '{1}'),
 (SELECT run_id FROM {0}.sync_log WHERE table_name = 'transactions' AND account_number = '{1}'
  ORDER BY read_started_at DESC LIMIT 1)
FROM (SELECT count(*) AS rows, sum(net_value) net, min(run_id) oldest, max(run_id) newest
      FROM {0}.transactions WHERE account_number = '{1}' AND removed_at IS NULL) t"""
FEED = "SELECT sequence, table_name, run_id FROM {0}.changes ORDER BY sequence DESC LIMIT 1"
QUESTIONS = (PORTFOLIO, HISTORY, FEED)


class Snapshot(NamedTuple):
    """What one reader saw at one moment."""

    cash: Decimal
    currencies: int
    positions: int
    least_held: Decimal
    most_held: Decimal
    portfolio_oldest: str
    portfolio_newest: str
    positions_read: str
    balances_read: str
    transactions: int
    net: Decimal
    history_oldest: str
    history_newest: str
    proven: int
    history_read: str
    sequence: int
    told_table: str
    told: str


@dataclass(frozen=True)
class Whole:
    """What every whole state of the account holds: a function of how often its two parts were published.

    `opening` is the cash of generation 0; it changes by `step` with each, and by `odd` in every second one.
    """

    account: str
    opening: Decimal
    step: Decimal
    odd: Decimal

    def cash(self, generation: int) -> Decimal:
        return self.opening + self.step * generation + self.odd * (generation % 2)

    def snapshot(self, portfolio: int, history: int) -> Snapshot:
        """What is to be seen when these generations of the portfolio and of the transactions are the newest."""
        held, booked = len(STEADY) + portfolio % 2, 1 + len(STEADY) + history % 2
        state, past = name(portfolio), name(history)
        return Snapshot(
            *(self.cash(portfolio), 1, held, Decimal(portfolio + 1), Decimal(portfolio + 1), *[state] * 4),
            *(booked, self.cash(history), past, past, booked, past),
            # the account, its first rows, and five rows that change with each publication of either kind
            1 + 2 * (1 + len(STEADY)) + 5 * (portfolio + history),
            *(("balances", state) if portfolio > history else ("transactions", past)),
        )

    def torn(self, seen: Snapshot) -> str:
        """Say what does not belong together in a snapshot; nothing where it is whole.

        The portfolio and the transactions are two publications, in this order: between them the first is one ahead.
        """
        portfolio, history = int(seen.positions_read), int(seen.history_read)
        if portfolio - history not in {0, 1}:
            return f"positions of generation {portfolio} beside transactions of {history}"
        whole = self.snapshot(portfolio, history)
        differ = [
            f"{field} {have} instead of {want}"
            for field, have, want in zip(Snapshot._fields, seen, whole, strict=True)
            if have != want
        ]
        return f"generations {portfolio} and {history}: {', '.join(differ)}" if differ else ""


def name(generation: int) -> str:
    """The run that publishes a generation: such names are ordered as their numbers."""
    return f"{generation:08}"


def _asked(schema: str, account: str) -> list[str]:
    return [question.format(schema, account) for question in QUESTIONS]


def _joined(schema: str, account: str) -> str:
    portfolio, history, feed = _asked(schema, account)
    return f"SELECT * FROM ({portfolio}) a, ({history}) b, ({feed}) c"  # noqa: S608 - our own questions


Place = str | Path
Way = Callable[[Place, str], Iterator[Snapshot]]


def one_statement(url: Place, account: str) -> Iterator[Snapshot]:
    """An application's plain SQL, each snapshot a statement."""
    with psycopg.connect(str(url), autocommit=True) as connection, connection.cursor() as cursor:
        question = _joined("tasty_v1", account).encode()
        while True:
            yield Snapshot(*cursor.execute(question, prepare=True).fetchall()[0])


def repeatable_read(url: Place, account: str) -> Iterator[Snapshot]:
    """An application's plain SQL, several statements in a transaction that sees one state."""
    with psycopg.connect(str(url), autocommit=True) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        questions = [question.encode() for question in _asked("tasty_v1", account)]
        while True:
            with connection.transaction():
                answers = [connection.execute(question, prepare=True).fetchall()[0] for question in questions]
            yield Snapshot(*(cell for answer in answers for cell in answer))


def application(url: Place, account: str) -> Iterator[Snapshot]:
    """A Django application by its models, several queries in `one_state`."""
    import django  # noqa: PLC0415 - only this reader's process is one
    from django.conf import settings  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    told = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    given = conninfo_to_dict(str(url))
    database = {key: given.get(name, "") for key, name in told.items()} | {"ENGINE": "django.db.backends.postgresql"}
    settings.configure(DATABASES={"default": database}, INSTALLED_APPS=["tasty_django"], USE_TZ=True)
    django.setup()
    from tasty_django.state import one_state  # noqa: PLC0415 - models want Django to be set up

    while True:
        with one_state():
            snapshot = _by_models(account)
        yield snapshot


def _by_models(account: str) -> Snapshot:
    from django.db.models import Count, Max, Min, Q, Sum  # noqa: PLC0415

    from tasty_django.models import (  # noqa: PLC0415
        AccountBalance,
        Change,
        Position,
        ProvenDay,
        SyncLog,
        Transaction,
    )

    def read(table: str) -> str:
        entries = SyncLog.objects.published().filter(account_number=account, table_name=table)
        return str(entries.newest_first().values_list("run_id", flat=True)[0])

    runs = {"count": Count("pk"), "oldest": Min("run_id"), "newest": Max("run_id")}
    steady = ~Q(symbol=TOGGLED)
    money = AccountBalance.objects.filter(account_id=account).aggregate(cash=Max("cash_balance"), **runs)
    held = Position.objects.filter(account_id=account).aggregate(
        least=Min("quantity", filter=steady), most=Max("quantity"), **runs
    )
    state = (
        *(money["cash"], money["count"], held["count"], held["least"], held["most"]),
        *(min(money["oldest"], held["oldest"]), max(money["newest"], held["newest"])),
        *(read("positions"), read("balances")),
    )
    booked = Transaction.objects.filter(account_id=account).aggregate(net=Sum("net_value"), **runs)
    proven = ProvenDay.objects.filter(account_number=account, table_name="transactions").aggregate(Sum("row_count"))
    past = (booked["count"], booked["net"], booked["oldest"], booked["newest"], *proven.values(), read("transactions"))
    return Snapshot(
        *state, *past, *Change.objects.order_by("-sequence").values_list("sequence", "table_name", "run_id")[0]
    )


def own_reader(url: Place, account: str) -> Iterator[Snapshot]:
    """The pipeline's own short read transactions, on either database."""
    warehouse = open_warehouse(str(url))
    cells = {"cash": sa.Numeric(), "least_held": sa.Numeric(), "most_held": sa.Numeric(), "net": sa.Numeric()}
    columns = [sa.column(each, cells.get(each, sa.Text())) for each in Snapshot._fields]
    questions, at = [], 0
    for text, count in zip(_asked("tasty", account), (9, 6, 3), strict=True):
        named = f"WITH q({', '.join(Snapshot._fields[at : at + count])}) AS ({text}) SELECT * FROM q"  # noqa: S608
        questions.append(sa.select(sa.text(named).columns(*columns[at : at + count]).subquery()))
        at += count
    while True:
        with warehouse.read() as reader:
            answers = [reader.rows(question)[0] for question in questions]
        yield Snapshot(*(cell for answer in answers for cell in answer.values()))


def beside_statement(file: Place, account: str) -> Iterator[Snapshot]:
    """A reader in the pipeline's own process, each snapshot a statement."""
    with duckdb.connect(str(file), config=DUCKDB_CONFIG) as connection:
        question = _joined("tasty", account)
        while True:
            yield Snapshot(*connection.execute(question).fetchall()[0])


def beside_transaction(file: Place, account: str) -> Iterator[Snapshot]:
    """A reader in the pipeline's own process, several statements in a transaction."""
    with duckdb.connect(str(file), config=DUCKDB_CONFIG) as connection:
        questions = _asked("tasty", account)
        while True:
            connection.execute("BEGIN TRANSACTION READ ONLY")
            answers = [connection.execute(question).fetchall()[0] for question in questions]
            connection.execute("COMMIT")
            yield Snapshot(*(cell for answer in answers for cell in answer))


def copied(copy: Place, account: str) -> Iterator[Snapshot]:
    """A reader in another process, which opens the published copy anew for each snapshot."""
    question = _joined("tasty", account)
    while True:
        with duckdb.connect(str(copy), read_only=True) as connection:
            yield Snapshot(*connection.execute(question).fetchall()[0])
