"""A headless Chromium, driven over its DevTools socket, and somebody who uses the example monolith in it.

The tests look through it, and `screenshots.py` photographs with it. No package beside websockets is needed.
"""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

_SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-first-run", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0
_PLACE_OF = r"""(() => {
    const found = [...document.querySelectorAll("button, a")].find(
        (each) => each.innerText.replace(/[\u2190\u2192]/g, "").trim() === WORDS
    );
    if (!found) return "";
    found.scrollIntoView({block: "center", behavior: "instant"});
    const box = found.getBoundingClientRect();
    return `${box.x + box.width / 2} ${box.y + box.height / 2}`;
})()"""


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
        """Return what a reader sees of the page; nothing before it is complete, since things still move then."""
        return str(self.script("document.readyState === 'complete' ? document.body.innerText : ''") or "")

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

    def fill(self, **fields: str) -> None:
        """Type into the page's fields, by their names."""
        for name, value in fields.items():
            self.script(f"document.querySelector('main [name=\"{name}\"]').value = {json.dumps(value)}")

    def press(self, words: str, times: int = 1) -> None:
        """Click with the mouse on what has these words, arrows aside; raises `LookupError` where nothing has."""
        found = self.script(_PLACE_OF.replace("WORDS", json.dumps(words)))
        if not found:
            raise LookupError(f"nothing to press says {words!r}; the page shows:\n{self.text()}")
        x, y = map(float, str(found).split())
        for click in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=click)

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


class Visitor:
    """Somebody in front of the example monolith's pages."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser, self.url = browser, url

    def log_in(self, name: str) -> None:
        """Log in with the password that the example gives everybody."""
        self.browser.open(f"{self.url}/login/", "Log in", "Password")
        self.browser.fill(username=name, password=f"{name}-of-the-simulator")
        self.browser.press("Log in")
        self.browser.wait_for("Log out", name)

    def log_out(self) -> None:
        """Log out."""
        self.browser.press("Log out")
        self.browser.wait_for("Username", "Password")

    def connect(self, label: str, refresh_token: str) -> None:
        """Connect a login on the page of the connections."""
        self.browser.open(f"{self.url}/connections/", "Connect a TastyTrade login")
        self.browser.fill(label=label, refresh_token=refresh_token)
        self.browser.press("Connect")
        self.browser.wait_for("is connected", "Disconnect")

    def sync(self, times: int = 1) -> None:
        """Press Sync now on the page of the portfolio, so many times at once."""
        self.browser.open(f"{self.url}/", "Portfolio", "Sync now")
        self.browser.press("Sync now", times)
