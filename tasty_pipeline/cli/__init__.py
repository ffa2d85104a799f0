"""`tasty-pipeline`: demo, dev, sync, doctor, keygen, connections and simulate; each is a module beside this one."""

import argparse
import sys
from collections.abc import Sequence

from tasty_pipeline.cli.parser import build_parser
from tasty_pipeline.core.errors import TastyError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error of ours is one message, not a trace."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:  # has its own options and help
        from tasty_pipeline.simulator.__main__ import main as simulate  # noqa: PLC0415

        return simulate(arguments[1:])
    options = build_parser(__doc__).parse_args(arguments)
    try:
        return _run(options)
    except TastyError as error:
        print(f"tasty-pipeline {options.command}: {error}", file=sys.stderr)  # noqa: T201 - a command line speaks
        return 1
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    if options.command == "demo":
        from tasty_pipeline.cli.demo import demo  # noqa: PLC0415

        return demo(options.start)
    if options.command == "dev":
        from tasty_pipeline.cli.dev import dev  # noqa: PLC0415

        return dev(options.host, options.port, options.start)
    if options.command == "sync":
        from tasty_pipeline.cli.sync import sync  # noqa: PLC0415

        return sync(options)
    if options.command == "keygen":
        from tasty_pipeline.cli.keygen import keygen  # noqa: PLC0415

        return keygen(rotate=options.rotate)
    if options.command == "connections":
        from tasty_pipeline.cli.connecting import manage  # noqa: PLC0415

        return manage(options)
    from tasty_pipeline.cli.doctor import doctor  # noqa: PLC0415

    return doctor()
