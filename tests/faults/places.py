"""Places for a run to be tried in: DuckDB files and databases of a private server, each with the old state in it.

Here belongs how they are made and controlled, the server's small disk too. What happens to them is in `servers.py`.
"""

import runpy
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tasty_pipeline.core.warehouse import open_warehouse

from . import disks
from .disks import Disk
from .scene import Scene, parts

_POSTGRES = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "monolith" / "postgres.py"))
CONNECTIONS = 12
_MEGABYTES = 300


@dataclass
class Place:
    """One warehouse that holds the old state, and the folder of the server that serves it, if one does."""

    url: str
    folder: Path
    server: str = ""
    disk: Disk | None = None

    @property
    def name(self) -> str:
        """The database's name."""
        return str(conninfo_to_dict(self.url)["dbname"])

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return Path(self.url.removeprefix("duckdb:///"))

    def administer(self, *statements: str) -> None:
        """Run statements in the server's own database."""
        with psycopg.connect(self.server, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def control(self, *arguments: str) -> None:
        """Run pg_ctl on the server."""
        inside = self.disk.prefix if self.disk else []
        command = [
            *inside,
            *_POSTGRES["unprivileged"](),
            _POSTGRES["_binaries"]() / "pg_ctl",
            "-D",
            self.folder / "data",
        ]
        done = subprocess.run([*command, "-w", "-l", self.folder / "log", *arguments], check=False, capture_output=True)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"pg_ctl {arguments}: {done.stdout!r} {done.stderr!r}")


@dataclass
class Places:
    """Where places of one database are made; what they are made from holds the old state."""

    scene: Scene
    folder: Path
    server: str
    disk: Disk | None = None
    numbers: Iterator[int] = field(default_factory=count)
    moments: int = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A warehouse of its own."""
        number = next(self.numbers)
        if not self.server:
            folder = self.folder / f"place{number}"
            folder.mkdir()
            for name in ("warehouse.duckdb", "old"):
                shutil.copy(self.folder / "old.duckdb", folder / name)
            yield Place(f"duckdb:///{folder}/warehouse.duckdb", folder)
            shutil.rmtree(folder)
            return
        place = Place(self.server.replace("/postgres?", f"/place{number}?"), self.folder, self.server, self.disk)
        place.administer(f"CREATE DATABASE {place.name} TEMPLATE old STRATEGY file_copy")
        yield place
        place.administer(f"DROP DATABASE {place.name} WITH (FORCE)")


@contextmanager
def serving(database: str, scene: Scene) -> Iterator[Places]:
    """Open a database that places can be made in, and teach the scene what is old and what is new."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="tasty-servers-", ignore_cleanup_errors=True))
        )
        server = ""
        if database == "postgres":
            options = f"-c max_connections={CONNECTIONS}"
            server = stack.enter_context(_POSTGRES["serve"](folder, kept=False, options=options))
            Place(server, folder, server).administer("CREATE DATABASE old")
        old = server.replace("/postgres?", "/old?") or f"duckdb:///{folder}/old.duckdb"
        scene.learn(old)
        scene.change()
        made = Places(scene, folder, server, stack.enter_context(_own_disk(server, folder)))
        with made.place() as place:
            _, made.moments = scene.run(place.url)
            scene.new = parts(open_warehouse(place.url))
        yield made


@contextmanager
def _own_disk(server: str, folder: Path) -> Iterator[Disk | None]:
    """Move a server to a small disk of its own, and stop it there, where the machine permits that."""
    if not server or not disks.permitted():
        yield None
        return
    Place(server, folder, server).control("-m", "fast", "stop")
    with disks.small(folder, _MEGABYTES) as disk:
        place = Place(server, folder, server, disk)
        place.control("restart")
        try:
            yield disk
        finally:
            place.control("-m", "immediate", "stop")
