"""Do two solvers without common code agree on all answers of the controlled world? On a million questions a release.

    python -m benchmarks.exact_agreement --questions 1000000

Dialogues are drawn as `python -m mmcr_bench exact build` draws them, over all domains, sides, operators and wordings,
of 1 to 8 images and 4 to 24 turns, without painting. The second solver reads only the words and the scenes, of the
linked dialogue and of every question with its references resolved. Exit code 1 if an answer differs.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from mmcr_bench.exact.draw import all_facts, draw_script
from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.plan import Frame
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.resolve import solve_in_words
from mmcr_bench.exact.resolve_memory import Unresolved
from mmcr_bench.exact.scene import DOMAINS
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.tellings import linked_text, resolved_text
from mmcr_bench.exact.wording import answer_text
from mmcr_dataset.publish.markdown_table import to_table

_DIALOGUES_A_TASK = 200


class Found(NamedTuple):
    """What the solvers said to some dialogues: questions by operator, and a line for each disagreement."""

    asked: Counter[str]
    disagreements: list[str]


def compare(seed: int, task: int) -> Found:
    """Draw dialogues and solve them twice.

    Args:
        seed: seed of the run.
        task: number of these dialogues.
    """
    quotas, found = Quotas(), Found(Counter(), [])
    for number in range(_DIALOGUES_A_TASK):
        rng = np.random.default_rng([seed, task, number])
        script = draw_script(rng, _draw_frame(rng, number), quotas, lambda _: True)
        if script is None:
            continue
        quotas.add(script, all_facts(script))
        turns = range(len(script.turns))
        _solve(script, [linked_text(script, turn) for turn in turns], list(turns), found)
        for turn in turns:
            _solve(script, [resolved_text(script, turn)], [turn], found)
    return found


def _draw_frame(rng: np.random.Generator, number: int) -> Frame:
    """Every domain in turn; now and then many images or turns."""
    domain = list(DOMAINS.values())[number % len(DOMAINS)]
    return Frame(
        domain=domain,
        side=int(rng.choice(list(domain.cells))),
        num_images=int(rng.integers(1, 9 if number % 7 == 0 else 5)),
        num_turns=int(rng.integers(4, 25 if number % 5 == 0 else 9)),
        held_out=True,
        ops=tuple(OPERATORS),
    )


def _solve(script: Script, texts: list[str], turns: list[int], found: Found) -> None:
    """Count the questions of a telling, and note where the second solver says something else."""
    domain, side = script.domain, script.side
    true = [answer_text(domain, side, script.turns[turn].type, script.answers[turn]) for turn in turns]
    found.asked.update(script.turns[turn].op for turn in turns)
    try:
        second = solve_in_words(domain.name, side, script.scenes.tolist(), texts)
    except Unresolved as error:
        found.disagreements.append(f"{texts}: no single meaning: {error}")
        return
    for text, answer, other in zip(texts, true, second, strict=True):
        if answer != other:
            found.disagreements.append(f"{text!r}: {answer!r}, the second solver says {other!r}")


def main() -> int:
    """Print the table; returns 1 if the solvers disagree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked: Counter[str] = Counter()
    disagreements: list[str] = []
    begin_s = time.monotonic()
    num_workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(num_workers) as pool:
        for first in itertools.count(step=num_workers):
            for found in pool.map(compare, [args.seed] * num_workers, range(first, first + num_workers)):
                asked += found.asked
                disagreements += found.disagreements
            if asked.total() >= args.questions:
                break
            seconds = time.monotonic() - begin_s
            left_s = seconds * (args.questions / asked.total() - 1)
            print(
                f"{asked.total():,} questions, {len(disagreements)} disagreements, {left_s:.0f} s left", file=sys.stderr
            )
    rows = [[op, f"{count:,}"] for op, count in sorted(asked.items(), key=lambda one: -one[1])]
    print(to_table(["operator", "questions"], rows))
    print(*disagreements[:20], sep="\n")
    print(f"{asked.total():,} questions, {len(disagreements)} disagreements, {time.monotonic() - begin_s:.0f} s")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
