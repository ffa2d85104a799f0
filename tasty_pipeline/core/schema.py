"""The one description of every table: types, keys, checks, indexes, comments, and the API field behind each column.

Migrations, payload parsing, staging, merging, asset column schemas and the documentation read it; no column list is
written twice. A column's `info` says where its value comes from:

- `api`: the kebab-case key in the payload;
- `effect`: the key of the sibling that holds the sign (`Credit` is positive, `Debit` negative);
- `expected`: the API has always sent it, so that its absence is contract drift (it is not required to load a row);
- `vocabulary`: the values known today; others load and are reported;
- `flag`: a text that the API may also send as true or false.

Amounts are NUMERIC(38, 12) in both databases: 26 digits before the point, 12 after it; what does not fit is rejected,
never rounded. Nothing here opens a connection or knows a backend.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGDialect

from tasty_pipeline.core import vocabulary

SCHEMA = "tasty"
PRECISION, SCALE = 38, 12

METADATA = sa.MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    },
)

AMOUNT = sa.Numeric(PRECISION, SCALE)
INSTANT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _column(
    name: str,
    type_: sa.types.TypeEngine[Any],
    comment: str,
    *,
    api: str | None = "",
    required: bool = False,
    expected: bool = False,
    **info: Any,
) -> sa.Column[Any]:
    """Describe one column; `api=""` means the column's own name in kebab-case, `api=None` a value that we add."""
    if api == "":
        api = name.replace("_", "-")
    known: dict[str, Any] = {"api": api, "expected": expected or required, **info}
    return sa.Column(name, type_, nullable=not required, comment=comment, info=known)


def _text(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, sa.Text(), comment, **rest)


def _amount(name: str, comment: str, *, signed: bool = False, **rest: Any) -> sa.Column[Any]:
    if signed:
        rest["effect"] = f"{name.replace('_', '-')}-effect"
    return _column(name, AMOUNT, comment, **rest)


def _whole(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, sa.BigInteger(), comment, **rest)


def _flag(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, sa.Boolean(), comment, **rest)


def _day(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, sa.Date(), comment, **rest)


def _instant(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, INSTANT, comment, **rest)


def _json(name: str, comment: str, **rest: Any) -> sa.Column[Any]:
    return _column(name, JSON, comment, **rest)


def _provenance() -> list[sa.Column[Any]]:
    return [
        _instant(
            "synced_at",
            "Start of the read that last changed this row. A sync that finds it unchanged writes nothing.",
            api=None,
            required=True,
        ),
        _text("run_id", "The run that last changed this row.", api=None, required=True),
    ]


def _mirrored() -> list[sa.Column[Any]]:
    return [
        _json("extra", "Fields of the payload that have no column here, as the API sent them.", api=None),
        *_provenance(),
    ]


def _table(
    name: str, comment: str, key: tuple[str, ...], columns: list[sa.Column[Any]], *more: sa.schema.SchemaItem
) -> sa.Table:
    for column in columns:
        if column.name in key:
            column.autoincrement = False
    return sa.Table(name, METADATA, *columns, sa.PrimaryKeyConstraint(*key), *more, comment=comment)


accounts = _table(
    "accounts",
    "Every account that a login may see, closed ones too; which login sees it is in connection_accounts.",
    ("account_number",),
    [
        _text("account_number", "The broker's account number.", required=True),
        _text(
            "account_type", "Kind of account, such as Individual or Roth IRA.", api="account-type-name", expected=True
        ),
        _text("nickname", "The owner's name for the account.", expected=True),
        _text(
            "margin_or_cash",
            "Margin or Cash.",
            expected=True,
            vocabulary=vocabulary.MARGIN_OR_CASH,
        ),
        _flag("is_closed", "Whether the account is closed.", expected=True),
        _instant("opened_at", "When the account was opened.", expected=True),
        _instant("closed_at", "When the account was closed."),
        _instant("created_at", "When the broker created its record.", expected=True),
        _text("day_trader_status", "The broker's day-trader flag, as text.", expected=True, flag=True),
        _text("investment_objective", "Stated investment objective."),
        _text("investment_time_horizon", "Stated investment horizon."),
        _text("liquidity_needs", "Stated liquidity needs."),
        _text("risk_tolerance", "Stated risk tolerance."),
        _text("suitable_options_level", "Option level that the broker allows."),
        _text("futures_account_purpose", "Stated purpose of futures trading."),
        _day("funding_date", "First day on which the account held money."),
        _flag("is_firm_error", "The broker's own error account.", expected=True),
        _flag("is_firm_proprietary", "The broker's own proprietary account.", expected=True),
        _flag("is_foreign", "Whether the owner is foreign.", expected=True),
        _flag("is_futures_approved", "Whether futures may be traded.", expected=True),
        _flag("is_test_drive", "Whether it is a trial account."),
        _text("regulatory_domain", "Regulatory domain of the account."),
        _text("submitting_user_id", "The user who applied for the account."),
        _text("ext_account_id", "The account's number in another of the broker's systems."),
        _text("ext_crm_id", "The account's number in the broker's customer system."),
        _json("external_accounts", "Linked accounts elsewhere, as the API sends them."),
        _text("external_fdid", "Firm-designated identifier for audit-trail reports."),
        _text("external_id", "The account's external identifier."),
        _instant("removed_at", "Since when no connection lists the account any more.", api=None),
        *_mirrored(),
    ],
)

positions = _table(
    "positions",
    "Open positions now. A row leaves only after two agreeing complete answers without it.",
    ("account_number", "symbol", "instrument_type", "quantity_direction"),
    [
        _text("account_number", "The account that holds the position.", required=True),
        _text("symbol", "The broker's symbol, inner spaces included.", required=True),
        _text("instrument_type", "Kind of instrument.", required=True, vocabulary=vocabulary.INSTRUMENT_TYPES),
        _text("quantity_direction", "Long or Short.", required=True, vocabulary=vocabulary.QUANTITY_DIRECTIONS),
        _text("underlying_symbol", "Symbol of the underlying.", expected=True),
        _text("streamer_symbol", "Symbol of the quote stream."),
        _amount("quantity", "Signed quantity: positive long, negative short.", required=True),
        _amount("average_open_price", "Average price at which it was opened.", expected=True),
        _amount("close_price", "Previous session's closing price.", expected=True),
        _amount("multiplier", "Units of the underlying in one contract or share.", expected=True),
        _text("cost_effect", "Effect of closing: Credit for long, Debit for short.", expected=True),
        _amount("mark", "Value at the current mark, when asked for."),
        _amount("mark_price", "Current mark price, when asked for."),
        _amount("average_yearly_market_close_price", "Average closing price used for the year's gain."),
        _amount("average_daily_market_close_price", "Average closing price used for the day's gain."),
        _amount("restricted_quantity", "Quantity that may not be traded."),
        _amount("realized_day_gain", "Signed gain realised on realized_day_gain_date.", signed=True, expected=True),
        _day("realized_day_gain_date", "The day that realized_day_gain belongs to."),
        _amount("realized_today", "Signed gain realised on realized_today_date.", signed=True, expected=True),
        _day("realized_today_date", "The day that realized_today belongs to."),
        _flag("is_frozen", "Whether trading it is frozen.", expected=True),
        _flag("is_suppressed", "Whether the broker hides it.", expected=True),
        _instant("expires_at", "When the contract expires."),
        _text("deliverable_type", "What an option delivers."),
        _amount("fixing_price", "Fixing price of a settled contract."),
        _amount("face_value", "Face value of a bond."),
        _amount("par_size", "Par size of a bond."),
        _whole("order_id", "The order that last changed it."),
        _text("update_type", "The broker's kind of last update."),
        _instant("created_at", "When the position was opened.", expected=True),
        _instant("updated_at", "When the broker last changed it.", expected=True),
        *_mirrored(),
    ],
    sa.CheckConstraint(
        "(quantity_direction = 'Short' AND quantity < 0) OR (quantity_direction <> 'Short' AND quantity > 0)",
        name="sign",
    ),
    sa.Index(None, "underlying_symbol", "account_number"),
)

# (column, meaning, whether the SDK's model requires it in balances, whether it requires it in snapshots too)
_BALANCE_AMOUNTS: tuple[tuple[str, str, bool, bool], ...] = (
    ("cash_balance", "Cash.", True, True),
    ("net_liquidating_value", "Cash plus the market value of everything held.", True, True),
    ("long_equity_value", "Market value of long shares.", True, True),
    ("short_equity_value", "Market value of short shares.", True, True),
    ("long_derivative_value", "Market value of long equity options.", True, True),
    ("short_derivative_value", "Market value of short equity options.", True, True),
    ("long_futures_value", "Market value of long futures.", True, True),
    ("short_futures_value", "Market value of short futures.", True, True),
    ("long_futures_derivative_value", "Market value of long future options.", True, True),
    ("short_futures_derivative_value", "Market value of short future options.", True, True),
    ("long_index_derivative_value", "Market value of long index options.", False, False),
    ("short_index_derivative_value", "Market value of short index options.", False, False),
    ("long_margineable_value", "Long value that counts for margin.", True, True),
    ("short_margineable_value", "Short value that counts for margin.", True, True),
    ("long_cryptocurrency_value", "Market value of cryptocurrency held.", True, False),
    ("short_cryptocurrency_value", "Market value of cryptocurrency owed.", True, False),
    ("long_bond_value", "Market value of bonds.", True, False),
    ("long_fixed_income_security_value", "Market value of fixed-income securities.", False, False),
    ("margin_equity", "Equity that counts for margin.", True, True),
    ("equity_buying_power", "Buying power for shares.", True, True),
    ("derivative_buying_power", "Buying power for options.", True, True),
    ("used_derivative_buying_power", "Option buying power in use.", True, False),
    ("day_trading_buying_power", "Buying power within the day.", True, True),
    ("sma_equity_option_buying_power", "Option buying power from the special memorandum account.", False, False),
    ("effective_cryptocurrency_buying_power", "Buying power for cryptocurrency.", True, False),
    ("available_trading_funds", "Funds free for trading.", True, True),
    ("futures_margin_requirement", "Margin required for futures.", True, True),
    ("futures_overnight_margin_requirement", "Overnight margin required for futures.", True, False),
    ("futures_intraday_margin_requirement", "Intraday margin required for futures.", True, False),
    ("maintenance_requirement", "Maintenance margin required.", True, True),
    ("maintenance_excess", "Equity above the maintenance margin.", True, False),
    ("maintenance_call_value", "Open maintenance call.", True, True),
    ("reg_t_margin_requirement", "Regulation T margin required.", True, False),
    ("reg_t_call_value", "Open Regulation T call.", True, True),
    ("day_trading_call_value", "Open day-trading call.", True, True),
    ("day_equity_call_value", "Open day-equity call.", True, True),
    ("day_trade_excess", "Excess for day trading.", True, True),
    ("cryptocurrency_margin_requirement", "Margin required for cryptocurrency.", True, False),
    ("equity_offering_margin_requirement", "Margin required for equity offerings.", True, False),
    ("bond_margin_requirement", "Margin required for bonds.", True, False),
    ("fixed_income_security_margin_requirement", "Margin required for fixed-income securities.", False, False),
    ("cash_available_to_withdraw", "Cash that may leave the account.", True, True),
    ("cash_settle_balance", "Settled cash in the cash account.", False, False),
    ("margin_settle_balance", "Settled cash in the margin account.", False, False),
    ("total_settle_balance", "Settled cash in all.", False, False),
    ("closed_loop_available_balance", "Cash that may only return where it came from.", True, False),
    ("pending_margin_interest", "Margin interest not yet charged.", True, False),
    ("apex_starting_day_margin_equity", "Margin equity at the start of the clearing firm's day.", False, False),
    ("special_memorandum_account_value", "Special memorandum account.", False, False),
    ("special_memorandum_account_apex_adjustment", "The clearing firm's adjustment of it.", False, False),
    ("total_pending_liquidity_pool_rebate", "Rebates not yet paid.", False, False),
)
# amounts with a sign of their own in a sibling
_BALANCE_SIGNED: tuple[tuple[str, str, bool, bool], ...] = (
    ("pending_cash", "Signed cash not yet posted.", True, True),
    ("buying_power_adjustment", "Signed correction of the buying power.", False, False),
)


def _balance_columns(*, snapshot: bool) -> list[sa.Column[Any]]:
    which = 3 if snapshot else 2
    plain = [_amount(row[0], row[1], expected=row[which]) for row in _BALANCE_AMOUNTS]
    signed = [_amount(row[0], row[1], signed=True, expected=row[which]) for row in _BALANCE_SIGNED]
    return [
        *plain,
        *signed,
        # these four do not name their effect key after themselves
        _amount(
            "unsettled_cryptocurrency_fiat_amount",
            "Signed unsettled cash of cryptocurrency trades.",
            effect="unsettled-cryptocurrency-fiat-effect",
            expected=not snapshot,
        ),
        _amount(
            "intraday_equities_cash_amount",
            "Signed cash moved by today's share trades.",
            effect="intraday-equities-cash-effect",
        ),
        _day("intraday_equities_cash_effective_date", "The day of intraday_equities_cash_amount."),
        _amount(
            "intraday_futures_cash_amount",
            "Signed cash moved by today's futures trades.",
            effect="intraday-futures-cash-effect",
        ),
        _day("intraday_futures_cash_effective_date", "The day of intraday_futures_cash_amount."),
        _amount(
            "previous_day_cryptocurrency_fiat_amount",
            "Signed cash of the previous day's cryptocurrency trades.",
            effect="previous-day-cryptocurrency-fiat-effect",
        ),
        _day("previous_date_cryptocurrency_fiat_effective_date", "The day of previous_day_cryptocurrency_fiat_amount."),
        _instant("updated_at", "When the broker last changed it.", expected=not snapshot),
    ]


balances = _table(
    "balances",
    "The newest balance of each account and currency, read together with the account's positions.",
    ("account_number", "currency"),
    [
        _text("account_number", "The account.", required=True),
        _text("currency", "Currency of every amount in the row.", required=True),
        _day("snapshot_date", "Trade date that the broker gives the balance.", expected=True),
        _text("time_of_day", "BOD, EOD or Intraday, where the broker says so."),
        *_balance_columns(snapshot=False),
        *_mirrored(),
    ],
)

balance_snapshots = _table(
    "balance_snapshots",
    "Balances at the beginning (BOD) and the end (EOD) of each trading day.",
    ("account_number", "currency", "snapshot_date", "time_of_day"),
    [
        _text("account_number", "The account.", required=True),
        _text("currency", "Currency of every amount in the row.", required=True),
        _day("snapshot_date", "Trade date of the snapshot.", required=True),
        _text("time_of_day", "BOD or EOD.", required=True, vocabulary=vocabulary.TIMES_OF_DAY),
        *_balance_columns(snapshot=True),
        _instant("removed_at", "Since when two agreeing complete answers no longer hold the row.", api=None),
        *_mirrored(),
    ],
    sa.Index("balance_snapshots_account_number_snapshot_date_idx", "account_number", "snapshot_date", "removed_at"),
)

# In this order because net = value + the sum of these, all signed.
FEES = (
    "commission",
    "clearing_fees",
    "regulatory_fees",
    "proprietary_index_option_fees",
    "currency_conversion_fees",
    "other_charge",
)
# what no trade lacks; other kinds of transactions do
OF_TRADES = ("symbol", "instrument_type", "underlying_symbol", "action", "quantity_unsigned", "price")
_FEE_COMMENTS = {
    "commission": "Signed commission.",
    "clearing_fees": "Signed clearing fees.",
    "regulatory_fees": "Signed regulatory fees.",
    "proprietary_index_option_fees": "Signed fees for proprietary index options.",
    "currency_conversion_fees": "Signed fees for converting currencies.",
    "other_charge": "Signed other charge.",
}

transactions = _table(
    "transactions",
    "Every transaction of the history; one that the broker no longer lists is marked in removed_at, never deleted.",
    ("transaction_id",),
    [
        _whole(
            "transaction_id",
            "The broker's id: the only key. Equal rows with other ids are other fills.",
            api="id",
            required=True,
        ),
        _text("account_number", "The account.", required=True),
        _text(
            "transaction_type",
            "Such as Trade or Money Movement.",
            required=True,
            vocabulary=vocabulary.TRANSACTION_TYPES,
        ),
        _text(
            "transaction_sub_type",
            "Such as Buy to Open or Dividend.",
            required=True,
            vocabulary=vocabulary.TRANSACTION_SUB_TYPES,
        ),
        _text("description", "The broker's words.", expected=True),
        _instant("executed_at", "When it happened; for all but trades a nominal time of the day.", required=True),
        _day("transaction_date", "Trade date: the broker's accounting day, the partition of the row.", required=True),
        _text("symbol", "The broker's symbol, inner spaces included."),
        _text("instrument_type", "Kind of instrument.", vocabulary=vocabulary.INSTRUMENT_TYPES),
        _text("underlying_symbol", "Symbol of the underlying."),
        _text("action", "The order's action, where there is one.", vocabulary=vocabulary.ACTIONS),
        _amount(
            "quantity", "Signed by the action: bought positive, sold negative; null where there is no action.", api=None
        ),
        _amount("quantity_unsigned", "Quantity as the API sends it, without a sign.", api="quantity"),
        _amount("price", "Price of one unit."),
        _amount("value", "Signed value: positive into the account. 0 for futures trades.", signed=True, required=True),
        _amount("net_value", "Signed value with all fees; cash changes by it.", signed=True, required=True),
        *(_amount(fee, _FEE_COMMENTS[fee], signed=True) for fee in FEES),
        _text("other_charge_description", "What other_charge is for."),
        _flag("is_estimated_fee", "Whether the fees may still be corrected.", expected=True),
        _text("currency", "Currency of the amounts."),
        _instant("created_at", "When the broker wrote the row, often a day or more after executed_at."),
        _whole("order_id", "The order that was filled."),
        _whole("leg_count", "Legs of that order."),
        _text("exec_id", "Identifier of the execution."),
        _text("exchange", "Exchange of the execution."),
        _text("exchange_affiliation_identifier", "The exchange's own identifier."),
        _text("destination_venue", "Where the order was routed."),
        _text("ext_exchange_order_number", "The exchange's order number."),
        _whole("ext_global_order_number", "The clearing firm's order number."),
        _text("ext_group_id", "Groups the fills of one order."),
        _text("ext_group_fill_id", "Identifies a fill in its group."),
        _text("ext_exec_id", "The exchange's identifier of the execution."),
        _whole("reverses_id", "The transaction that this one reverses."),
        _day("cost_basis_reconciliation_date", "Day of a cost-basis correction."),
        _amount("agency_price", "Price of an agency trade."),
        _amount("principal_price", "Price of a principal trade."),
        _json("lots", "Lots that were opened or closed, as the API sends them."),
        _instant("removed_at", "Since when two agreeing complete answers no longer hold the row.", api=None),
        *_mirrored(),
    ],
    sa.CheckConstraint("quantity IS NULL OR abs(quantity) = quantity_unsigned", name="quantity"),
    # live rows are counted by day every night: with removed_at in it (as a key, which Postgres packs), it is enough
    sa.Index("transactions_account_number_transaction_date_idx", "account_number", "transaction_date", "removed_at"),
    # finds the last days of all accounts, and the rows of the last read, for next to nothing
    sa.Index(None, "transaction_date", "synced_at", postgresql_using="brin"),
    sa.Index(None, "account_number", "executed_at"),
    sa.Index(None, "symbol"),
    sa.Index(None, "underlying_symbol"),
)

proven_days = _table(
    "proven_days",
    "What was last proven of each day: the number of rows and their digest, zero rows included.",
    ("account_number", "table_name", "day"),
    [
        _text("account_number", "The account.", api=None, required=True),
        _text("table_name", "The table that holds the rows.", api=None, required=True),
        _day("day", "Trade date.", api=None, required=True),
        _whole(
            "row_count",
            "Rows that the API lists for the day, those that stand rejected included.",
            api=None,
            required=True,
        ),
        _text(
            "digest",
            "BLAKE2b of those rows in canonical form, ordered by key; empty where rows came or went since.",
            api=None,
            required=True,
        ),
        *_provenance(),
    ],
    sa.Index(None, "table_name", "day"),
)

proven_windows = _table(
    "proven_windows",
    "What one request of a day window last answered, and what the table held of its days then: a window that answers "
    "the same again needs no reading.",
    ("account_number", "table_name", "window_start", "window_end"),
    [
        _text("account_number", "The account.", api=None, required=True),
        _text("table_name", "The table that holds the rows.", api=None, required=True),
        _day("window_start", "First day that was asked for.", api=None, required=True),
        _day("window_end", "Last day that was asked for.", api=None, required=True),
        _whole("row_count", "Rows of the answer.", api=None, required=True),
        _text("body_digest", "Digest of the answer as it came.", api=None, required=True),
        _text(
            "fingerprint",
            "What this database made of the rows of those days after the answer was published; comparable in it only.",
            api=None,
            required=True,
        ),
        *_provenance(),
    ],
)

rejected_rows = _table(
    "rejected_rows",
    "Rows of the API that did not fit the contract: payload and reason. resolved_at is null while one still stands.",
    ("account_number", "table_name", "payload_digest"),
    [
        _text("account_number", "The account that was read.", api=None, required=True),
        _text("table_name", "The table that it was meant for.", api=None, required=True),
        _text("payload_digest", "BLAKE2b of the payload in canonical form.", api=None, required=True),
        _text("row_key", "The row's key, where it could be read.", api=None),
        _day("window_start", "First day that a read must cover to settle it; null where days play no part.", api=None),
        _day("window_end", "Last day that a read must cover to settle it.", api=None),
        _text("reason", "What did not fit.", api=None, required=True),
        _json("payload", "The row as the API sent it.", api=None, required=True),
        _instant("resolved_at", "When a later answer no longer held the bad row.", api=None),
        *_provenance(),
    ],
    sa.Index(None, "table_name", "resolved_at"),
)

sync_log = _table(
    "sync_log",
    "One row per account, table set and window of every sync that published or failed.",
    ("sync_id",),
    [
        _text("sync_id", "Unique id of this entry.", api=None, required=True),
        _text("connection", "The login that was used.", api=None, required=True),
        _text("environment", "production, sandbox or the host that was read.", api=None, required=True),
        _text("account_number", "The account; empty for the list of accounts itself.", api=None, required=True),
        _text("table_name", "The table that was synchronised.", api=None, required=True),
        _day("window_start", "First day that was proven; null where days play no part.", api=None),
        _day("window_end", "Last day that was proven.", api=None),
        _text("result", "published or failed.", api=None, required=True),
        _whole("rows_read", "Distinct rows in the answer.", api=None, required=True),
        _whole("rows_inserted", "Rows that are new.", api=None, required=True),
        _whole("rows_updated", "Rows that differ from before.", api=None, required=True),
        _whole("rows_removed", "Rows marked removed, or gone from positions.", api=None, required=True),
        _whole("rows_rejected", "Rows in rejected_rows.", api=None, required=True),
        _text("digest", "BLAKE2b over the days of the window, or over the rows.", api=None),
        _json("windows", "Date windows as requested, with the totals that the API gave.", api=None),
        _whole("requests", "HTTP requests made for it.", api=None, required=True),
        _whole("retries", "Requests that were repeated.", api=None, required=True),
        _whole("throttled", "Answers 429.", api=None, required=True),
        _instant("read_started_at", "Before the first request.", api=None, required=True),
        _instant("read_ended_at", "After the last answer.", api=None),
        _text("error", "Why it failed, without credentials.", api=None),
        *_provenance(),
    ],
    sa.CheckConstraint("result IN ('published', 'failed')", name="result"),
    sa.Index(None, "table_name", "account_number", "read_started_at"),
    # whether anything else was ever read into these tables is asked by every sync, of a log that only grows
    sa.Index(None, "environment", "connection", postgresql_where=sa.text("result = 'published'")),
    sa.Index(None, "environment", "account_number", postgresql_where=sa.text("result = 'published'")),
)

# where an application sets the current user, '' stands for every user and 'nobody' for none
_AN_OWNER = "owner NOT IN ('', 'nobody')"

connections = _table(
    "connections",
    "The TastyTrade logins. `default` is the environment's own; of the others the credentials are stored sealed.",
    ("connection_id",),
    [
        _text("connection_id", "Its name: `default`, or what its maker chose.", api=None, required=True),
        _text("owner", "The application's user that it belongs to, as text; null is the operator's.", api=None),
        _text("label", "A name for people.", api=None, required=True),
        _flag("sandbox", "Whether it is a login of the sandbox.", api=None, required=True),
        _text(
            "sealed_credentials",
            "Refresh token, and client secret if it has its own, sealed for the pipeline; null for `default` and after "
            "a disconnection.",
            api=None,
        ),
        _instant("connected_at", "When the credentials were last stored.", api=None, required=True),
        _instant("disconnected_at", "When its owner or the operator ended it.", api=None),
        _text("state", "active or needs reauthorisation; null until credentials are first tried.", api=None),
        _text("state_reason", "Why it needs reauthorisation, without credentials.", api=None),
        _instant("state_changed_at", "Since when it is in this state.", api=None),
        _text("refused_login", "Keyed digest of the login that was refused and is not tried again.", api=None),
    ],
    sa.CheckConstraint("state IN ('active', 'needs reauthorisation')", name="state"),
    sa.CheckConstraint(_AN_OWNER, name="owner"),
    sa.Index(None, "owner"),
)

connection_accounts = _table(
    "connection_accounts",
    "Which login sees which account; two logins may see one account.",
    ("connection_id", "account_number"),
    [
        _text("connection_id", "The connection.", api=None, required=True),
        _text("account_number", "The account.", required=True),
        _text(
            "authority_level",
            "What the login may do, such as owner or read-only.",
            expected=True,
            vocabulary=vocabulary.AUTHORITY_LEVELS,
        ),
        _instant("removed_at", "Since when the login no longer lists it, or is disconnected.", api=None),
        *_provenance(),
    ],
    sa.Index(None, "account_number"),
)

access_tokens = _table(
    "access_tokens",
    "Access tokens between two runs, each sealed with its own connection's credentials.",
    ("connection_id",),
    [
        _text("connection_id", "The connection.", api=None, required=True),
        _text("sealed_token", "The token; only who holds the credentials can open it.", api=None, required=True),
        _instant("expires_at", "When it ends.", api=None, required=True),
    ],
)

sealing_keys = _table(
    "sealing_keys",
    "Public halves of the pipeline's key pairs: applications seal credentials with the one that is not retired.",
    ("key_id",),
    [
        _text("key_id", "Its name, which stands in everything that was sealed with it.", api=None, required=True),
        _text("public_key", "The public key of a libsodium sealed box, base64.", api=None, required=True),
        _instant("created_at", "When the pair was made.", api=None, required=True),
        _instant("retired_at", "Since when a newer one is used instead.", api=None),
    ],
)

sync_requests = _table(
    "sync_requests",
    "What applications ask for: a synchronisation of a user's accounts, and how far it has come.",
    ("request_id",),
    [
        _text("request_id", "Unique id, chosen by the application.", api=None, required=True),
        _text("owner", "The user whose connections are to be synchronised.", api=None, required=True),
        _instant("requested_at", "When it was asked for.", api=None, required=True),
        _text("state", "queued, running, done or failed.", api=None, required=True),
        _text("run_id", "The Dagster run that works on it.", api=None),
        _instant("started_at", "When the run began.", api=None),
        _instant("ended_at", "When it was done or failed.", api=None),
        _json("progress", "By table: state (queued, running, done, failed), rows_read, rows_written.", api=None),
        _text("error", "Why it failed, without credentials.", api=None),
    ],
    sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed')", name="state"),
    sa.CheckConstraint(_AN_OWNER, name="owner"),
    # one at a time for each user: a double click finds the first one
    sa.Index(
        "sync_requests_open_idx", "owner", unique=True, postgresql_where=sa.text("state IN ('queued', 'running')")
    ),
    sa.Index(None, "owner", "requested_at"),
)

changes = _table(
    "changes",
    "The change feed: every row that a publication wrote, in the order of the commits, without a gap.",
    ("sequence",),
    [
        _whole("sequence", "1, 2, 3 ...: whoever has seen n has missed nothing before it.", api=None, required=True),
        _text("table_name", "The table.", api=None, required=True),
        _text("account_number", "The account of the row.", api=None, required=True),
        _json("row_key", "The row's key, by column.", api=None, required=True),
        _text("kind", "insert, update or remove.", api=None, required=True),
        _instant("changed_at", "When it was published.", api=None, required=True),
        _text("run_id", "The run that published it.", api=None, required=True),
    ],
    sa.CheckConstraint("kind IN ('insert', 'update', 'remove')", name="kind"),
    sa.Index(None, "account_number", "sequence"),
)

MIRRORED = {table.name: table for table in (accounts, positions, balances, balance_snapshots, transactions)}
# where each table that is kept by day holds its day
DAY = {"transactions": "transaction_date", "balance_snapshots": "snapshot_date"}


def key_of(table: sa.Table) -> tuple[str, ...]:
    """Return the names of a table's key columns, in order."""
    return tuple(column.name for column in table.primary_key.columns)


def content(table: sa.Table) -> tuple[str, ...]:
    """Return the names of the columns that a payload fills, in the table's order: not `removed_at`, not provenance."""
    return tuple(column.name for column in table.columns if column.name not in {"removed_at", "synced_at", "run_id"})


def compared(table: sa.Table) -> tuple[str, ...]:
    """Return the names of the columns whose difference makes a row changed: all but the key and the provenance."""
    left_out = {*key_of(table), "synced_at", "run_id"}
    return tuple(column.name for column in table.columns if column.name not in left_out)


def type_of(column: sa.Column[Any]) -> str:
    """Return a column's type as people write it in SQL, such as `numeric(38, 12)`."""
    return column.type.compile(PGDialect()).lower()  # type: ignore[no-untyped-call]  # has no annotations
