"""The key pair that credentials are sealed with: made once, rotated, and compared with what the database says.

The private half is in the key file alone, the public half in `tasty.sealing_keys`. Whatever step dies, the file holds
every key that a stored seal needs: a new file with the new key *and* all old ones comes first, then one transaction
re-seals everything, and only then keys that nothing needs are dropped from the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from tasty_pipeline.core import schema
from tasty_pipeline.core.connections.states import CONNECTIONS_LOCK
from tasty_pipeline.core.errors import ConfigurationError
from tasty_pipeline.core.sealing import KeyPair, key_id_of, keys_if_any, new_pair, seal, unseal, write_keys
from tasty_pipeline.core.warehouse import Reader, Warehouse, Writer


@dataclass(frozen=True)
class KeyState:
    """Keys by name: the one that seals now, those in the file, and those that stored seals need."""

    current: str | None
    held: tuple[str, ...]
    needed: frozenset[str]

    @property
    def missing(self) -> frozenset[str]:
        """The keys that the file lacks."""
        return (self.needed | ({self.current} if self.current else set())) - set(self.held)


@dataclass(frozen=True)
class Rotation:
    """What a rotation did: the new key, how many connections were re-sealed, and which could not be."""

    key_id: str
    resealed: int
    unopened: tuple[str, ...]


def key_state(reader: Reader, path: Path) -> KeyState:
    """Compare the key file with the tables. Raises `ConfigurationError` for a file that is there and unusable."""
    held = keys_if_any(path)
    needed = {key_id_of(sealed) for _, sealed in _seals(reader)} - {None}
    return KeyState(_current(reader), tuple(pair.key_id for pair in held), frozenset(filter(None, needed)))


def make_key(warehouse: Warehouse, path: Path) -> str:
    """Make the first key pair and return its name. The tables must be there.

    A key file whose public half this database does not know yet is published as it is: another database's, or what a
    `keygen` left that died half-way. Raises `ConfigurationError` where the database has a key already.
    """
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        current, held = _current(writer), keys_if_any(path)
        if current is not None:
            _refuse_second(current, held, path)
        if not held:
            held = (new_pair(),)
            write_keys(path, held)
        _publish(writer, held[0])
        return held[0].key_id


def _refuse_second(current: str, held: Sequence[KeyPair], path: Path) -> None:
    if current in {pair.key_id for pair in held}:
        raise ConfigurationError(
            f"There is a key already: {current}, in {path}.",
            "nothing; to replace it and seal everything anew, run `tasty-pipeline keygen --rotate`.",
        )
    raise ConfigurationError(
        f"This database's credentials are sealed for the key {current}, which {path} does not hold.",
        "restore the key file, or set TASTY_SEALING_KEYS to where it is. If it is lost, `tasty-pipeline keygen "
        "--rotate` makes a new key, and the stored connections have to be connected again.",
    )


def rotate_key(warehouse: Warehouse, path: Path) -> Rotation:
    """Replace the key pair: every stored seal that opens is sealed anew, the old public key is retired.

    The old private key stays in the file until the next rotation, for what applications seal with it meanwhile. Seals
    that no key in the file opens are left as they are and named in the answer. The tables must be there. Raises
    `ConfigurationError` for an unusable key file.
    """
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        held, pair = keys_if_any(path), new_pair()
        write_keys(path, (pair, *held))
        resealed, unopened = _reseal(writer, held, pair)
        keys = schema.sealing_keys
        writer.execute(sa.update(keys).where(keys.c.retired_at.is_(None)).values(retired_at=datetime.now(UTC)))
        _publish(writer, pair)
    with warehouse.write(CONNECTIONS_LOCK) as writer:
        # only after the commit, and under the lock again: another rotation may have begun
        _forget_old(writer, path)
    return Rotation(pair.key_id, resealed, tuple(unopened))


def _forget_old(reader: Reader, path: Path) -> None:
    keys, held = schema.sealing_keys, keys_if_any(path)
    retired = sa.select(keys.c.key_id).where(keys.c.retired_at.is_not(None)).order_by(keys.c.retired_at.desc())
    # what an application sealed while we did is sealed with the key before
    needed = {_current(reader), reader.scalar(retired.limit(1)), *(key_id_of(sealed) for _, sealed in _seals(reader))}
    kept = [pair for pair in held if pair.key_id in needed]
    if len(kept) < len(held):
        write_keys(path, kept)


def _reseal(writer: Writer, held: Sequence[KeyPair], pair: KeyPair) -> tuple[int, list[str]]:
    table = schema.connections
    kept = ("state", "state_reason", "state_changed_at")
    resealed, unopened = 0, []
    for name, sealed in _seals(writer):
        try:
            again = seal(unseal(sealed, held), pair.key_id, pair.public_key)
        except ConfigurationError:
            unopened.append(name)
            continue
        mine = table.c.connection_id == name
        state = writer.rows(sa.select(*(table.c[each] for each in kept)).where(mine))[0]
        done = writer.execute(
            sa.update(table).where(mine, table.c.sealed_credentials == sealed).values(sealed_credentials=again)
        )
        if done:
            # Postgres forgets the state of a row whose seal changes; these are the same credentials
            writer.execute(sa.update(table).where(mine, table.c.sealed_credentials == again).values(**state))
        resealed += done
    return resealed, unopened


def _current(reader: Reader) -> str | None:
    keys = schema.sealing_keys
    newest = sa.select(keys.c.key_id).where(keys.c.retired_at.is_(None))
    found = reader.scalar(newest.order_by(keys.c.created_at.desc(), keys.c.key_id).limit(1))
    return None if found is None else str(found)


def _seals(reader: Reader) -> list[tuple[str, str]]:
    table = schema.connections
    stored = sa.select(table.c.connection_id, table.c.sealed_credentials)
    rows = reader.rows(stored.where(table.c.sealed_credentials.is_not(None)).order_by(table.c.connection_id))
    return [(row["connection_id"], row["sealed_credentials"]) for row in rows]


def _publish(writer: Writer, pair: KeyPair) -> None:
    row = {"key_id": pair.key_id, "public_key": pair.public_key, "created_at": datetime.now(UTC)}
    writer.insert(schema.sealing_keys, [row])
