"""A headless Chromium, driven by WebDriver's protocol: no package beside the browser is needed."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

PHONE, DESK = (360, 740), (1280, 900)
"""Sizes of a window, px."""


class Browser:
    """One window."""

    def __init__(self, address: str):
        self._address = address
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        capabilities = {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [*arguments, "--disable-dev-shm-usage"]},
        }
        session = self._ask("", {"capabilities": {"alwaysMatch": capabilities}})
        self._address += "/" + session["sessionId"]

    def _ask(self, path: str, body: dict | None = None, method: str = "POST"):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def _chrome(self, command: str, **parameters) -> None:
        self._ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page: Path, size: tuple[int, int], scheme: str) -> None:
        """Opens a file in a window of `size` (width, height), with "light" or "dark" colours."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._chrome("Emulation.setEmulatedMedia", features=[feature])
        self._chrome(
            "Emulation.setDeviceMetricsOverride",
            width=size[0],
            height=size[1],
            deviceScaleFactor=1,
            mobile=size is PHONE,
        )
        self.messages()  # those of the page before
        self._ask("/url", {"url": page.resolve().as_uri()})

    def run(self, script: str):
        """Returns what a function's body in JavaScript returns."""
        return self._ask("/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str, seconds: float = 30):
        """Runs a script until it returns something true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)) and time.monotonic() < end:
            time.sleep(0.2)
        return value

    def messages(self) -> list[str]:
        """Returns what the console said since the last call."""
        return [entry["message"] for entry in self._ask("/se/log", {"type": "browser"})]

    def picture(self, path: Path, width: int) -> None:
        """Writes a picture of the whole page, `width` px wide."""
        height = self.run("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 8000), "scale": 1}
        command = {"cmd": "Page.captureScreenshot"}
        command["params"] = {"clip": clip, "captureBeyondViewport": True}
        path.write_bytes(b64decode(self._ask("/goog/cdp/execute", command)["data"]))

    def close(self) -> None:
        self._ask("", method="DELETE")


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Yields a browser; the test is skipped where there is none."""
    if not shutil.which("chromium") or not (driver := shutil.which("chromedriver")):
        pytest.skip("no Chromium; on Debian: apt-get install chromium chromium-driver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=-3, stderr=-3)
    try:
        opened = _connect(f"http://127.0.0.1:{port}/session")
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.terminate()
        process.wait(30)


def _connect(address: str, seconds: float = 60) -> Browser:
    """Waits for the driver to answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return Browser(address)
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()) from error
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


WIDTH = "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
CONTRAST = """
const light = (text) => {
  const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map((v) => {
    v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const style = getComputedStyle(document.body);
let paper = style.backgroundColor;
if (paper === "rgba(0, 0, 0, 0)") { // the browser's own, which follows color-scheme
  const sheet = document.createElement("div");
  sheet.style.backgroundColor = "Canvas";
  document.body.append(sheet);
  paper = getComputedStyle(sheet).backgroundColor;
  sheet.remove();
}
const [a, b] = [light(style.color), light(paper)];
return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), b];
"""
"""Contrast of text and paper as in WCAG 2, and how light the paper is, from 0 to 1."""


def check_page(opened: Browser, page: Path, pictures: Path | None = None) -> None:
    """Asserts what holds for every page of ours, in both colour schemes, on a phone and a desk."""
    for scheme in ("light", "dark"):
        for size in (DESK, PHONE):
            opened.open(page, size, scheme)
            scroll, client = opened.run(WIDTH)
            assert scroll <= client == size[0], f"{scheme}, {size}: {scroll} px wide"
            contrast, paper = opened.run(CONTRAST)
            assert contrast > 7, f"{scheme}: contrast of the text is {contrast:.1f}"
            assert (paper > 0.8) == (scheme == "light"), f"{scheme}: paper of {paper:.2f}"
            messages = opened.messages()
            assert not messages, messages
            if pictures is not None:
                opened.picture(pictures / f"{scheme}-{size[0]}.png", size[0])
