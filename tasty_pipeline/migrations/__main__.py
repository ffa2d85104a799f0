"""`python -m tasty_pipeline.migrations new "what it does"`: an empty next revision, for developers.

Nothing else belongs here: users' tables are migrated by the pipeline itself, on first use.
"""

import argparse

from tasty_pipeline import migrations


def main() -> None:
    """Write the next revision's file and print its path."""
    parser = argparse.ArgumentParser(prog="python -m tasty_pipeline.migrations")
    new = parser.add_subparsers(required=True).add_parser("new", help="write an empty next revision")
    new.add_argument("message", help="what it does, in a few words")
    message = parser.parse_args().message
    number = f"{int(migrations.head()) + 1:04}"
    script = migrations.scripts().generate_revision(number, message)
    if script is not None:
        print(script.path)  # noqa: T201 - the answer of a command


if __name__ == "__main__":
    main()
