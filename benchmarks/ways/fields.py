"""The fields of a transaction as the API's documentation names them, and their kinds: what the peers make columns of.

Nothing of the pipeline is imported; the effects stay beside their amounts, as the API sends them.
"""

AMOUNTS = (
    "value",
    "net-value",
    "regulatory-fees",
    "clearing-fees",
    "commission",
    "proprietary-index-option-fees",
    "currency-conversion-fees",
    "other-charge",
)
TEXTS = (
    "account-number",
    "symbol",
    "instrument-type",
    "underlying-symbol",
    "transaction-type",
    "transaction-sub-type",
    "description",
    "action",
    "ext-exchange-order-number",
    "ext-group-id",
    "ext-group-fill-id",
    "ext-exec-id",
    "exec-id",
    "exchange",
    "exchange-affiliation-identifier",
    "destination-venue",
    "currency",
)
KINDS: dict[str, str] = {
    "id": "bigint",
    **dict.fromkeys(TEXTS, "text"),
    **dict.fromkeys(("executed-at", "created-at"), "timestamp"),
    "transaction-date": "date",
    **dict.fromkeys(("quantity", "price", *AMOUNTS), "decimal"),
    **{f"{name}-effect": "text" for name in AMOUNTS},
    "is-estimated-fee": "bool",
    **dict.fromkeys(("ext-global-order-number", "order-id", "leg-count", "reverses-id"), "bigint"),
}
PRECISION, SCALE = 28, 10


def column(name: str) -> str:
    """The column of a field."""
    return name.replace("-", "_")
