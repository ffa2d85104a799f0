"""`tasty-pipeline keygen`: the key pair that applications seal credentials with."""

from rich.console import Console
from rich.markup import escape

from tasty_pipeline.core import connections
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.settings import read_settings
from tasty_pipeline.core.warehouse import open_warehouse


def keygen(*, rotate: bool) -> int:
    """Make the key pair, or replace it; return 1 where stored credentials could not be sealed anew."""
    settings = read_settings()
    warehouse = open_warehouse(settings.warehouse_url)
    warehouse.migrate()
    console, path = Console(), settings.sealing_keys
    unopened: tuple[str, ...] = ()
    if rotate:
        done = connections.rotate_key(warehouse, path)
        key_id, unopened = done.key_id, done.unopened
        _say(console, f"{done.resealed} stored connections were sealed anew; the key before is retired.")
        _say(console, f"Its private half stays in {path} until the next rotation.")
    else:
        key_id = connections.make_key(warehouse, path)
    _say(console, f"Credentials are now sealed for the key {key_id}; its public half is in the {warehouse.label}.")
    _say(console, f"The private half is in {path.absolute()}. Give it to the pipeline alone, keep a backup in another")
    _say(console, "place than the database's, and use one such file for one database: without it everybody has to")
    _say(console, "connect again.")
    if unopened:
        raise ConfigurationError(
            f"These connections could not be opened and were left as they are: {', '.join(unopened)}.",
            "have their owners connect them again, or restore the key file that opens them and rotate once more.",
        )
    return 0


def _say(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True, highlight=False)
