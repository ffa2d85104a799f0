"""Who sees what: accounts, the TastyTrade logins (connections), and which login sees which account."""

from typing import TYPE_CHECKING

from tasty_django import conf, vocabulary
from tasty_django.models.base import Mirrored, OfAccount, Provenance, ReadOnlyModel
from tasty_django.models.fields import account_key, connection_key, day, flag, instant, json_value, key, text
from tasty_django.querysets import Accounts, ConnectionAccounts, ConnectionRows

if TYPE_CHECKING:
    from tasty_django.models.balances import AccountBalance, BalanceSnapshot
    from tasty_django.models.positions import Position
    from tasty_django.models.transactions import RemovedTransaction, Transaction
    from tasty_django.querysets import AccountRows, Positions, Snapshots, Transactions


class Account(Mirrored):
    """An account that some login sees, closed ones too."""

    account_number = key("The broker's account number.")
    account_type = text("Kind of account, such as Individual or Roth IRA.", null=True)
    nickname = text("The owner's name for the account.", null=True)
    margin_or_cash = text("Margin or Cash.", null=True, choices=vocabulary.MARGIN_OR_CASH)
    is_closed = flag("Whether the account is closed.", null=True)
    opened_at = instant("When the account was opened.", null=True)
    closed_at = instant("When the account was closed.", null=True)
    created_at = instant("When the broker created its record.", null=True)
    day_trader_status = text("The broker's day-trader flag, as text.", null=True)
    investment_objective = text("Stated investment objective.", null=True)
    investment_time_horizon = text("Stated investment horizon.", null=True)
    liquidity_needs = text("Stated liquidity needs.", null=True)
    risk_tolerance = text("Stated risk tolerance.", null=True)
    suitable_options_level = text("Option level that the broker allows.", null=True)
    futures_account_purpose = text("Stated purpose of futures trading.", null=True)
    funding_date = day("First day on which the account held money.", null=True)
    is_firm_error = flag("The broker's own error account.", null=True)
    is_firm_proprietary = flag("The broker's own proprietary account.", null=True)
    is_foreign = flag("Whether the owner is foreign.", null=True)
    is_futures_approved = flag("Whether futures may be traded.", null=True)
    is_test_drive = flag("Whether it is a trial account.", null=True)
    regulatory_domain = text("Regulatory domain of the account.", null=True)
    submitting_user_id = text("The user who applied for the account.", null=True)
    ext_account_id = text("The account's number in another of the broker's systems.", null=True)
    ext_crm_id = text("The account's number in the broker's customer system.", null=True)
    external_accounts = json_value("Linked accounts elsewhere, as the API sends them.", null=True)
    external_fdid = text("Firm-designated identifier for audit-trail reports.", null=True)
    external_id = text("The account's external identifier.", null=True)
    removed_at = instant("Since when no connection lists the account any more.", null=True)

    objects: "Accounts[Account]" = Accounts.as_manager()
    if TYPE_CHECKING:
        positions: "Positions[Position]"
        balances: "AccountRows[AccountBalance]"
        balance_snapshots: "Snapshots[BalanceSnapshot]"
        transactions: "Transactions[Transaction]"
        removed_transactions: "Transactions[RemovedTransaction]"
        seen_by: "ConnectionAccounts[ConnectionAccount]"

    class Meta(Mirrored.Meta):
        """Its view."""

        db_table = conf.view("accounts")
        get_latest_by = ("opened_at", "account_number")

    def __str__(self) -> str:
        return f"{self.nickname} ({self.account_number})" if self.nickname else self.account_number


class Connection(ReadOnlyModel):
    """A TastyTrade login. What it logs in with is sealed and cannot be read here."""

    connection_id = key("Its name: `default`, or what its maker chose.")
    owner = text("The application's user that it belongs to, as text; null is the operator's.", null=True)
    label = text("A name for people.")
    sandbox = flag("Whether it is a login of the sandbox.")
    connected_at = instant("When the credentials were last stored.")
    disconnected_at = instant("When its owner or the operator ended it.", null=True)
    state = text(
        "new (never tried with these credentials), active, needs reauthorisation or disconnected.",
        choices=vocabulary.CONNECTION_STATES,
    )
    state_reason = text("Why it needs reauthorisation, without credentials.", null=True)
    state_changed_at = instant("Since when it is in this state.", null=True)

    objects: "ConnectionRows[Connection]" = ConnectionRows.as_manager()
    if TYPE_CHECKING:
        accounts: "ConnectionAccounts[ConnectionAccount]"

    class Meta(ReadOnlyModel.Meta):
        """Its view."""

        db_table = conf.view("connections")
        get_latest_by = ("connected_at", "connection_id")

    def __str__(self) -> str:
        return self.label

    @property
    def is_live(self) -> bool:
        """Whether nobody has disconnected it."""
        return self.disconnected_at is None

    @property
    def needs_reauthorisation(self) -> bool:
        """Whether the broker refused its credentials: it is not tried again before they change."""
        return self.state == "needs reauthorisation"


class ConnectionAccount(OfAccount, Provenance):
    """An account that a connection sees, and what it may do there."""

    id = key("The key of the row as one text: its parts, joined by |.")
    connection = connection_key("accounts", "The connection.")
    account = account_key("seen_by", "The account.")
    authority_level = text(
        "What the login may do, such as owner or read-only.", null=True, choices=vocabulary.AUTHORITY_LEVELS
    )
    removed_at = instant("Since when the login no longer lists it, or is disconnected.", null=True)

    objects: "ConnectionAccounts[ConnectionAccount]" = ConnectionAccounts.as_manager()
    if TYPE_CHECKING:
        connection_id: str

    class Meta(Provenance.Meta):
        """Its view."""

        db_table = conf.view("connection_accounts")
        get_latest_by = ("synced_at", "id")

    def __str__(self) -> str:
        return f"{self.account_id} through {self.connection_id}"
