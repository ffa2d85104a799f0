"""The values that enumerations are known to take, as Django's choices. Others load too, and show as they are."""


def _choices(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in text.split("|"))


INSTRUMENT_TYPES = _choices(
    "Bond|Cryptocurrency|Currency Pair|Equity|Equity Offering|Equity Option|Event Contract|Fixed Income Security"
    "|Future|Future Option|Index|Liquidity Pool|Unknown|Warrant"
)
ACTIONS = _choices("Allocate|Buy|Buy to Close|Buy to Open|Sell|Sell to Close|Sell to Open")
TRANSACTION_TYPES = _choices("Administrative Transfer|Money Movement|Receive Deliver|Trade")
TRANSACTION_SUB_TYPES = _choices(
    "ACAT|Assignment|Balance Adjustment|Buy|Buy to Close|Buy to Open|Cash Merger|Cash Settled Assignment"
    "|Cash Settled Exercise|Credit Interest|Debit Interest|Deposit|Dividend|Exercise|Expiration|Fee|Forward Split"
    "|Fully Paid Stock Lending Income|Futures Settlement|Mark to Market|Maturity|Reverse Split|Reverse Split Removal"
    "|Sell|Sell to Close|Sell to Open|Special Dividend|Stock Merger|Stock Merger Removal|Symbol Change|Transfer"
    "|Withdrawal"
)
MARGIN_OR_CASH = _choices("Cash|Margin")
AUTHORITY_LEVELS = _choices("owner|read-only|trade-only")
QUANTITY_DIRECTIONS = _choices("Long|Short|Zero")
TIMES_OF_DAY = _choices("BOD|EOD|Intraday")

# what the pipeline itself writes
MIRRORED = _choices("accounts|positions|balances|balance_snapshots|transactions")
SYNC_RESULTS = _choices("published|failed")
CHANGE_KINDS = _choices("insert|update|remove")
REQUEST_STATES = _choices("queued|running|done|failed")
CONNECTION_STATES = _choices("new|active|needs reauthorisation|disconnected")
