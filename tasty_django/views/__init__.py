"""The pages: portfolio, transactions, connections, and the synchronisation that a user asks for.

A view reads what a form or address says, asks the models, and hands plain values to a template. Arithmetic, drawings
and queries with a trick in them live in modules of their own beside this package.
"""

from tasty_django.views.connections import connect, connections, disconnect, reconnect
from tasty_django.views.portfolio import portfolio
from tasty_django.views.sync import sync, sync_status
from tasty_django.views.transactions import transactions, transactions_csv

__all__ = [
    "connect",
    "connections",
    "disconnect",
    "portfolio",
    "reconnect",
    "sync",
    "sync_status",
    "transactions",
    "transactions_csv",
]
