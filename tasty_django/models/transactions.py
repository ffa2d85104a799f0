"""Transactions: those that the broker lists, and those that it no longer lists."""

from tasty_django import conf, vocabulary
from tasty_django.models.base import Mirrored, OfAccount
from tasty_django.models.fields import account_key, amount, day, flag, instant, json_value, text, whole
from tasty_django.querysets import Transactions


class _Columns(Mirrored):
    """What both have."""

    transaction_id = whole(
        "The broker's id: the only key. Equal rows with other ids are other fills.", primary_key=True
    )
    transaction_type = text("Such as Trade or Money Movement.", choices=vocabulary.TRANSACTION_TYPES)
    transaction_sub_type = text("Such as Buy to Open or Dividend.", choices=vocabulary.TRANSACTION_SUB_TYPES)
    description = text("The broker's words.", null=True)
    executed_at = instant("When it happened; for all but trades a nominal time of the day.")
    transaction_date = day("Trade date: the broker's accounting day, the partition of the row.")
    symbol = text("The broker's symbol, inner spaces included.", null=True)
    instrument_type = text("Kind of instrument.", null=True, choices=vocabulary.INSTRUMENT_TYPES)
    underlying_symbol = text("Symbol of the underlying.", null=True)
    action = text("The order's action, where there is one.", null=True, choices=vocabulary.ACTIONS)
    quantity = amount("Signed by the action: bought positive, sold negative; null where there is no action.", null=True)
    quantity_unsigned = amount("Quantity as the API sends it, without a sign.", null=True)
    price = amount("Price of one unit.", null=True)
    value = amount("Signed value: positive into the account. 0 for futures trades.")
    net_value = amount("Signed value with all fees; cash changes by it.")
    commission = amount("Signed commission.", null=True)
    clearing_fees = amount("Signed clearing fees.", null=True)
    regulatory_fees = amount("Signed regulatory fees.", null=True)
    proprietary_index_option_fees = amount("Signed fees for proprietary index options.", null=True)
    currency_conversion_fees = amount("Signed fees for converting currencies.", null=True)
    other_charge = amount("Signed other charge.", null=True)
    other_charge_description = text("What other_charge is for.", null=True)
    is_estimated_fee = flag("Whether the fees may still be corrected.", null=True)
    currency = text("Currency of the amounts.", null=True)
    created_at = instant("When the broker wrote the row, often a day or more after executed_at.", null=True)
    order_id = whole("The order that was filled.", null=True)
    leg_count = whole("Legs of that order.", null=True)
    exec_id = text("Identifier of the execution.", null=True)
    exchange = text("Exchange of the execution.", null=True)
    exchange_affiliation_identifier = text("The exchange's own identifier.", null=True)
    destination_venue = text("Where the order was routed.", null=True)
    ext_exchange_order_number = text("The exchange's order number.", null=True)
    ext_global_order_number = whole("The clearing firm's order number.", null=True)
    ext_group_id = text("Groups the fills of one order.", null=True)
    ext_group_fill_id = text("Identifies a fill in its group.", null=True)
    ext_exec_id = text("The exchange's identifier of the execution.", null=True)
    reverses_id = whole("The transaction that this one reverses.", null=True)
    cost_basis_reconciliation_date = day("Day of a cost-basis correction.", null=True)
    agency_price = amount("Price of an agency trade.", null=True)
    principal_price = amount("Price of a principal trade.", null=True)
    lots = json_value("Lots that were opened or closed, as the API sends them.", null=True)
    removed_at = instant("Since when two agreeing complete answers no longer hold the row.", null=True)

    class Meta(Mirrored.Meta):
        """Takes the settings over."""

        abstract = True
        get_latest_by = ("executed_at", "transaction_id")

    def __str__(self) -> str:
        return f"{self.transaction_id}: {self.description or self.transaction_sub_type}"


class Transaction(OfAccount, _Columns):
    """A transaction of the history."""

    account = account_key("transactions", "The account.")

    objects: "Transactions[Transaction]" = Transactions.as_manager()

    class Meta(_Columns.Meta):
        """Its view."""

        db_table = conf.view("transactions")


class RemovedTransaction(OfAccount, _Columns):
    """A transaction that the broker no longer lists: `removed_at` says since when."""

    account = account_key("removed_transactions", "The account.")

    objects: "Transactions[RemovedTransaction]" = Transactions.as_manager()

    class Meta(_Columns.Meta):
        """Its view."""

        db_table = conf.view("removed_transactions")
