"""Scorers beside the own functions of lmms-eval and VLMEvalKit on generated replies; nothing of them is copied here.

`PEER_LMMS_EVAL=CHECKOUT PEER_VLMEVALKIT=CHECKOUT python -m pytest -m slow tests/eval_tasks/test_scorer_peers_lmms.py`
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from eval_tasks.tasks.mantis_eval import points as mantis_points
from eval_tasks.tasks.reasonmap_plus import points as map_points
from eval_tasks.tasks.visual_puzzles import read_puzzle

LMMS, VLM = os.environ.get("PEER_LMMS_EVAL"), os.environ.get("PEER_VLMEVALKIT")
pytestmark = [pytest.mark.slow]
needs_lmms = pytest.mark.skipif(not LMMS, reason="PEER_LMMS_EVAL names no checkout")
needs_vlm = pytest.mark.skipif(not VLM, reason="PEER_VLMEVALKIT names no checkout")
PIECES = (
    "A B C D a b Answer: answer: Final The is (A) (B) (c) {B} $C$ B. D) B: x y the answer is Final Answer: 3 12 -4 no"
)
PIECES += " yes True \\boxed{B} \\boxed{\\text{No}} red blue . , \n"
OPTIONS = ["red car", "blue car", "green", "two"]


def replies(number: int) -> list[str]:
    rng, words = random.Random(0), PIECES.split(" ")
    return [" ".join(rng.choices([*words, *OPTIONS], k=rng.randint(0, 7))) for _ in range(number)]


def functions_of(checkout: str | None, file: str, drop: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
    """The names that a peer's file defines, its imports of its own package replaced by what is given."""
    source = (Path(str(checkout)) / file).read_text()
    lines = [line for line in source.splitlines() if not line.startswith(("from vlmeval", "from loguru", *drop))]
    names: dict[str, Any] = {"__name__": "peer", **given}
    exec(compile("\n".join(lines), file, "exec"), names)
    return names


def differences(ours: Callable[[str], object], theirs: Callable[[str], object]) -> list[tuple[str, object, object]]:
    found = [(reply, ours(reply), theirs(reply)) for reply in replies(2000)]
    return [one for one in found if one[1] != one[2]]


@needs_lmms
def test_puzzles_are_read_as_there_but_for_the_random_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = functions_of(LMMS, "lmms_eval/tasks/VisualPuzzles/utils.py")
    monkeypatch.setattr(random, "choice", lambda choices: None)
    options = dict(zip("ABCD", OPTIONS, strict=True))

    def theirs(reply: str) -> str | None:
        said = peer["parse_response"](reply.strip(), list("ABCD"), options)
        return said and str(said).upper()

    assert not differences(lambda reply: read_puzzle(reply, options), theirs)


@needs_lmms
def test_mantis_is_scored_as_there() -> None:
    peer = functions_of(LMMS, "lmms_eval/tasks/mantis/utils.py")
    for kind, gold, golds in (("multi-choice", "(B)", ["B", *OPTIONS]), ("short-answer", "12", ["12"])):

        def theirs(reply: str, kind: str = kind, gold: str = gold) -> float:
            return float(peer["get_prediction"](kind, reply, gold, OPTIONS)["correct"])

        assert not differences(lambda reply, golds=golds: mantis_points(reply, golds), theirs)  # type: ignore[misc]


@needs_vlm
@pytest.mark.parametrize("kind", ["TorF1", "Counting1", "Counting2", "Counting3"])
def test_maps_are_scored_as_there(kind: str) -> None:
    pandas = pytest.importorskip("pandas")
    peer = functions_of(
        VLM, "vlmeval/dataset/reasonmap_plus.py", ImageBaseDataset=object, load=lambda frame: frame.copy()
    )
    answer = 1
    said = replies(2000)
    frame = pandas.DataFrame(
        {"prediction": said, "type": kind, "answer": answer, "difficulty_city": "easy", "index": range(len(said))}
    )
    peer["np"] = SimpleNamespace(mean=np.mean, sum=lambda values: sum(values))  # numpy 2 sums no generator
    theirs = [
        peer["ReasonMap_Plus"].evaluate(None, frame.iloc[place : place + 1])["value"].iloc[0]
        for place in range(0, len(said), 10)
    ]
    ours = [map_points(reply, [kind, str(answer)]) or 0.0 for reply in said[::10]]
    assert [one for one in zip(said[::10], ours, theirs, strict=True) if one[1] != one[2]] == []
