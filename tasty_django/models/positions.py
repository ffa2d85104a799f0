"""Open positions."""

from tasty_django import conf, vocabulary
from tasty_django.models.base import Mirrored, OfAccount
from tasty_django.models.fields import account_key, amount, day, flag, instant, key, text, whole
from tasty_django.querysets import Positions


class Position(OfAccount, Mirrored):
    """An open position now."""

    id = key("The key of the row as one text: its parts, joined by |.")
    account = account_key("positions", "The account that holds the position.")
    symbol = text("The broker's symbol, inner spaces included.")
    instrument_type = text("Kind of instrument.", choices=vocabulary.INSTRUMENT_TYPES)
    quantity_direction = text("Long or Short.", choices=vocabulary.QUANTITY_DIRECTIONS)
    underlying_symbol = text("Symbol of the underlying.", null=True)
    streamer_symbol = text("Symbol of the quote stream.", null=True)
    quantity = amount("Signed quantity: positive long, negative short.")
    average_open_price = amount("Average price at which it was opened.", null=True)
    close_price = amount("Previous session's closing price.", null=True)
    multiplier = amount("Units of the underlying in one contract or share.", null=True)
    cost_effect = text("Effect of closing: Credit for long, Debit for short.", null=True)
    mark = amount("Value at the current mark, when asked for.", null=True)
    mark_price = amount("Current mark price, when asked for.", null=True)
    average_yearly_market_close_price = amount("Average closing price used for the year's gain.", null=True)
    average_daily_market_close_price = amount("Average closing price used for the day's gain.", null=True)
    restricted_quantity = amount("Quantity that may not be traded.", null=True)
    realized_day_gain = amount("Signed gain realised on realized_day_gain_date.", null=True)
    realized_day_gain_date = day("The day that realized_day_gain belongs to.", null=True)
    realized_today = amount("Signed gain realised on realized_today_date.", null=True)
    realized_today_date = day("The day that realized_today belongs to.", null=True)
    is_frozen = flag("Whether trading it is frozen.", null=True)
    is_suppressed = flag("Whether the broker hides it.", null=True)
    expires_at = instant("When the contract expires.", null=True)
    deliverable_type = text("What an option delivers.", null=True)
    fixing_price = amount("Fixing price of a settled contract.", null=True)
    face_value = amount("Face value of a bond.", null=True)
    par_size = amount("Par size of a bond.", null=True)
    order_id = whole("The order that last changed it.", null=True)
    update_type = text("The broker's kind of last update.", null=True)
    created_at = instant("When the position was opened.", null=True)
    updated_at = instant("When the broker last changed it.", null=True)

    objects: "Positions[Position]" = Positions.as_manager()

    class Meta(Mirrored.Meta):
        """Its view."""

        db_table = conf.view("positions")
        get_latest_by = ("updated_at", "id")

    def __str__(self) -> str:
        return f"{self.quantity.normalize():f} {self.symbol}"
