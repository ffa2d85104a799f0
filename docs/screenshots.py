"""Takes the pictures of docs/images in a headless Chromium, from what `make dev` or `make monolith` runs.

    python docs/screenshots.py BROKERAGE                                      the Dagster UI of `make dev`
    python docs/screenshots.py BROKERAGE --monolith http://127.0.0.1:8000     the pages of `make monolith`

It does what it shows: in the UI a backfill of the whole history and a run that fails, because the simulated brokerage
is told to refuse it; in the monolith a user who connects and synchronises. Not for real credentials.
"""

import argparse
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from browser import Browser, Visitor, chromium

IMAGES = Path(__file__).parent / "images"
_WIDE, _PHONE = 1280, 390


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
    parser.add_argument("brokerage", help="address of the simulated brokerage, as it is printed")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="address of the Dagster UI")
    parser.add_argument("--monolith", help="address of the example monolith; its pages are taken then, not the UI's")
    options = parser.parse_args()
    binary = chromium()
    if not binary:
        sys.stderr.write("No Chromium: put one on the PATH, or set CHROMIUM to its path.\n")
        return 1
    with Browser.opened(binary) as browser:
        if options.monolith:
            _take_monolith(browser, options.monolith)
        else:
            _take_ui(browser, options.url, options.brokerage)
    return 0


def _take_ui(browser: Browser, url: str, brokerage: str) -> None:
    pages, faults = Pages(url), f"{brokerage}/__control__/faults"
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
    for name, (path, *awaited) in shots.items():
        # the lineage is laid out for the window and does not shrink to fit a small one
        browser.size(*((2000, 1500, 0.75) if name == "lineage" else (1500, 950)))
        browser.open(f"{url}/{path}", *awaited)
        time.sleep(3)  # pictures only: the last animation has no event to wait for
        browser.picture(IMAGES / f"{name}.png")


def _take_monolith(browser: Browser, url: str) -> None:
    visitor = Visitor(browser, url)
    visitor.log_in("alice")
    if "simulator-login" not in browser.open(f"{url}/connections/", "Connections"):
        visitor.connect("simulator-login", "simulator-refresh-alice")
    browser.size(_WIDE, 480)
    visitor.sync()
    browser.wait_for("Synchronising.", "running")
    browser.picture(IMAGES / "monolith-sync.png")
    browser.wait_for("Synchronised.", "Transactions proven until", "Positions")
    for name, path, width, height, *awaited in (
        ("portfolio", "", _WIDE, 1500, "Equity", "Net liquidating value"),
        ("phone", "", _PHONE, 1100, "Equity", "Net liquidating value"),
        ("transactions", "transactions/?type=Trade&symbol=AAPL", _WIDE, 1000, "Clear", "AAPL"),
        ("connections", "connections/", _WIDE, 1000, "What the token may do", "active"),
    ):
        browser.size(width, height, 2 if width == _PHONE else 1)
        browser.open(f"{url}/{path}", *awaited)
        browser.picture(IMAGES / f"monolith-{name}.png")


if __name__ == "__main__":
    sys.exit(main())
