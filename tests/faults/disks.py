"""Small file systems: a tmpfs in a user namespace of its own, on which a server or a run finds no more room.

Here belongs how such a disk is made, entered and filled, and a run that keeps its DuckDB file and its temporary folder
on one. Where a machine does not permit namespaces, `permitted` says so, and whoever asks has to tell that it skipped.
"""

import os
import pickle
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

from warehouse.files import full_disk

from tasty_pipeline.core.spool import Spool
from tasty_pipeline.core.sync import window
from tasty_pipeline.core.warehouse import open_warehouse

from . import runs
from .runs import Outcome, Task
from .scene import Expected, Scene, parts, staged
from .tally import Tally

_ENTER = ["unshare", "--user", "--map-root-user", "--mount"]
_MOUNT = 'mount -t tmpfs -o size="$1" tmpfs "$2"'
# a tmpfs with the folder's content, in the folder's place; lives until its standard input is closed
_HOLD = """
set -e
mount -t tmpfs -o size="$1" tmpfs "$3"
cp -a "$2/." "$3/"
mount --bind "$3" "$2"
echo
exec cat
"""
_ROOM = 4096


@cache
def permitted() -> bool:
    """Whether this machine lets us have file systems of our own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*_ENTER, "sh", "-c", _MOUNT, "sh", "1m", folder]
        try:
            return subprocess.run(command, check=False, capture_output=True).returncode == 0  # noqa: S603
        except FileNotFoundError:
            return False


@dataclass(frozen=True)
class Disk:
    """A tmpfs that stands in a folder's place for whoever is inside of its namespace."""

    keeper: int
    folder: Path

    @property
    def prefix(self) -> list[str]:
        """What to put before a command to run it inside."""
        return ["nsenter", "--user", "--mount", "--preserve-credentials", "-t", str(self.keeper)]

    @contextmanager
    def filled(self, left: int) -> Iterator[None]:
        """Leave room for no more than so many bytes."""
        ballast = Path(f"/proc/{self.keeper}/root{self.folder}/ballast")
        with ballast.open("wb") as opened:
            free = os.fstatvfs(opened.fileno())
            os.posix_fallocate(opened.fileno(), 0, max(free.f_bavail * free.f_bsize - left, _ROOM))
        try:
            yield
        finally:
            ballast.unlink()


@contextmanager
def small(folder: Path, megabytes: int) -> Iterator[Disk]:
    """Put a folder, with what is in it, on a disk of its own."""
    with tempfile.TemporaryDirectory(prefix="tasty-disk-") as elsewhere:
        command = [*_ENTER, "sh", "-c", _HOLD, "sh", f"{megabytes}m", folder, elsewhere]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:  # noqa: S603
            if keeper.stdout is None or not keeper.stdout.readline():
                raise RuntimeError("the small disk was not made")
            yield Disk(keeper.pid, folder.resolve())
            keeper.communicate()


def run_on(task: Task, folder: Path, size: int) -> Outcome:
    """Run a task whose DuckDB file and temporary folder are on a disk of so many bytes; the file is brought back.

    Rows wait in files however few they are.
    """
    given = pickle.dumps((task, folder, size))
    command = [*_ENTER, sys.executable, "-m", __name__]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, input=given, env=found, check=False, capture_output=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    outcome: Outcome = pickle.loads(done.stdout)  # noqa: S301 - our own child's
    return outcome


def _inside() -> None:
    task, folder, size = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - our own parent's
    disk = Path(tempfile.mkdtemp(prefix="tasty-disk-"))
    subprocess.run(["sh", "-c", _MOUNT, "sh", str(size), disk], check=True)  # noqa: S603, S607
    for file in folder.glob("warehouse.duckdb*"):
        shutil.copy(file, disk)
    tempfile.tempdir = str(disk)
    task = replace(task, warehouse=f"duckdb:///{disk}/warehouse.duckdb")
    with patch.object(window, "Spool", partial(Spool, rows_in_memory=0)):
        outcome = runs.here(task)
    for file in folder.glob("warehouse.duckdb*"):
        file.unlink()
    for file in disk.glob("warehouse.duckdb*"):
        shutil.copy(file, folder)
    subprocess.run(["umount", disk], check=True)  # noqa: S603, S607
    disk.rmdir()
    sys.stdout.buffer.write(pickle.dumps(outcome))


def search(*, seed: int, sizes: int, finished_every: int = 5, thorough: bool = True) -> Tally:
    """Sync into a new DuckDB file where it can grow to so many sizes, by a limit and by a disk of its own.

    The sizes are spread over all that the file reaches, from nothing on. After each there is room again.
    """
    tally = Tally("a DuckDB file on a full disk", seed=seed)
    chance = random.Random(seed)  # noqa: S311 - no secret
    with staged(thorough=thorough) as scene, tempfile.TemporaryDirectory(prefix="tasty-full-") as folder:
        file = Path(folder) / "warehouse.duckdb"
        url = f"duckdb:///{file}"
        scene.run(url)
        scene.new = parts(open_warehouse(url))
        most = file.stat().st_size
        for number in range(sizes):
            size = most * number // sizes + chance.randrange(most // sizes)
            for name, run in (("a limit", _limited), ("a disk", _on_a_disk)):
                file.unlink(missing_ok=True)
                file.with_name(f"{file.name}.wal").unlink(missing_ok=True)
                if name == "a disk" and not permitted():
                    tally.notes["SKIPPED, this machine permits no disk of our own"] += 1
                    continue
                tally.tried += 1
                try:
                    outcome = run(scene, url, size)
                    tally.notes["found room" if outcome.good else f"ended with {outcome.kind}"] += 1
                    scene.judge(outcome, Expected(None, "make room"))
                    tally.notes[f"then {scene.look(url, whole=outcome.good)}"] += 1
                    if finished_every and number % finished_every == 0:
                        scene.finish(url)
                        tally.notes["then finished"] += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, it is not what was promised
                    tally.broken.append(f"{name} of {size:,} bytes: {type(error).__name__} {error}")
    return tally


def _limited(scene: Scene, url: str, size: int) -> Outcome:
    with full_disk(size), patch.object(window, "Spool", partial(Spool, rows_in_memory=0)):
        return scene.run(url)[0]


def _on_a_disk(scene: Scene, url: str, size: int) -> Outcome:
    return run_on(scene.task(url), Path(url.removeprefix("duckdb:///")).parent, max(size, _ROOM))


if __name__ == "__main__":
    _inside()
