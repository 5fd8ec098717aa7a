"""Shared fixtures: small images, small dialogues, the real data beside the project where it is present."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcr_dataset.collect.candidates import CandidateWriter
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce

# Before any library reads it: no test asks a hub, and none leaves a cache behind.
_CACHE = tempfile.TemporaryDirectory(prefix="mmcr-tests-")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": _CACHE.name, "TOKENIZERS_PARALLELISM": "false"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a limit of their own, the longest, come first: else one worker waits for the other at the end."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def image_bytes(seed: int, size: tuple[int, int] = (96, 72), format: str = "PNG") -> bytes:
    """A small image that is not blank: a coloured gradient with noise, different for each seed."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    colour = rng.uniform(60, 255, 3)
    pixels = (across * down)[..., None] * colour + rng.uniform(0, 40, (size[1], size[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, format)
    return buffer.getvalue()


def write_candidates(path: Path, candidates: Iterable[Candidate]) -> None:
    """Write a shard; the file appears atomically."""
    writer = CandidateWriter(path)
    for candidate in candidates:
        writer.add(candidate)
    writer.close()


@pytest.fixture
def make_dialogue() -> Callable[..., Dialogue]:
    """A function (num_images, num_turns, seed) -> a valid dialogue in the paper's form."""

    def make(num_images: int = 1, num_turns: int = 4, seed: int = 0) -> Dialogue:
        images = tuple(
            DialogueImage(image_bytes(100 * seed + n), url=f"https://a.example/{n}.png") for n in range(num_images)
        )
        turns = []
        for number in range(1, num_turns + 1):
            shown = [number] if number <= num_images else []
            about = min(number, num_images) or 1
            turns.append(
                Turn(
                    introduce(shown, f"Question {number} about picture {about} of dialogue {seed}?"),
                    f"Answer {number}: image {about} shows gradient {seed}.",
                )
            )
        return Dialogue(id=f"d{seed}-{num_images}-{num_turns}", turns=tuple(turns), images=images)

    return make


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of the real corpus; skips where it is not beside the project."""
    folder = SHARED_DATA / "corpus"
    if not folder.is_dir():
        pytest.skip("the development corpus is not beside the project (../shared/data/corpus)")
    return folder


@pytest.fixture(scope="session")
def parity() -> Path:
    """Folder of published predictions; skips where it is not beside the project."""
    folder = SHARED_DATA / "parity"
    if not folder.is_dir():
        pytest.skip("published predictions are not beside the project (../shared/data/parity)")
    return folder
