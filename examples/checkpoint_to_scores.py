"""A checkpoint becomes scores: `python examples/checkpoint_to_scores.py MODEL BENCH OUT`.

MODEL is a folder or Hub id of a vision-language model, BENCH a folder of MMCR-Bench such as `make demo` makes. The
judge is the offline one; name a chat model as `api:URL#MODEL` for a score that means something. Run it again to resume.
"""

from __future__ import annotations

import sys
from pathlib import Path

from eval_tasks.registry import find_tasks, load_task
from eval_tasks.report.tables import run_table
from eval_tasks.run import RunSettings, run


def main(model: str, bench: str, out: str, judge: str = "offline") -> None:
    """Ask, score, and print the table; results.json and samples.jsonl are in OUT."""
    task = load_task(find_tasks()["mmcr_bench"])
    settings = RunSettings(
        model=f"hf:{model}",
        tasks=(task,),
        out=Path(out),
        judge=judge,
        data=(("mmcr_bench", bench),),
        max_new_tokens=64,
    )
    print(run_table(run(settings)))


if __name__ == "__main__":
    main(*sys.argv[1:])
