"""TRL's SFTTrainer with a loss that is invariant to gradient accumulation, and a log of the trained tokens."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from safetensors import SafetensorError
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback
from trl import SFTTrainer

from training.data.collate import ROWS, WEIGHTS
from training.data.loss_mask import NO_LOSS
from training.data.step_loader import Step, StepLoader
from training.data.steps import StepPlan
from training.model.inputs import has_backbone, to_inputs
from training.run.checkpoints import (
    delete_old_checkpoints,
    find_checkpoint,
    read_complete,
    truncate_log,
    write_complete,
)
from training.run.evaluation import Evaluation
from training.run.ranks import on_first_rank
from training.run.run_log import RunLog
from training.run.token_counts import TokenCounts

_SHOWN_ROWS = 20  # of a micro-batch without a finite loss


class _SeekCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Sets the first step of an epoch in the plan, so that a resumed run skips trained steps."""

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set epoch and step."""
        self.plan.seek(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Correct the number of epochs, which the trainer counts from the resumed step; the last step is logged."""
        control.should_log = control.should_log or control.should_evaluate or state.global_step >= state.max_steps
        if self.plan.num_steps is not None:
            state.epoch = state.global_step / self.plan.num_steps


class DialogueTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """Trains on batches of `Collator`; the loss is the weighted mean over the trained tokens of a step, on all ranks.

    Args:
        *args: arguments of SFTTrainer.
        plan: the batch sampler.
        log_path: log.jsonl of the run.
        counts: of tokens and skipped rows.
        keep_checkpoints: number of newest checkpoints to keep.
        identity: of the run, for its checkpoints.
        evaluation: of the held-out dialogues, None without.
        **kwargs: keyword arguments of SFTTrainer.

    Raises:
        ValueError: while training, when too many rows were skipped, or loss or gradients aren't finite.
    """

    def __init__(
        self,
        *args: Any,
        plan: StepPlan,
        log_path: Path,
        counts: TokenCounts,
        keep_checkpoints: int = 2,
        identity: dict[str, Any] | None = None,
        evaluation: Evaluation | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.keep_checkpoints = keep_checkpoints
        self.identity = identity
        self.evaluation = evaluation
        self.counts = counts
        self.run_log = RunLog(log_path, counts)
        self.plan = plan
        # False for Qwen-VL, which would make the loss depend on how a step is split into micro-batches.
        self.model_accepts_loss_kwargs = True
        self.add_callback(_SeekCallback(plan))

    def get_train_dataloader(self) -> StepLoader:
        """The steps of the plan, each with the micro-batches of this rank."""
        workers, pin = self.args.dataloader_num_workers, self.args.dataloader_pin_memory
        return StepLoader(self.plan, self.train_dataset, self.data_collator, workers, pin)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Step], num_batches: int, device: torch.device
    ) -> tuple[list[Step], None]:
        """One step as one batch of the trainer: the number of micro-batches differs between steps."""
        return list(itertools.islice(epoch_iterator, 1)), None

    def training_step(self, model: Any, inputs: Step, num_items_in_batch: Any = None) -> torch.Tensor:
        """Gradient accumulation over the micro-batches of a step.

        Losses are summed; the gradients are divided by the sum of the loss weights of the step over all ranks.
        """
        deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED
        losses: list[torch.Tensor] = []
        rows: list[list[str]] = []
        batches = self.counts.passing(inputs.batches)
        weight = None
        if deepspeed:  # its gradients can't be scaled afterwards, so the divisor must be known before
            batches = iter(list(batches))
            weight = self.counts.finish_step(self.accelerator)
        for number, batch in enumerate(batches, 1):
            last = number == inputs.num_batches
            rows.append(batch.pop(ROWS))
            self.accelerator.gradient_state._set_sync_gradients(last)
            # without sync FSDP2 would keep unsharded gradients until the last micro-batch
            wait = not (last or deepspeed or self.is_fsdp_enabled)
            with self.accelerator.no_sync(model) if wait else contextlib.nullcontext():
                losses.append(super().training_step(model, batch, weight))
        loss = self._checked(losses, rows)
        if weight is None:
            # DDP and FSDP2 average over the ranks
            factor = self.accelerator.num_processes / max(
                self.counts.finish_step(self.accelerator), torch.finfo(torch.float32).tiny
            )
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
            loss *= factor
        return loss

    def _checked(self, losses: list[torch.Tensor], rows: list[list[str]]) -> torch.Tensor:
        """The sum of the losses of a step's micro-batches.

        Raises:
            ValueError: on all ranks, if one of them isn't finite; with the rows of its micro-batch.
        """
        loss = torch.stack(losses).sum()
        if not self.accelerator.reduce(loss).isfinite():
            values = torch.stack(losses).tolist()
            bad = [id_ for value, ids in zip(values, rows, strict=True) if not math.isfinite(value) for id_ in ids]
            self._stop("the loss", gather_object(bad))
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm, before the optimizer sees the gradients.

        Raises:
            ValueError: it isn't finite.
        """
        norm = super()._get_grad_norm(model, grad_norm)
        if not math.isfinite(float(norm)):
            self._stop("the gradient", [])
        return norm

    def _stop(self, what: str, rows: list[str]) -> None:
        more = f" and {len(rows) - _SHOWN_ROWS} more" if len(rows) > _SHOWN_ROWS else ""
        named = f", in a micro-batch with the rows {' '.join(rows[:_SHOWN_ROWS])}{more}" if rows else ""
        checkpoint = find_checkpoint(Path(self.args.output_dir))
        raise ValueError(
            f"step {self.state.global_step + 1}: {what} is not finite{named}; stopped before the weights were changed "
            f"by it, the newest checkpoint is {checkpoint or 'none'}. Lower --learning_rate or raise --warmup_percent, "
            "remove rows that are damaged, or try --precision float32"
        )

    def floating_point_ops(self, inputs: Step) -> int:
        """Zero: the meter counts FLOPs, since a step isn't the dictionary that the trainer expects."""
        return 0

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: float | None = None,
    ) -> Any:
        """Weighted negative log-likelihood of the trained tokens.

        Args:
            model: the model.
            inputs: a micro-batch.
            return_outputs: also return the model's outputs.
            num_items_in_batch: sum of the loss weights of the step, to divide by; None for the sum of the losses.
        """
        weights_BT = inputs.pop(WEIGHTS)
        inputs = to_inputs(inputs, self.model, self.processing_class.image_processor)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = self._prepare_input(inputs["pixel_values"])
        outputs = self._forward(model, inputs)
        loss = -(outputs.log_probs * weights_BT[:, 1:]).sum()
        if outputs.aux_loss is not None:  # MoE: balances the experts, once for each weight of the step
            loss = loss + self._router_coefficient() * outputs.aux_loss * weights_BT[:, 1:].sum()
        if num_items_in_batch is not None:
            loss = loss * (self.accelerator.num_processes / max(num_items_in_batch, torch.finfo(torch.float32).tiny))
        return (loss, outputs) if return_outputs else loss

    def _forward(self, model: Any, inputs: dict[str, Any]) -> Any:
        """The model's outputs with the log-probability of each token's label [B, T - 1]."""
        if has_backbone(self.accelerator.unwrap_model(model)):
            return model(**inputs, use_cache=False, fused_lm_head=True)
        labels_BT = inputs.pop("labels")
        outputs = model(**inputs, use_cache=False)
        logits_BVT = outputs.logits[:, :-1].float().transpose(1, 2)
        outputs.log_probs = -cross_entropy(logits_BVT, labels_BT[:, 1:], ignore_index=NO_LOSS, reduction="none")
        outputs.aux_loss = None
        return outputs

    def _router_coefficient(self) -> float:
        return float(self.model.config.get_text_config().router_aux_loss_coef)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the held-out dialogues; their time is not the training's."""
        assert self.evaluation is not None, "the settings have no held-out dialogues"
        begin_s = time.perf_counter()
        metrics = self.evaluation.run(self)
        self.log(dict(metrics))
        self.counts.meter.leave_out(time.perf_counter() - begin_s)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _determine_best_metric(self, metrics: Any, trial: Any) -> bool:
        """True also when a checkpoint is due anyway: the trainer then saves if this is true."""
        return bool(super()._determine_best_metric(metrics, trial)) or bool(self.control.should_save)

    def resume_from(self, checkpoint: Path) -> None:
        """Resume from a checkpoint of this run (`check_same_run`), with the results of an uninterrupted run."""
        saved = read_complete(checkpoint)
        self.run_log.resume(saved, self.is_world_process_zero())
        if self.is_world_process_zero() and self.evaluation is not None:
            truncate_log(self.evaluation.log_path, saved["step"])
        self.train(resume_from_checkpoint=str(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        said: str | None = None
        try:
            checkpoint.mkdir(parents=True, exist_ok=True)  # the trainer looks for it before shards are written
            super()._save_checkpoint(model, trial)
        except (OSError, RuntimeError, SafetensorError) as error:
            said = str(error)
        failed = [one for one in gather_object([said]) if one is not None]
        on_first_rank(lambda: self._complete(checkpoint, failed))

    def _complete(self, checkpoint: Path, failed: list[str]) -> None:
        counts = {"step": self.state.global_step, "seconds": self.run_log.seconds, **self.counts.state()}
        try:
            if failed:
                raise OSError(failed[0])
            write_complete(checkpoint, counts | {"run": self.identity})
        except OSError as error:
            raise ValueError(
                f"{checkpoint}: could not be written ({error}); free disk space or choose another --output_dir, then "
                "resume from the last complete checkpoint with --resume true"
            ) from error
        best = self.state.best_model_checkpoint
        delete_old_checkpoints(checkpoint.parent, self.keep_checkpoints, None if best is None else Path(best))

    def gather_whole(self) -> None:
        """Save whole models from now on: under FSDP2 checkpoints are shards."""
        if self.is_fsdp_enabled:
            self.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")

    def widen(self, model: Any) -> Any:
        """The model with frozen weights in float32 again, as trained ones are, to be saved; on the CPU for its room."""
        sharded = self.is_fsdp_enabled or self.accelerator.distributed_type == DistributedType.DEEPSPEED
        if sharded or all(parameter.dtype == torch.float32 for parameter in model.parameters()):
            return model
        self.optimizer = None
        return self.accelerator.unwrap_model(model).to("cpu", torch.float32)

    def show_run(self) -> dict[str, Any]:
        """Results of the run, for the model card.

        Raises:
            ValueError: no token was trained.
        """
        epochs = round(self.state.epoch or 0, 3) if self.plan.num_steps else "streamed"
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        return {
            **self.run_log.results(self.state, epochs, self.args.load_best_model_at_end),
            "hardware": f"{self.accelerator.num_processes} x {device}",
        }

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the metrics, and append a line to log.jsonl for each logged step."""
        measured = self.run_log.measure(self.state) if "loss" in logs else {}
        logs.update(measured)
        super().log(logs, start_time)
        if measured and self.is_world_process_zero():
            self.run_log.write(logs, measured)
