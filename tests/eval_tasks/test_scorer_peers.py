"""Scorers of short answers beside VLMEvalKit's own functions on generated replies.

`PEER_VLMEVALKIT=CHECKOUT python -m pytest -m slow tests/eval_tasks/test_scorer_peers.py`; nothing of it is copied here.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from eval_tasks.readers.short_answer import anls, is_relaxed, vqa_accuracy, vqa_words

CHECKOUT = os.environ.get("PEER_VLMEVALKIT")
NAMES = ("process_punctuation", "_process_digit_article", "relaxed_correctness", "levenshtein_distance", "anls_compute")
NAMES += ("process_answer",)
WORDS = (
    "the a two Three dont isn't 14 14% 0.5 1,000 -3 3.50 Nokia nokia, e-mail? (red) 'x' $5.00 ten none É 木 yes. 1/2 "
)
PIECES = [*WORDS.split(" "), "\n", "\t", "", "  ", "5.", ".5", "A.B.", "it's", "its", "won't", "wont"]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHECKOUT, reason="PEER_VLMEVALKIT names no checkout")]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The peer's functions as a module of their own, without its package, which needs a GPU's libraries."""
    found = ["import re", "from typing import Optional"]
    for file in ("vlmeval/smp/misc.py", "vlmeval/dataset/utils/vqa_eval.py"):
        tree = ast.parse((Path(str(CHECKOUT)) / file).read_text())
        found += [ast.unparse(node) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in NAMES]
    path = tmp_path_factory.mktemp("peer") / "peer.py"
    path.write_text("\n\n".join(found))
    spec = importlib.util.spec_from_file_location("peer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(number: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice((" ", "", " - ")).join(rng.choices(PIECES, k=rng.randint(0, 4))) for _ in range(number)]


def differences(ours: Callable[[str, str], object], theirs: Callable[[str, str], object]) -> list[tuple[str, str]]:
    pairs = list(zip(texts(1000, 0), texts(1000, 1), strict=True))
    pairs += [(text, text) for text in texts(1000, 2)]
    return [(said, gold) for said, gold in pairs if ours(said, gold) != theirs(said, gold)]


def test_relaxed_accuracy_is_theirs(peer: ModuleType) -> None:
    assert not differences(
        lambda said, gold: bool(is_relaxed(said, [gold])),
        lambda said, gold: bool(peer.relaxed_correctness(gold, said.strip())),
    )


def test_anls_is_theirs(peer: ModuleType) -> None:
    def theirs(said: str, gold: str) -> float:
        share = 1 - peer.anls_compute(gold, said)
        return 0.0 if share < 0.5 else share

    assert not differences(lambda said, gold: anls(said, [gold]), theirs)


def test_vqa_words_are_theirs(peer: ModuleType) -> None:
    assert not differences(lambda said, gold: vqa_words(said), lambda said, gold: peer.process_answer(said))
    assert vqa_accuracy("two", ["2"] * 4 + ["3"] * 6) == pytest.approx(1.0)
