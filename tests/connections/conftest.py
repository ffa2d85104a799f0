from pathlib import Path

import pytest

from tasty_pipeline.core import connections
from tasty_pipeline.core.settings import Settings
from tasty_pipeline.core.warehouse import Warehouse


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An environment with credentials of its own, and a key file that is not there yet."""
    return Settings(
        client_secret="canary-client-own", refresh_token="canary-refresh-own", sealing_keys=tmp_path / "keys" / "file"
    )


@pytest.fixture
def keyed(warehouse: Warehouse, settings: Settings) -> Warehouse:
    """A warehouse, on each backend in turn, with a key to seal with."""
    connections.make_key(warehouse, settings.sealing_keys)
    return warehouse
