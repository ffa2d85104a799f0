"""The values that the API's enumerations are known to take. An unknown one loads all the same and is reported.

Source: the broker's API documentation and the enumerations of its SDK (tastytrade 13.2).
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


INSTRUMENT_TYPES = _names(
    "Bond|Cryptocurrency|Currency Pair|Equity|Equity Offering|Equity Option|Event Contract|Fixed Income Security"
    "|Future|Future Option|Index|Liquidity Pool|Unknown|Warrant"
)
ACTIONS = _names("Allocate|Buy|Buy to Close|Buy to Open|Sell|Sell to Close|Sell to Open")
TRANSACTION_TYPES = _names("Administrative Transfer|Money Movement|Receive Deliver|Trade")
TRANSACTION_SUB_TYPES = _names(
    "ACAT|Assignment|Balance Adjustment|Buy|Buy to Close|Buy to Open|Cash Merger|Cash Settled Assignment"
    "|Cash Settled Exercise|Credit Interest|Debit Interest|Deposit|Dividend|Exercise|Expiration|Fee|Forward Split"
    "|Fully Paid Stock Lending Income|Futures Settlement|Mark to Market|Maturity|Reverse Split|Reverse Split Removal"
    "|Sell|Sell to Close|Sell to Open|Special Dividend|Stock Merger|Stock Merger Removal|Symbol Change|Transfer"
    "|Withdrawal"
)
MARGIN_OR_CASH = _names("Margin|Cash")
AUTHORITY_LEVELS = _names("owner|trade-only|read-only")
QUANTITY_DIRECTIONS = _names("Long|Short|Zero")
TIMES_OF_DAY = _names("BOD|EOD|Intraday")
