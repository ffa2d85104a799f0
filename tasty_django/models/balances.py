"""Balances: the newest of each account and currency, and those of the beginning and the end of each day."""

from tasty_django import conf, vocabulary
from tasty_django.models.base import Mirrored, OfAccount
from tasty_django.models.fields import account_key, amount, day, instant, key, text
from tasty_django.querysets import AccountRows, Snapshots


class _Amounts(Mirrored):
    """What both kinds of balances hold."""

    cash_balance = amount("Cash.", null=True)
    net_liquidating_value = amount("Cash plus the market value of everything held.", null=True)
    long_equity_value = amount("Market value of long shares.", null=True)
    short_equity_value = amount("Market value of short shares.", null=True)
    long_derivative_value = amount("Market value of long equity options.", null=True)
    short_derivative_value = amount("Market value of short equity options.", null=True)
    long_futures_value = amount("Market value of long futures.", null=True)
    short_futures_value = amount("Market value of short futures.", null=True)
    long_futures_derivative_value = amount("Market value of long future options.", null=True)
    short_futures_derivative_value = amount("Market value of short future options.", null=True)
    long_index_derivative_value = amount("Market value of long index options.", null=True)
    short_index_derivative_value = amount("Market value of short index options.", null=True)
    long_margineable_value = amount("Long value that counts for margin.", null=True)
    short_margineable_value = amount("Short value that counts for margin.", null=True)
    long_cryptocurrency_value = amount("Market value of cryptocurrency held.", null=True)
    short_cryptocurrency_value = amount("Market value of cryptocurrency owed.", null=True)
    long_bond_value = amount("Market value of bonds.", null=True)
    long_fixed_income_security_value = amount("Market value of fixed-income securities.", null=True)
    margin_equity = amount("Equity that counts for margin.", null=True)
    equity_buying_power = amount("Buying power for shares.", null=True)
    derivative_buying_power = amount("Buying power for options.", null=True)
    used_derivative_buying_power = amount("Option buying power in use.", null=True)
    day_trading_buying_power = amount("Buying power within the day.", null=True)
    sma_equity_option_buying_power = amount("Option buying power from the special memorandum account.", null=True)
    effective_cryptocurrency_buying_power = amount("Buying power for cryptocurrency.", null=True)
    available_trading_funds = amount("Funds free for trading.", null=True)
    futures_margin_requirement = amount("Margin required for futures.", null=True)
    futures_overnight_margin_requirement = amount("Overnight margin required for futures.", null=True)
    futures_intraday_margin_requirement = amount("Intraday margin required for futures.", null=True)
    maintenance_requirement = amount("Maintenance margin required.", null=True)
    maintenance_excess = amount("Equity above the maintenance margin.", null=True)
    maintenance_call_value = amount("Open maintenance call.", null=True)
    reg_t_margin_requirement = amount("Regulation T margin required.", null=True)
    reg_t_call_value = amount("Open Regulation T call.", null=True)
    day_trading_call_value = amount("Open day-trading call.", null=True)
    day_equity_call_value = amount("Open day-equity call.", null=True)
    day_trade_excess = amount("Excess for day trading.", null=True)
    cryptocurrency_margin_requirement = amount("Margin required for cryptocurrency.", null=True)
    equity_offering_margin_requirement = amount("Margin required for equity offerings.", null=True)
    bond_margin_requirement = amount("Margin required for bonds.", null=True)
    fixed_income_security_margin_requirement = amount("Margin required for fixed-income securities.", null=True)
    cash_available_to_withdraw = amount("Cash that may leave the account.", null=True)
    cash_settle_balance = amount("Settled cash in the cash account.", null=True)
    margin_settle_balance = amount("Settled cash in the margin account.", null=True)
    total_settle_balance = amount("Settled cash in all.", null=True)
    closed_loop_available_balance = amount("Cash that may only return where it came from.", null=True)
    pending_margin_interest = amount("Margin interest not yet charged.", null=True)
    apex_starting_day_margin_equity = amount("Margin equity at the start of the clearing firm's day.", null=True)
    special_memorandum_account_value = amount("Special memorandum account.", null=True)
    special_memorandum_account_apex_adjustment = amount("The clearing firm's adjustment of it.", null=True)
    total_pending_liquidity_pool_rebate = amount("Rebates not yet paid.", null=True)
    pending_cash = amount("Signed cash not yet posted.", null=True)
    buying_power_adjustment = amount("Signed correction of the buying power.", null=True)
    unsettled_cryptocurrency_fiat_amount = amount("Signed unsettled cash of cryptocurrency trades.", null=True)
    intraday_equities_cash_amount = amount("Signed cash moved by today's share trades.", null=True)
    intraday_equities_cash_effective_date = day("The day of intraday_equities_cash_amount.", null=True)
    intraday_futures_cash_amount = amount("Signed cash moved by today's futures trades.", null=True)
    intraday_futures_cash_effective_date = day("The day of intraday_futures_cash_amount.", null=True)
    previous_day_cryptocurrency_fiat_amount = amount(
        "Signed cash of the previous day's cryptocurrency trades.", null=True
    )
    previous_date_cryptocurrency_fiat_effective_date = day(
        "The day of previous_day_cryptocurrency_fiat_amount.", null=True
    )
    updated_at = instant("When the broker last changed it.", null=True)

    class Meta(Mirrored.Meta):
        """Takes the settings over."""

        abstract = True


class AccountBalance(OfAccount, _Amounts):
    """The newest balance of an account and currency."""

    id = key("The key of the row as one text: its parts, joined by |.")
    account = account_key("balances", "The account.")
    currency = text("Currency of every amount in the row.")
    snapshot_date = day("Trade date that the broker gives the balance.", null=True)
    time_of_day = text("BOD, EOD or Intraday, where the broker says so.", null=True)

    objects: "AccountRows[AccountBalance]" = AccountRows.as_manager()

    class Meta(_Amounts.Meta):
        """Its view."""

        db_table = conf.view("balances")
        get_latest_by = ("synced_at", "id")

    def __str__(self) -> str:
        return f"{self.account_id} in {self.currency}"


class BalanceSnapshot(OfAccount, _Amounts):
    """A balance at the beginning (BOD) or the end (EOD) of a trading day."""

    id = key("The key of the row as one text: its parts, joined by |.")
    account = account_key("balance_snapshots", "The account.")
    currency = text("Currency of every amount in the row.")
    snapshot_date = day("Trade date of the snapshot.")
    time_of_day = text("BOD or EOD.", choices=vocabulary.TIMES_OF_DAY)
    removed_at = instant("Since when two agreeing complete answers no longer hold the row.", null=True)

    objects: "Snapshots[BalanceSnapshot]" = Snapshots.as_manager()

    class Meta(_Amounts.Meta):
        """Its view."""

        db_table = conf.view("balance_snapshots")
        # EOD comes after BOD in the alphabet too
        get_latest_by = ("snapshot_date", "time_of_day", "id")

    def __str__(self) -> str:
        return f"{self.account_id} in {self.currency} on {self.snapshot_date} ({self.time_of_day})"
