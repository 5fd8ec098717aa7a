"""A small bench of the controlled world with everything in it, built once."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.exact_set import ExactItem, read_exact
from mmcr_bench.exact.settings import ExactSettings

SMALL = ExactSettings(num_dialogues=30, style="plain", domains=("shapes", "numerals", "charts"), sides=(2, 3))


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 dialogues of three domains with all tellings, pairs and guesses."""
    folder = tmp_path_factory.mktemp("exact") / "mmcr-exact"
    build_exact(folder, SMALL)
    return folder


@pytest.fixture(scope="session")
def groups(small_set: Path) -> dict[str, dict[str, ExactItem]]:
    """The rows of each dialogue by their role."""
    found: defaultdict[str, dict[str, ExactItem]] = defaultdict(dict)
    for item in read_exact(small_set):
        found[item.group][item.role] = item
    return dict(found)
