"""`tasty-pipeline connections`: store logins, show them, try them, end them. No credential is an argument or shown."""

import argparse
import getpass
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from tasty_pipeline.cli.listing import listing
from tasty_pipeline.cli.report import Report, plain
from tasty_pipeline.cli.trying import try_login
from tasty_pipeline.core import connections
from tasty_pipeline.core.broker import Credentials
from tasty_pipeline.core.connections import Connection
from tasty_pipeline.core.errors import ConfigurationError, TastyError, WarehouseError
from tasty_pipeline.core.sealing import Secrets
from tasty_pipeline.core.settings import Settings, read_settings
from tasty_pipeline.core.warehouse import Warehouse, open_warehouse

PATIENCE_SECONDS = 15.0


def manage(options: argparse.Namespace) -> int:
    """Run one of the four; return the exit status."""
    settings, report = read_settings(), Report(Console())
    warehouse = open_warehouse(settings.warehouse_url)
    if options.action == "add":
        return _add(report, warehouse, settings, options)
    if options.action == "check":
        return _check(report, warehouse, settings, options.names)
    if options.action == "remove":
        return _remove(report, warehouse, settings, options.name)
    report.console.print(listing(warehouse, settings))
    return 0


def _add(report: Report, warehouse: Warehouse, settings: Settings, options: argparse.Namespace) -> int:
    warehouse.migrate()
    secrets = _ask(own_secret=options.own_secret)
    added = connections.add(
        warehouse, options.name, secrets, owner=options.owner, label=options.label, sandbox=options.sandbox
    )
    report.good(f"{added.connection_id} of owner {options.owner} is stored, sealed for the pipeline")
    if not options.no_check:
        _try(report, warehouse, settings, added)
    return 1 if report.failures else 0


def _ask(*, own_secret: bool) -> Secrets:
    """Read the credentials, each a line; a person at a terminal is asked for them and sees nothing of what is typed."""
    prompts = ["Refresh token: ", "Client secret: "] if own_secret else ["Refresh token: "]
    if sys.stdin.isatty():
        given = [getpass.getpass(prompt).strip() for prompt in prompts]
    else:
        given = [sys.stdin.readline().strip() for _ in prompts]
    try:
        # without a secret of its own only the token is to be looked at
        Credentials(given[1] if own_secret else "none", given[0])
    except ConfigurationError as error:
        raise ConfigurationError(
            error.what,
            "give the refresh token, with --own-secret then the client secret, at the prompt or as lines of the "
            "standard input, without quotation marks.",
        ) from None
    return Secrets(given[0], given[1] if own_secret else None)


def _check(report: Report, warehouse: Warehouse, settings: Settings, names: Sequence[str]) -> int:
    if names:
        chosen = [connections.find_connection(warehouse, settings, name) for name in dict.fromkeys(names)]
    else:
        chosen = connections.live_connections(warehouse, settings)
    if not chosen:
        settings.credentials()  # says what to set
    for connection in chosen:
        _try(report, warehouse, settings, connection)
    return 1 if report.failures else 0


def _try(report: Report, warehouse: Warehouse, settings: Settings, connection: Connection) -> None:
    name = connection.connection_id
    limits = {"timeout_seconds": PATIENCE_SECONDS, "retry_budget_seconds": PATIENCE_SECONDS}
    try:
        seen = try_login(connections.login_of(connection, settings, **limits), warehouse)
    except WarehouseError:
        raise
    except TastyError as error:
        report.bad(TastyError(f"{name}: {error.what}", error.remedy))
    else:
        report.good(f"{name}: {seen}")


def _remove(report: Report, warehouse: Warehouse, settings: Settings, name: str) -> int:
    if name == connections.DEFAULT and settings.has_credentials:
        raise ConfigurationError(
            "The connection default is the environment's own.",
            "leave TT_REFRESH out of the pipeline's environment; then remove it here to let go of its accounts.",
        )
    if not warehouse.is_current():
        raise ConfigurationError(
            f"There is no connection {name!r}, nor any table yet.", "check TASTY_WAREHOUSE_URL with `make doctor`."
        )
    told = (
        f"Ending {plain(name)}: its credentials and access token are erased; what was synchronised stays, and accounts "
        "that no other connection lists are marked removed."
    )
    report.console.print(escape(told), soft_wrap=True, highlight=False)
    gone = connections.disconnect(warehouse, name)
    report.good(f"{name} is disconnected; no longer listed by any connection: {', '.join(gone) or 'none'}")
    return 0
