"""What the command line takes. Nothing here imports what the commands need: `--help` answers at once."""

import argparse
from datetime import date

from tasty_pipeline.core.errors import ConfigurationError


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of all commands but `simulate`, which has its own."""
    parser = argparse.ArgumentParser(prog="tasty-pipeline", description=description)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="sync a whole simulated brokerage and show what came of it")
    dev = commands.add_parser("dev", help="open the Dagster UI; on the simulator unless credentials are set")
    dev.add_argument("--host", default="127.0.0.1", help="address of the UI; it has no login, so keep it local")
    dev.add_argument("--port", type=int, default=3000, help="port of the UI")
    for command in (demo, dev):
        command.add_argument(
            "--from",
            dest="start",
            metavar="YYYY-MM-DD",
            help="first day of the simulated history (default 2023-01-03)",
        )
    _sync(commands.add_parser("sync", help="synchronise everything now; without options the last ten days of it"))
    commands.add_parser("doctor", help="check configuration, login, API, warehouse and schema; say what to do")
    keygen = commands.add_parser("keygen", help="make the key pair that applications seal credentials with")
    keygen.add_argument("--rotate", action="store_true", help="replace it, and seal everything that is stored anew")
    _connections(commands.add_parser("connections", help="store logins, show them, try them, end them"))
    commands.add_parser("simulate", help="run the simulated brokerage alone (see simulate --help)")
    return parser


def day_given(option: str, text: str) -> date:
    """Return the day that an option names; raises `ConfigurationError` for what is none."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"{option} {text!r} is not a date.", "write it as YYYY-MM-DD.") from None


def _sync(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads accounts, positions and balances as they are now, and of the history the last ten days, as the schedule "
        "does every night: totals are compared, and an account without history gets all of it. One run in "
        "DAGSTER_HOME, which the UI shows. Exits 1 if it fails, or a check does."
    )
    parser.add_argument("--from", dest="start", metavar="YYYY-MM-DD", help="first day of the history to read")
    parser.add_argument("--to", dest="end", metavar="YYYY-MM-DD", help="last day of it (default: today)")
    parser.add_argument("--all", action="store_true", help="the whole history, from TASTY_HISTORY_START on")
    parser.add_argument("--connection", action="append", default=[], metavar="NAME", help="this login only; repeatable")
    parser.add_argument(
        "--account", action="append", default=[], metavar="NUMBER", help="this account only; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="read and say what would change; write nothing")


def _connections(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    adding = actions.add_parser(
        "add",
        help="store a login, or new credentials of it",
        description="The refresh token, and with --own-secret the client secret, are asked for at a terminal; "
        "otherwise each is a line of the standard input. They are never arguments, which others can see.",
    )
    adding.add_argument("name", metavar="NAME", help="what the connection is called")
    adding.add_argument("--owner", required=True, metavar="USER", help="the application's user, such as a primary key")
    adding.add_argument("--label", default="", help="a name for people (default: NAME)")
    adding.add_argument("--sandbox", action="store_true", help="a login of the sandbox")
    adding.add_argument("--own-secret", action="store_true", help="its OAuth application is not the one of TT_SECRET")
    adding.add_argument("--no-check", action="store_true", help="do not log in to see whether it works")
    actions.add_parser("list", help="show all connections and what came of them")
    checking = actions.add_parser("check", help="log in once with each, also with one that was refused before")
    checking.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    removing = actions.add_parser("remove", help="end a connection and erase its credentials; synchronised rows stay")
    removing.add_argument("name", metavar="NAME", help="which")
