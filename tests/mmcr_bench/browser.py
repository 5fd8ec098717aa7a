"""Headless Chromium over the WebDriver protocol, no library: enough to type, click, read and take an image."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from types import TracebackType
from typing import Any, Self

import pytest

ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"


class Browser:
    """One window; skips the test where Chromium and its driver are not installed."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
        if driver is None or chromium is None:
            pytest.skip("chromium and chromedriver are not installed")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._url = f"http://127.0.0.1:{port}"
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"]
        options: dict[str, Any] = {"binary": chromium, "args": flags}
        if width < 500:  # the smallest window
            metrics = {"width": width, "height": height, "pixelRatio": 1, "touch": True, "mobile": True}
            options["mobileEmulation"] = {"deviceMetrics": metrics}
        self._wait_for_driver()
        session = self._send("POST", "/session", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self._url += f"/session/{session['sessionId']}"

    def _wait_for_driver(self) -> None:
        for _ in range(200):
            try:
                self._send("GET", "/status")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("chromedriver did not start within 10 s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._send("DELETE", "")
        finally:
            self._process.terminate()
            self._process.wait()

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.loads(error.read())["value"]["message"].split("\n")[0]) from error

    def open(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})

    def resize(self, width: int, height: int) -> None:
        self._send("POST", "/window/rect", {"width": width, "height": height})

    def press(self, keys: str) -> None:
        """Press keys one after another, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._send("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def run(self, script: str) -> Any:
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, selector: str = "body") -> str:
        """What an element shows; empty while it isn't there."""
        return str(self.run(f"return document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait_for(self, part: str, selector: str = "body") -> str:
        """The text of an element once it contains a part; fails after 20 s."""
        shown = ""
        for _ in range(400):
            shown = self.text(selector)
            if part in shown:
                return shown
            time.sleep(0.05)
        raise AssertionError(f"{part!r} did not appear in: {shown}")

    def screenshot(self, path: Any) -> None:
        path.write_bytes(base64.b64decode(self._send("GET", "/screenshot")))
