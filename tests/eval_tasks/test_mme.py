"""MME: the published score of published replies, under each harness's reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval_tasks.task import Scored
from eval_tasks.tasks import mme


@pytest.mark.parametrize(
    ("rules", "perception", "cognition"),
    [("official", 963.6114, 249.6429), ("lmms-eval@0.7", 963.6114, 249.6429), ("vlmevalkit@2025-03", 963.61, 248.93)],
)
def test_lavin_published_replies_give_the_published_scores(
    parity: Path, rules: str, perception: float, cognition: float
) -> None:
    scored = []
    for number, (row, reply) in enumerate(mme.read_folder(parity / "mme" / "LaVIN")):
        sample = mme.to_sample(row, rules, number)
        scored.append(Scored(sample, (reply,), mme.score(sample, [reply], rules, None)))
    totals = mme.totals(scored, rules)
    assert totals["perception"].value == pytest.approx(perception, abs=5e-3)
    assert totals["cognition"].value == pytest.approx(cognition, abs=5e-3)
    assert totals["score"].value == pytest.approx(perception + cognition, abs=1e-2)
