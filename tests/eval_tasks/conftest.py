"""Fixtures of the evaluation's tests: a tiny checkpoint, a small bench on disk, a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from mmcr_dataset.endpoint import client
from mmcr_dataset.endpoint.client import RequestFailed
from mmcr_dataset.publish.parquet import arrow_schema
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue
from tests.conftest import image_bytes
from tests.eval_tasks.tiny_vlm import write_tiny_vlm


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between the attempts of a request are a tenth, as many as ever."""
    wait_s = client._wait_s

    def tenth_s(failure: RequestFailed, attempt: int) -> float | None:
        found = wait_s(failure, attempt)
        return None if found is None else found / 10

    monkeypatch.setattr(client, "_wait_s", tenth_s)


@pytest.fixture(scope="session")
def tiny_ovis2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight Ovis2 checkpoint folder."""
    return write_tiny_vlm("ovis2", tmp_path_factory.mktemp("models") / "ovis2")


@pytest.fixture
def write_script(tmp_path: Path) -> Callable[..., str]:
    """A function (said, name) -> the `scripted:` spec of a model that says it."""

    def write(said: dict[str, Any], name: str = "said.json") -> str:
        (tmp_path / name).write_text(json.dumps(said))
        return f"scripted:{tmp_path / name}"

    return write


@pytest.fixture
def bench_folder(tmp_path: Path, make_dialogue: Callable[..., Dialogue]) -> Path:
    """A bench of four dialogues: three of one image and four turns, one of three images and eight turns."""
    folder = tmp_path / "mmcr-bench"
    folder.mkdir()
    dialogues = [make_dialogue(seed=seed) for seed in range(3)] + [make_dialogue(3, 8, seed=3)]
    parquet.write_table(to_columns(dialogues, arrow_schema()), folder / "train-00000.parquet")
    return folder


@pytest.fixture
def mmdu(tmp_path: Path) -> Path:
    """Two dialogues in the published form: two turns about three images, three turns about two."""
    folder = tmp_path / "mmdu"
    (folder / "images").mkdir(parents=True)
    for number in range(5):
        (folder / "images" / f"{number}.jpg").write_bytes(image_bytes(number, format="JPEG"))
    asked = [
        ["Image1: <ImageHere>. Image2: <ImageHere>. Compare.", "And <ImageHere>?"],
        ["<ImageHere>x", "y", "<ImageHere>z"],
    ]
    items, first = [], 0
    for number, questions in enumerate(asked):
        said = [
            {"from": side, "value": text}
            for q in questions
            for side, text in (("user", q), ("assistant", f"a {q[-2:]}"))
        ]
        num = sum(q.count("<ImageHere>") for q in questions)
        items.append(
            {"id": number, "image": [f"images/{n}.jpg" for n in range(first, first + num)], "conversations": said}
        )
        first += num
    (folder / "benchmark.json").write_text(json.dumps(items))
    return folder
