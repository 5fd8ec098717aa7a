"""Evaluation while training: loss of the held-out dialogues, by turn and by domain, and replies to some of them.

Shapes: B rows of a micro-batch, T tokens.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object

from training.data.collate import DIALOGUES, DOMAINS, REAL_TOKENS, ROWS, SKIPPED, TURNS, Collator
from training.data.held_out import EvalRows
from training.data.step_loader import StepLoader
from training.data.steps import StepPlan
from training.run.replies import write_replies

log = logging.getLogger(__name__)

LOSS = "eval_loss"
FOLDER = "eval"  # of a run's output, with losses.jsonl and the replies

Sums = Counter[str]  # by what is measured, and its number of tokens under "name #"


@dataclass(frozen=True)
class Evaluation:
    """The held-out dialogues of a run and how they are evaluated.

    Attributes:
        rows: the held-out rows.
        plan: their micro-batches on this rank.
        collator: makes batches with turns and domains.
        folder: for losses.jsonl and the replies.
        num_replies: dialogues that are replied to.
    """

    rows: EvalRows
    plan: StepPlan
    collator: Collator
    folder: Path
    num_replies: int

    @property
    def log_path(self) -> Path:
        """A line of losses for each evaluation."""
        return self.folder / "losses.jsonl"

    def run(self, trainer: Any) -> dict[str, float]:
        """Evaluate the trainer's model on all ranks, and write the results on rank 0.

        Returns:
            `eval_loss` per trained token, and of each `/turn/NUMBER` and `/domain/NAME`.

        Raises:
            ValueError: no held-out dialogue can be encoded.
        """
        was_training = trainer.model.training
        trainer.model.eval()
        found = Counter[str]()
        skipped: list[tuple[str, str, str]] = []
        for batch in self._batches(trainer):
            skipped += batch.pop(SKIPPED)
            found.update(_losses(trainer, batch))
        sums = Counter[str]()
        for of_rank in gather_object([found]):
            sums.update(of_rank)  # `+` would drop a loss of 0
        reasons = Counter(reason for _, reason, _ in gather_object(skipped))
        if not sums[f"{LOSS} #"]:
            raise ValueError(f"no held-out dialogue can be evaluated; skipped: {dict(reasons)}")
        metrics = {name: total / sums[f"{name} #"] for name, total in sorted(sums.items()) if not name.endswith(" #")}
        self._tell(trainer, metrics, reasons)
        if self.num_replies:
            write_replies(trainer, self.rows, self.collator.encoder, self.num_replies, self.folder)
        trainer.model.train(was_training)
        return metrics

    def _batches(self, trainer: Any) -> Iterator[dict[str, Any]]:
        workers, pin = trainer.args.dataloader_num_workers, trainer.args.dataloader_pin_memory
        for step in StepLoader(self.plan, self.rows, self.collator, workers, pin):
            yield from step.batches

    def _tell(self, trainer: Any, metrics: dict[str, float], reasons: Counter[str]) -> None:
        if not trainer.is_world_process_zero():
            return
        turns = [f"{metrics[name]:.4f}" for name in sorted(metrics, key=_number) if name.startswith(f"{LOSS}/turn/")]
        step = trainer.state.global_step
        more = f"; skipped: {dict(reasons)}" if reasons else ""
        log.info("step %d  %s %.4f, by turn %s%s", step, LOSS, metrics[LOSS], " ".join(turns), more)
        line = {"step": step, "trained_tokens": trainer.counts.trained_tokens, **metrics, "skipped": reasons}
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _number(name: str) -> int:
    last = name.rpartition("/")[2]
    return int(last) if last.isdecimal() else 0


def _losses(trainer: Any, batch: dict[str, Any]) -> Sums:
    """Sums of the losses of a micro-batch, and numbers of tokens."""
    del batch[REAL_TOKENS], batch[ROWS]
    turns_BT, dialogues_BT, domains = batch.pop(TURNS)[:, 1:], batch.pop(DIALOGUES)[:, 1:], batch.pop(DOMAINS)
    with torch.no_grad(), trainer.compute_loss_context_manager():
        _, outputs = trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch), return_outputs=True)
    losses_BT = -outputs.log_probs.to("cpu", torch.float64)
    found = Counter[str]()
    width = int(turns_BT.max()) + 1
    places_BT = dialogues_BT * width + turns_BT
    counts = places_BT[turns_BT > 0].bincount()
    totals = places_BT[turns_BT > 0].bincount(losses_BT[turns_BT > 0])
    for place, (total, count) in enumerate(zip(totals.tolist(), counts.tolist(), strict=True)):
        dialogue, turn = divmod(place, width)
        if not count:
            continue
        for name in (LOSS, f"{LOSS}/turn/{turn}", f"{LOSS}/domain/{domains[dialogue]}"):
            found[name] += total
            found[f"{name} #"] += count
    return found
