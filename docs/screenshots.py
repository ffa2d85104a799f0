"""Takes the pictures of docs/images from a running UI: `python docs/screenshots.py BROKERAGE` after `make dev`.

It does what it shows: a backfill of the whole history and a run that fails, because the simulated brokerage is told to
refuse it, and then photographs the pages in a headless Chromium. The UI's tests look through the same `Browser`. No
package is needed for it: Chromium is driven over its DevTools socket. Not for a UI on real credentials.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

IMAGES = Path(__file__).parent / "images"
_SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0


def chromium() -> str | None:
    """Return the path of a Chromium: $CHROMIUM, or one on the PATH."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


class Browser:
    """One page of a headless Chromium, which must have reached what it is asked for before it goes on."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0
        self.size(1500, 950)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, binary: str) -> Iterator["Browser"]:
        """Start a browser with an empty profile; end it and throw the profile away."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = [binary, *_SWITCHES, f"--user-data-dir={profile}"]
            with subprocess.Popen([*command, "about:blank"], stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
                try:
                    with connect(_page_socket(process), max_size=None) as socket:
                        yield cls(socket)
                finally:
                    process.kill()

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(_PATIENCE_SECONDS))
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def script(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        return self.command("Runtime.evaluate", expression=expression)["result"].get("value")

    def text(self) -> str:
        """Return what a reader sees of the page."""
        return str(self.script("document.body.innerText") or "")

    def open(self, url: str, *awaited: str) -> str:
        """Go to a page and return its text once all the awaited words are in it, or raise `TimeoutError`."""
        self.command("Page.navigate", url=url)
        return self.wait_for(*awaited)

    def wait_for(self, *awaited: str) -> str:
        """Return the page's text once all the awaited words are in it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            text = self.text()
            missing = [words for words in awaited if words not in text]
            if not missing:
                return text
            if time.monotonic() > deadline:
                raise TimeoutError(f"the page never showed {missing}; it shows:\n{text}")
            time.sleep(0.2)

    def size(self, width: int, height: int, scale: float = 1) -> None:
        """Lay the page out for a window of this size; its pictures are scaled."""
        shown = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **shown)

    def picture(self, path: Path) -> None:
        """Photograph what is visible."""
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


def _page_socket(process: "subprocess.Popen[str]") -> str:
    if process.stderr is None:
        raise RuntimeError("the browser's messages are not read")
    for line in process.stderr:
        if listening := re.search(r"DevTools listening on ws://([\d.]+:\d+)/", line):
            with urllib.request.urlopen(f"http://{listening[1]}/json/list") as answer:
                pages = [each for each in json.load(answer) if each["type"] == "page"]
            return str(pages[0]["webSocketDebuggerUrl"])
    raise RuntimeError("the browser ended without opening its DevTools")


class Pages:
    """The UI of `make dev`, and what has to be there to be photographed."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Send a GraphQL query or mutation, as the UI does."""
        return dict(_post(f"{self.url}/graphql", {"query": query, "variables": variables})["data"])

    def backfill(self) -> str:
        """Launch the whole history as one backfill, wait for its end and return its id."""
        asked = self.ask(
            '{ assetNodeOrError(assetKey: {path: ["transactions"]}) { ... on AssetNode { partitionKeys } } }'
        )
        assets = [{"path": [name]} for name in ("transactions", "balance_snapshots")]
        wanted = {"partitionNames": asked["assetNodeOrError"]["partitionKeys"], "assetSelection": assets, "tags": []}
        launch = "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { "
        launched = self.ask(f"{launch} ... on LaunchBackfillSuccess {{ backfillId }} }} }}", p=wanted)
        identifier = str(launched["launchPartitionBackfill"]["backfillId"])
        status = (
            "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
        )
        while self.ask(status, id=identifier)["partitionBackfillOrError"]["status"] in {"REQUESTED", "CREATED"}:
            time.sleep(2)
        return identifier

    def run(self, *assets: str) -> str:
        """Materialize assets with their checks, wait for the end and return the run's id."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": "tasty_pipeline",
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in assets],
        }
        launch = "mutation($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) { "
        asked = {"selector": selector, "runConfigData": {}, "mode": "default"}
        launched = self.ask(f"{launch} ... on LaunchRunSuccess {{ run {{ runId }} }} }} }}", p=asked)
        identifier = str(launched["launchPipelineExecution"]["run"]["runId"])
        status = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        while self.ask(status, id=identifier)["runOrError"]["status"] not in {"SUCCESS", "FAILURE", "CANCELED"}:
            time.sleep(0.5)
        return identifier


def _post(url: str, content: Any, method: str = "POST") -> Any:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(content).encode(), headers, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def main() -> int:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("brokerage", help="address of the simulated brokerage, as `make dev` prints it")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="address of the UI")
    options = parser.parse_args()
    binary = chromium()
    if not binary:
        sys.stderr.write("No Chromium: put one on the PATH, or set CHROMIUM to its path.\n")
        return 1
    pages, faults = Pages(options.url), f"{options.brokerage}/__control__/faults"
    pages.run("accounts", "positions", "balances")
    backfill = pages.backfill()
    _post(faults, {"kind": "not_permitted", "path": "5WT00702/positions"})
    failed = pages.run("positions", "balances")
    _post(faults, {}, "DELETE")
    pages.run("accounts", "positions", "balances")
    shots = {
        "lineage": ("asset-groups?expanded=global@global:portfolio,global@global:history", "transactions", "Passed"),
        "asset": ("assets/transactions", "Row count", "Columns"),
        "checks": ("assets/transactions?view=checks", "Latest execution", "unique_keys"),
        "backfill": (f"runs/b/{backfill}", "transactions", "balance_snapshots"),
        "failed-run": (f"runs/{failed}?logs=type:STEP_FAILURE", "does not let this login see it"),
    }
    with Browser.opened(binary) as browser:
        for name, (path, *awaited) in shots.items():
            # the lineage is laid out for the window and does not shrink to fit a small one
            browser.size(*((2000, 1500, 0.75) if name == "lineage" else (1500, 950)))
            browser.open(f"{options.url}/{path}", *awaited)
            time.sleep(3)  # pictures only: the last animation has no event to wait for
            browser.picture(IMAGES / f"{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
