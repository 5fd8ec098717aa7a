"""Fixtures of the training tests: tiny models, small data sets on disk."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue


@pytest.fixture(scope="session", autouse=True)
def frozen_libraries() -> Iterator[None]:
    """The trainer collects garbage after each run: a third of a short run's time was search in loaded libraries."""
    import training.trainer  # noqa: F401  (loads them)

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on many threads, and sums come out in one order only."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dialogues(make_dialogue: Callable[..., Dialogue]) -> list[Dialogue]:
    """Eight dialogues of one to three images, three to six turns."""
    return [make_dialogue(num_images=1 + seed % 3, num_turns=3 + seed % 4, seed=seed) for seed in range(3, 11)]


@pytest.fixture
def data_folder(tmp_path: Path, dialogues: list[Dialogue]) -> Path:
    """The dialogues as a data set folder."""
    write_dataset(dialogues, tmp_path / "mmcr-310k")
    return tmp_path / "mmcr-310k"


@pytest.fixture
def build_family(dialogues: list[Dialogue]) -> Callable[..., tuple[Any, Any]]:
    """A function (family name, seed) -> its tiny model and processor."""

    def build(name: str, seed: int = 0) -> tuple[Any, Any]:
        from training.families import load_family
        from training.model.tiny import build_tiny

        return build_tiny(load_family(name), dialogues, seed)

    return build
