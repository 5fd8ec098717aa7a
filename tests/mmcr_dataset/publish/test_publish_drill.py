"""A token that expires after each request of an update in turn: readers get the old set or the new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Generation
from tests.local_hub import LocalHub
from tests.mmcr_dataset.publish.test_hub import REPO, program

# One process: publish the old set; then, with one more write allowed each time, the new one, and read what is there.
DRILL = """
import contextlib, io, json, sys, urllib.request
import datasets
datasets.config.USE_PARQUET_EXPORT = False
from datasets import load_dataset
from huggingface_hub import constants
from mmcr_dataset.__main__ import main

def tell(allowed):
    urllib.request.urlopen(f"{constants.ENDPOINT}/api/whoami-v2?allowed={allowed}")

def read(cache):
    rows = {}
    for config in ("single", "multi"):
        loaded = load_dataset(sys.argv[3], config, split="train", cache_dir=cache)
        rows |= dict(zip(loaded["id"], (row[0]["content"][-1]["text"] for row in loaded["messages"])))
    return rows

tell(10**9)
with contextlib.redirect_stdout(io.StringIO()):
    assert main(["publish", sys.argv[1], "--push_to", sys.argv[3]]) == 0
seen = [[None, 0, read("cache-old")]]
for allowed in range(100):
    tell(allowed)
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(["publish", sys.argv[2], "--push_to", sys.argv[3]])
    seen.append([allowed, code, read(f"cache-{allowed}")])
    if code == 0:
        break
print(json.dumps(seen))
"""


class ExpiringToken:
    """Refuses every write but the first so many."""

    def __init__(self) -> None:
        self.left = 0
        self.writes: list[str] = []

    def __call__(self, method: str, path: str) -> int | None:
        if method in ("GET", "HEAD"):
            return None
        self.left -= 1
        self.writes.append(path.split("/")[-2] if self.left >= 0 else "refused")
        return 401 if self.left < 0 else None


def test_publish_token_that_expires_after_any_request_leaves_one_whole_set(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    token = ExpiringToken()
    for name, numbers in (("old", range(6)), ("new", range(3, 10))):  # rows go, rows stay changed, rows come
        rows = [make_dialogue(1 + n % 2, 4 + 4 * (n % 2), seed=n + 100 * (name == "new")) for n in numbers]
        rows = [
            replace(row, id=f"{n:032x}", generation=Generation("openai", "m"))
            for n, row in zip(numbers, rows, strict=True)
        ]
        write_dataset(rows, tmp_path / name / "set")
        refresh_card(tmp_path / name / "set")
    with LocalHub(token) as hub:
        told = hub._http.RequestHandlerClass.whoami

        def whoami(handler: object) -> object:
            token.left = int(handler.query.get("allowed", token.left))  # type: ignore[attr-defined]
            return told(handler)

        hub._http.RequestHandlerClass.whoami = whoami
        words = ["-c", DRILL, str(tmp_path / "old/set"), str(tmp_path / "new/set"), REPO]
        done = program(hub, tmp_path, *words)
        assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    old, new = seen[0][2], seen[-1][2]
    assert old.keys() != new.keys()
    assert [rows for _, _, rows in seen[1:-1]] == [old] * (len(seen) - 2)
    assert len(seen) > 5  # the token expired after each of so many writes
    assert [code for _, code, _ in seen[1:]] == [2] * (len(seen) - 2) + [0]
    assert "log in with `hf auth login`" in done.stderr
