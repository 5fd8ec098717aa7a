"""TRL's SFTTrainer with a loss that doesn't depend on how a step is cut, and a log of what was trained."""

from __future__ import annotations

import itertools
import json
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

from training.checkpoints import keep_lines_up_to, read_complete, write_complete
from training.collate import SKIPPED, WEIGHTS
from training.config import TrainConfig
from training.steps import StepPlan
from training.varlen import NAME as VARLEN


class _TellEpoch(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Tells the plan which epoch begins; accelerate's wrappers forget it when a run is resumed."""

    def __init__(self, plan: StepPlan) -> None:
        self.plan = plan

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch."""
        self.plan.set_epoch(int(state.epoch or 0))


def model_attention(model: Any) -> str:
    """The attention of a model's language part."""
    return str(model.config.get_text_config()._attn_implementation)


class DialogueTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """Trains on batches of `Collator`; the loss is the mean over the trained tokens of a step, on all processes.

    Raises:
        ValueError: while training, when more than `skipped_max` rows can't be trained.
    """

    def __init__(self, *args: Any, plan: StepPlan, log_path: Path, skipped_max: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plan = plan
        # Qwen-VL says False here, which would make the loss depend on how a step is cut into micro-batches.
        self.model_accepts_loss_kwargs = True
        self.log_path = log_path
        self.skipped_max = skipped_max
        self.skipped: Counter[str] = Counter()
        self.trained_tokens = 0
        self._begin_s = time.perf_counter()
        self.add_callback(_TellEpoch(plan))

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Micro-batches in the order of the plan, shared out to the processes by turns."""
        workers = self.args.dataloader_num_workers
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=self.plan,
            collate_fn=self.data_collator,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory,
            prefetch_factor=2 if workers else None,
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """The micro-batches of a step, and the sum of its loss weights over all processes.

        The skipped rows and the trained tokens are counted on the way.
        """
        batches = list(itertools.islice(epoch_iterator, num_batches))
        for batch in batches:
            self._count_skipped(batch.pop(SKIPPED))
        tokens = sum(int((batch[WEIGHTS][:, 1:] != 0).sum()) for batch in batches)
        weight = sum(float(batch[WEIGHTS][:, 1:].sum(dtype=torch.float64)) for batch in batches)
        sums = self.accelerator.reduce(torch.tensor([tokens, weight], dtype=torch.float64, device=device))
        self.trained_tokens += int(sums[0])
        return batches, sums[1]

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        """Weighted negative log-likelihood of the trained tokens, divided by the weights of the whole step."""
        weights_BT = inputs.pop(WEIGHTS)
        begins = inputs.pop("cu_seq_lens", None)
        if begins is not None and model_attention(self.model) == VARLEN:
            longest = int(begins.diff().max())
            inputs |= {"cu_seq_lens_q": begins, "cu_seq_lens_k": begins}
            inputs |= {"max_length_q": longest, "max_length_k": longest}
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        weighted = -(outputs.log_probs * weights_BT[:, 1:]).sum()
        total = weights_BT.sum() if num_items_in_batch is None else num_items_in_batch
        loss = weighted / total.clamp(min=torch.finfo(torch.float32).tiny).to(weighted.dtype)
        if num_items_in_batch is not None:  # the weights of all processes, over which DDP then takes the mean
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def go_on_from(self, checkpoint: Path) -> None:
        """Train on from a checkpoint, as if the run had never stopped."""
        counts = read_complete(checkpoint)
        self.trained_tokens = counts["trained_tokens"]
        self.skipped = Counter(counts["skipped"])
        self._begin_s -= counts["seconds"]
        keep_lines_up_to(self.log_path, counts["step"])
        self.train(resume_from_checkpoint=str(checkpoint))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                counts = {"step": self.state.global_step, "trained_tokens": self.trained_tokens}
                write_complete(checkpoint, counts | {"skipped": self.skipped, "seconds": self._seconds()})
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"{checkpoint}: could not be written ({error}); make room or choose another --output_dir, then go on "
                "from the last whole checkpoint with --resume true"
            ) from error

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._begin_s, 3)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Show the numbers, and add a line to log.jsonl for each logged step."""
        if "loss" in logs:
            logs["trained_tokens"] = self.trained_tokens
        super().log(logs, start_time)
        if "loss" in logs and self.is_world_process_zero():
            line = {
                "step": self.state.global_step,
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "trained_tokens": self.trained_tokens,
                "seconds": self._seconds(),
            }
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _count_skipped(self, skipped: list[tuple[str, str, str]]) -> None:
        for _, reason, message in skipped:
            self.skipped[reason] += 1
            print(f"skipped {message}")
        if self.skipped.total() > self.skipped_max:
            raise ValueError(
                f"{self.skipped.total()} rows can't be trained ({dict(self.skipped)}), more than --skipped_max "
                f"{self.skipped_max}; mend the data (`python -m mmcr_dataset check`) or raise it"
            )


def to_sft_config(config: TrainConfig, micro_batches: int) -> SFTConfig:
    """Our settings as TRL's.

    Args:
        config: the settings.
        micro_batches: how many a step is cut into, over all processes.
    """
    gpu = torch.cuda.is_available()
    bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and gpu and torch.cuda.is_bf16_supported())
    with warnings.catch_warnings():  # `gradient_checkpointing` is called otherwise in newer transformers
        warnings.simplefilter("ignore", FutureWarning)
        return SFTConfig(
            output_dir=str(Path(config.output_dir) / "checkpoints"),
            gradient_accumulation_steps=micro_batches // PartialState().num_processes,
            accelerator_config={"even_batches": False, "split_batches": False},
            num_train_epochs=config.epochs,
            max_steps=config.max_steps or -1,
            learning_rate=config.learning_rate,
            lr_scheduler_type=config.lr_schedule,
            warmup_steps=config.warmup_percent / 100,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            bf16=bfloat16,
            use_cpu=not gpu,
            dataloader_pin_memory=gpu,
            dataloader_num_workers=config.num_workers,
            gradient_checkpointing=False,
            logging_steps=config.log_every_steps,
            logging_nan_inf_filter=False,
            save_strategy="no",  # SaveEvery asks for them
            save_total_limit=config.keep_checkpoints,
            report_to=config.report_to,
            disable_tqdm=True,
            seed=config.seed,
            data_seed=config.seed,
            remove_unused_columns=False,
            max_length=None,  # the encoder refuses what is too long; nothing is cut
            assistant_only_loss=True,
        )
