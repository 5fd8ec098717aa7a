"""The images of the README and the guides, taken from the real pages: `python -m docs.make_images [DEMO] [OUT]`.

DEMO is the folder in which `make demo` ran (default: here), with mmcr-310k, mmcr-bench and out/. Needs chromium and
chromedriver. Writes report.png, review.png, topics.png and loss.png.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mmcr_bench.browser import ENTER, TAB, Browser

PASSWORD = "a password for a screenshot"
WIDTH, HEIGHT = 1280, 1200
NO_SCROLLBAR = "document.documentElement.style.overflow = 'hidden'"


def run(*words: str | Path, stdin: str = "") -> None:
    """Run one of our programs."""
    subprocess.run([sys.executable, "-m", *map(str, words)], input=stdin, text=True, check=True)


def screenshot_report(page: Path, out: Path) -> None:
    """The top of the report page."""
    with Browser(WIDTH, 1500) as browser:
        browser.open(page.resolve().as_uri())
        browser.wait_for("Scores")
        browser.run(NO_SCROLLBAR)
        browser.screenshot(out / "report.png")


def screenshot_review(bench: Path, out: Path) -> None:
    """An item of the review page, as an expert sees it, one criterion flagged."""
    with tempfile.TemporaryDirectory() as folder:
        review = Path(folder) / "review.sqlite3"
        run("mmcr_bench", "review", "start", review, bench, "--experts", "3")
        run("mmcr_bench", "review", "account", review, "ann", stdin=f"{PASSWORD}\n")
        command = [sys.executable, "-m", "mmcr_bench", "review", "serve", str(review), "--port", "8613"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()  # it says where it listens
                with Browser(WIDTH, HEIGHT) as browser:
                    log_in(browser, "http://127.0.0.1:8613/")
                    browser.press("2")
                    browser.wait_for("Flag (1)", "#verdict")
                    browser.run(NO_SCROLLBAR)
                    browser.screenshot(out / "review.png")
            finally:
                server.terminate()


def log_in(browser: Browser, address: str) -> None:
    """Open the page once the server listens, and log in as ann."""
    for _ in range(20):
        browser.open(address)
        if "Log in" in browser.text("h1"):
            break
        browser.run("return new Promise(done => setTimeout(done, 500))")
    browser.wait_for("Log in", "h1")
    browser.press(f"ann{TAB}{PASSWORD}{ENTER}")
    browser.wait_for("0 of", ".place")


def draw_topics(dataset: Path, out: Path) -> None:
    """The distribution of topics."""
    with tempfile.TemporaryDirectory() as folder:
        labels, topics = Path(folder) / "labels.jsonl", Path(folder) / "topics.json"
        run("mmcr_bench", "tag", dataset, "--labels", labels)
        run("mmcr_bench", "topics", dataset, "--labels", labels, "--out", topics, "--figure", out / "topics.png")


def main(demo: Path, out: Path) -> None:
    """All of them."""
    out.mkdir(parents=True, exist_ok=True)
    screenshot_report(demo / "out" / "report.html", out)
    screenshot_review(demo / "mmcr-bench", out)
    draw_topics(demo / "mmcr-310k", out)
    shutil.copy(demo / "out" / "tiny_cpu" / "loss.png", out / "loss.png")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/images"))
