"""DuckDB files that were cut, overwritten or put together wrongly while nobody was looking.

Here belongs how a file, or the log beside it, is damaged, and that following the advice of the error mends it. Whoever
opens what is left gets an error that says what to do, or a state that was published once: never fewer tables, never
half a publication.
"""

import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tasty_pipeline.core.errors import TastyError
from tasty_pipeline.core.warehouse import duckdb_file, open_warehouse

from .scene import WAIT_SECONDS, Expected, Scene, WrongError, parts, staged
from .tally import Tally

_BLOCK = 4096
_MOVE_FILE, _MOVE_LOG = "move the file away", "move the .wal away"
_SAYS = re.escape(_MOVE_FILE) + "|" + re.escape(_MOVE_LOG)
_LOG_SAYS = re.escape(_MOVE_LOG)  # where the file is whole, nobody has to read everything anew
Pair = tuple[bytes, bytes | None]


@dataclass(frozen=True)
class _Pairs:
    """What was stored at three moments: the old state, the new one in a log beside it, and another file's log."""

    old: bytes
    log: bytes
    foreign: bytes


Damage = Callable[[_Pairs, random.Random], Pair]


def _cut(pairs: _Pairs, chance: random.Random) -> Pair:
    return pairs.old[: chance.randrange(len(pairs.old) // _BLOCK) * _BLOCK], None


def _cut_anywhere(pairs: _Pairs, chance: random.Random) -> Pair:
    return pairs.old[: chance.randrange(len(pairs.old))], None


def _cut_beside_its_log(pairs: _Pairs, chance: random.Random) -> Pair:
    return pairs.old[: chance.randrange(len(pairs.old))], pairs.log


def _written_over(text: bytes, with_what: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(text))
    return text[:at] + with_what + text[at + len(with_what) :]


DAMAGES: dict[str, Damage] = {
    "cut at a block": _cut,
    "cut anywhere": _cut_anywhere,
    "cut beside its log": _cut_beside_its_log,
    "empty": lambda _, __: (b"", None),
    "with a garbage header": lambda pairs, chance: (chance.randbytes(3 * _BLOCK) + pairs.old[3 * _BLOCK :], None),
    "with a garbage block": lambda pairs, chance: (_written_over(pairs.old, chance.randbytes(_BLOCK), chance), None),
    "with a block of zeros": lambda pairs, chance: (_written_over(pairs.old, bytes(_BLOCK), chance), None),
    "beside a cut log": lambda pairs, chance: (pairs.old, pairs.log[: chance.randrange(len(pairs.log))]),
    "beside a log with garbage in it": lambda pairs, chance: (
        pairs.old,
        _written_over(pairs.log, chance.randbytes(64), chance),
    ),
    "beside a log of garbage": lambda pairs, chance: (pairs.old, chance.randbytes(chance.randrange(1, 20_000))),
    "beside the log of another file": lambda pairs, _: (pairs.old, pairs.foreign),
}


@dataclass
class _Desk:
    scene: Scene
    file: Path
    pairs: _Pairs

    @property
    def url(self) -> str:
        return f"duckdb:///{self.file}"

    @property
    def log(self) -> Path:
        return self.file.with_name(f"{self.file.name}.wal")

    def put(self, file: bytes, log: bytes | None) -> None:
        self.file.write_bytes(file)
        self.log.unlink(missing_ok=True)
        if log is not None:
            self.log.write_bytes(log)

    def open(self, says: str) -> str:
        """Say what a reader gets; raise where that is neither an error that helps nor what was published once."""
        warehouse = open_warehouse(self.url, wait_seconds=WAIT_SECONDS)
        try:
            if warehouse.version() is None:
                raise WrongError("an empty warehouse is taken for the truth")
            self.scene.judge_parts(parts(warehouse))
        except TastyError as error:
            if not re.search(says, str(error)):
                raise WrongError(f"the error does not help: {error}") from error
            return "errors that say what to do"
        return "files read as they were published"

    def heal(self) -> None:
        """Synchronise; where that is refused, do as the error says, for the log and for the file, and do it again."""
        for _ in (self.log, self.file):
            outcome, _ = self.scene.run(self.url)
            self.scene.judge(outcome, Expected(None, _SAYS))
            if outcome.good:
                break
            if _MOVE_LOG in outcome.said:
                self.log.unlink()
            else:
                self.file.unlink()
                self.log.unlink(missing_ok=True)
        self.scene.finish(self.url)


@contextmanager
def _desk(scene: Scene) -> Iterator[_Desk]:
    with tempfile.TemporaryDirectory(prefix="tasty-damage-") as folder:
        file = Path(folder) / "warehouse.duckdb"
        logs = []
        with patch.object(duckdb_file, "_LARGE", 0):  # a log stands beside every file
            for path in (file.with_name("foreign"), file):
                with patch.object(duckdb_file, "_LARGE", 2**40):
                    scene.learn(f"duckdb:///{path}") if path == file else scene.run(f"duckdb:///{path}")
                old = path.read_bytes()
                if path == file:
                    scene.change()
                scene.run(f"duckdb:///{path}")
                logs.append(Path(f"{path}.wal").read_bytes())
        scene.new = parts(open_warehouse(f"duckdb:///{file}"))
        yield _Desk(scene, file, _Pairs(old, logs[1], logs[0]))
        shutil.rmtree(folder, ignore_errors=True)


def search(*, seed: int, tries: int, kinds: Sequence[str] = (), mended_every: int = 10, thorough: bool = True) -> Tally:
    """Open so many damaged files of every kind, or of those named; mend as told the first of each, and some more.

    `mended_every` 0 mends none.
    """
    tally = Tally("a damaged DuckDB file", seed=seed)
    chance = random.Random(seed)  # noqa: S311 - no secret
    with staged(thorough=thorough) as scene, _desk(scene) as desk:
        for name in kinds or DAMAGES:
            damage = DAMAGES[name]
            for number in range(tries):
                tally.tried += 1
                pair = damage(desk.pairs, chance)
                try:
                    desk.put(*pair)
                    tally.notes[desk.open(_LOG_SAYS if name.startswith("beside") else _SAYS)] += 1
                    if mended_every and number % mended_every == 0:
                        desk.put(*pair)
                        desk.heal()
                        tally.notes["then mended"] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is not what was promised
                    tally.broken.append(f"{name}, number {number}: {type(error).__name__} {error}")
    return tally
