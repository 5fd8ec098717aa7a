"""Anchors of a bench: replies that are judged again in every judged run, so that a judge that has changed is noticed.

They are a run in a folder beside the bench (`mmcr-bench.anchors`), which also holds the history of each judge.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmcr_bench.judge.judge import open_judge, show_cost
from mmcr_bench.judge.judge_spec import read_judge_specs
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.judge.spending import current_spending, spending
from mmcr_bench.trust.drift import chart_rows, check_drift, choose_anchors, has_unfinished, measure_shift
from mmcr_bench.trust.runs import TASK, Run, read_run
from mmcr_dataset.endpoint.ledger import Ledger, LedgerTotals
from mmcr_dataset.record.dialogue import Dialogue, to_json
from mmcr_dataset.stage.stages import write_text

SAMPLES_NAME = "samples.jsonl"


def anchors_folder(bench: str) -> Path:
    """The folder of a bench's anchors: beside its folder, in the current one for a Hub id."""
    place = Path(bench) if Path(bench).name not in ("", "..") else Path(bench).resolve()
    return place.with_name(place.name + ".anchors") if place.is_dir() else Path(f"{place.name}.anchors")


def make_anchors(bench: str, run_folder: Path, limit: int) -> tuple[Path, int]:
    """Store replies of a run as the anchors of a bench; returns the folder and their number.

    Args:
        bench: folder or Hub id of the bench.
        run_folder: run on this bench.
        limit: number of dialogues, drawn by a hash of their ids.

    Raises:
        ValueError: the bench has anchors, the run is of another bench, or it has too few answered dialogues.
    """
    folder = anchors_folder(bench)
    if (folder / SAMPLES_NAME).exists():
        raise ValueError(
            f"{folder} holds anchors; a chart needs the same ones always. Move the folder away to begin anew"
        )
    chosen = choose_anchors(read_run(run_folder, bench), limit)
    lines = [
        {"task": TASK, "dialogue": to_json(dialogue), "replies": list(replies), "points": {}}
        for dialogue, replies in chosen
    ]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / SAMPLES_NAME, "".join(json.dumps(line) + "\n" for line in lines))
    return folder, len(lines)


@dataclass(frozen=True, slots=True)
class AnchorWatch:
    """The anchors of a bench in one judged run.

    Attributes:
        bench: folder or Hub id of the bench.
        spec: the judge's spec.
        run_ledger: ledger of the run's judgements.
        anchors: with images for a judge that sees them; None if there are none, or they are not to be judged.
        num_paid: answers in the ledger before the run is judged.
        why_not: why there are no anchors to judge.
    """

    bench: str
    spec: str
    run_ledger: Path
    anchors: Run | None
    num_paid: int
    why_not: str

    def show_cost(self, judge: Judge, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> str:
        """The cost of judging dialogues and anchors, in one statement."""
        if self.anchors is None:
            return show_cost(judge, dialogues, replies)
        cost = show_cost(judge, [*dialogues, *self.anchors.dialogues], [*replies, *self.anchors.replies])
        return f"{cost}; {len(self.anchors.dialogues)} of them are anchors"

    def judge_again(self, former: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Judge the anchors once more, within what the run's limit leaves, and add a point to the judge's chart.

        A check that fails leaves the run's scores alone: why is told, and the next run goes on with it.

        Args:
            former: result of this run with this judge, which stands where the run has asked the judge nothing new.

        Returns:
            For results.json: `in_control` (None for the first check), `shift`, `limit`, `number`, `num_pairs`, `chart`;
            or `why_not_run`.
        """
        if self.anchors is None:
            return {"in_control": None, "why_not_run": self.why_not}
        folder = anchors_folder(self.bench) / _name_of(open_judge(self.spec, self.run_ledger))
        if _count_paid(self.run_ledger) == self.num_paid and not has_unfinished(folder):
            return former or {"in_control": None, "why_not_run": "the ledger had every verdict, nothing was asked"}
        limits = current_spending()
        left = limits.max_cost_usd
        if left is not None:
            left = max(0.0, left - _read_totals(self.run_ledger).usd)
        try:
            with spending(left, limits.allow_unknown_price):
                history = check_drift(folder, self.anchors, len(self.anchors.dialogues), self.spec, says_cost=False)
        except ValueError as error:
            return {"in_control": None, "why_not_run": str(error)}
        shift = measure_shift(history[0], history[-1]) if len(history) > 1 else None
        found: dict[str, Any] = {
            "in_control": None if shift is None else not shift.is_out,
            "number": len(history),
            "num_pairs": len(history[-1].overall) if shift is None else shift.num_pairs,
            "folder": str(folder),
            "chart": chart_rows(history),
        }
        return found if shift is None else found | {"shift": shift.mean, "limit": shift.limit}


def watch_anchors(bench: str, spec: str, run_ledger: Path, *, drift: bool) -> AnchorWatch:
    """The anchors of a bench, before a run is judged.

    Args:
        bench: folder or Hub id of the bench.
        spec: the judge's spec.
        run_ledger: ledger of the run's judgements.
        drift: whether anchors are to be judged.
    """
    folder = anchors_folder(bench)
    if not drift or not (folder / SAMPLES_NAME).is_file():
        how = f"no anchors in {folder}; `python -m mmcr_bench anchors {bench} --run RUN` makes them, once"
        return AnchorWatch(bench, spec, run_ledger, None, 0, how if drift else "--no_drift")
    try:
        anchors = read_run(folder, bench if any(one.images for one in read_judge_specs(spec)) else None)
    except ValueError as error:
        raise ValueError(f"anchors of {bench}: {error}; restore {folder}, or pass --no_drift") from error
    return AnchorWatch(bench, spec, run_ledger, anchors, _count_paid(run_ledger), "")


def _count_paid(ledger: Path) -> int:
    return _read_totals(ledger).num_answered if ledger.is_file() else 0


def _read_totals(path: Path) -> LedgerTotals:
    with Ledger(path) as ledger:
        return ledger.totals()


def _name_of(judge: Judge) -> str:
    """A folder's name of a judge with its settings."""
    settings = hashlib.sha256(json.dumps(judge.describe(), sort_keys=True).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', judge.name)[:60]}_{settings}"
