"""`tasty-pipeline`: demo, dev, doctor and simulate; each command is a module beside this one."""

import argparse
import sys
from collections.abc import Sequence

from tasty_pipeline.core.errors import TastyError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error of ours is one message, not a trace."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:  # has its own options and help
        from tasty_pipeline.simulator.__main__ import main as simulate  # noqa: PLC0415

        return simulate(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except TastyError as error:
        print(f"tasty-pipeline {options.command}: {error}", file=sys.stderr)  # noqa: T201 - a command line speaks
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tasty-pipeline", description=__doc__)
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
    commands.add_parser("doctor", help="check configuration, login, API, warehouse and schema; say what to do")
    commands.add_parser("simulate", help="run the simulated brokerage alone (see simulate --help)")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.command == "demo":
        from tasty_pipeline.cli.demo import demo  # noqa: PLC0415

        return demo(options.start)
    if options.command == "dev":
        from tasty_pipeline.cli.dev import dev  # noqa: PLC0415

        return dev(options.host, options.port, options.start)
    from tasty_pipeline.cli.doctor import doctor  # noqa: PLC0415

    return doctor()
