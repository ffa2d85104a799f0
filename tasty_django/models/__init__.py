"""The models: one for each view of the pipeline, read-only.

They are unmanaged: no migration of Django touches the tables. A composite key is one text in the column `id`.
"""

from tasty_django.models.accounts import Account, Connection, ConnectionAccount
from tasty_django.models.balances import AccountBalance, BalanceSnapshot
from tasty_django.models.positions import Position
from tasty_django.models.syncing import Change, ProvenDay, RejectedRow, SealingKey, SyncLog, SyncRequest
from tasty_django.models.transactions import RemovedTransaction, Transaction

__all__ = [
    "Account",
    "AccountBalance",
    "BalanceSnapshot",
    "Change",
    "Connection",
    "ConnectionAccount",
    "Position",
    "ProvenDay",
    "RejectedRow",
    "RemovedTransaction",
    "SealingKey",
    "SyncLog",
    "SyncRequest",
    "Transaction",
]
