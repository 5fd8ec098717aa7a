"""Settings of a training run: one field, one flag. A recipe is a YAML file of some of them; flags override it.

Imports no torch, so that `--help` and wrong flags are fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mmcr_dataset.command_flags import parse
from training import foreign_flags

_AT_LEAST_ONE = """
    global_batch_dialogues bin_tokens micro_batch_dialogues max_length_tokens log_every_steps keep_checkpoints
    shuffle_rows tiles_single tiles_multi
    """.split()
_AT_LEAST_ZERO = """
    turns_max image_max_pixels image_min_pixels max_steps skipped_max num_workers weight_decay max_grad_norm seed
    peak_tflops eval_steps eval_replies early_stopping_patience checkpoint_minutes checkpoint_steps lora_rank lora_alpha
    """.split()


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; the defaults are the paper's: batch 1024, one epoch, cosine from 2e-6, no weight decay.

    Attributes:
        model: checkpoint folder, Hub id, or tiny:FAMILY for a small one with random weights.
        revision: commit or tag of the model on the Hub.
        chat_template: Jinja file to train and save instead of the checkpoint's own chat template.
        data: data sets with MMCR rows: folders or Hub ids.
        data_config: default, single or multi.
        data_revision: commit or tag of the data on the Hub.
        data_weights: data mixture: one weight per data set: 1 uses each row once, 0.5 half of the rows, 2 each twice.
        data_caps: maximum number of rows of each data set; 0 for no limit.
        data_temperature: sampling temperature; above 1 flattens the shares of the data sets.
        balance_topics: balance the topics of a data set (round-robin) instead of sampling by frequency.
        dominant_topic: sample rows so that this topic has --dominant_percent of each data set.
        dominant_percent: share of the dominant topic, above 0 and up to 100.
        topic_file: JSON lines of id and topic, instead of the topics of the rows.
        turns_max: truncate dialogues to their first N turns and the images of these; 0 for all turns.
        streaming: stream rows, for data sets too large to index; needs --max_steps.
        shuffle_rows: streaming: size of the shuffle buffer, in rows.
        output_dir: output folder for base/, final/, log.jsonl and loss.png. An earlier run in it is moved to earlier/.
        overwrite_output_dir: delete an earlier run in the output folder instead of moving it.
        freeze: frozen parts, some of vision, connector, language.
        lora_rank: LoRA: train adapters of this rank on the language part instead; 0 trains the weights.
        lora_alpha: LoRA: scale of the adapters; 0 for twice the rank.
        lora_dropout: LoRA: dropout of the adapters' inputs, 0 to below 1.
        lora_targets: LoRA: names of the layers with adapters; all linear layers of the language part if empty.
        merge_adapters: LoRA: final/ is the model with its adapters merged, and they alone in adapters/; false for
            adapters alone.
        quantization: LoRA: load the frozen weights in 4 or 8 bits (bitsandbytes, on a GPU).
        gradient_checkpointing: parts whose activations are recomputed in the backward pass instead of kept in memory;
            vision saves most memory for the least compute.
        global_batch_dialogues: global batch size: dialogues per step over all processes (paper: 1024); gradient
            accumulation follows from it.
        packing: pack whole dialogues into one sequence instead of padding; attention is masked across dialogues.
        bin_tokens: packing: maximum tokens of a packed sequence, the micro-batch of a process.
        micro_batch_dialogues: without packing: micro-batch size per process, in dialogues.
        loss_average: unit that the loss is averaged over, within a step.
        attention: attention implementation of the language part. auto: flash-attn where it is installed, else varlen
            (PyTorch's kernel, without attention across packed dialogues), or sdpa where that can't run.
        train_last_turn_only: loss on the last answer of each dialogue only; `train: false` in a row excludes an answer.
        image_max_pixels: maximum pixels of an image; larger ones are resized. 0 for the checkpoint's own limit.
        image_min_pixels: minimum pixels of an image; smaller ones are resized. 0 for the checkpoint's own limit.
        image_tiling: Ovis2: the checkpoint's own processor, or its authors' tiling for use with the authors' code.
        tiles_single: original tiling: maximum tiles of a single image.
        tiles_multi: original tiling: maximum tiles of each of several images.
        max_length_tokens: maximum length of a dialogue; a longer one, or one longer than a bin, is skipped and logged,
            never truncated.
        skipped_max: abort when more rows than this were skipped.
        eval_percent: percent of the dialogues that are held out and evaluated while training; none of their images is
            in the trained ones. 0 for none.
        eval_data: data sets to evaluate instead; rows of --data that share an image or the text with them are left out.
        eval_steps: steps between evaluations of the held-out dialogues; 0 for one at the end.
        eval_replies: held-out dialogues whose replies are written at each evaluation, with their images; 0 for none.
        load_best_model_at_end: keep a checkpoint of the evaluation with the lowest loss; final/ is that model.
        early_stopping_patience: stop after this many evaluations without a lower loss; 0 for never.
        eval_tasks: benchmarks of each checkpoint: the words after python -m eval_tasks --model hf:CHECKPOINT --tasks.
        epochs: number of epochs (paper: 1).
        max_steps: stop after this many steps; 0 for no limit.
        learning_rate: peak learning rate (paper: 2e-6).
        lr_schedule: learning rate schedule (paper: cosine); its own settings by --lr_scheduler_kwargs JSON.
        warmup_percent: linear warmup, in percent of the steps, 0..100.
        optim: optimizer, by its name in transformers: adamw_torch_fused, adamw_8bit, paged_adamw_8bit, ...
        adam_beta1: decay of the optimizer's first moment.
        adam_beta2: decay of the optimizer's second moment.
        adam_epsilon: added to the optimizer's denominator.
        weight_decay: decoupled weight decay (paper: 0).
        max_grad_norm: gradient clipping norm; 0 for no clipping.
        precision: mixed precision of the compute. Trained weights stay float32, frozen ones have this precision.
            auto: bfloat16 on a GPU that supports it.
        seed: seed of weights, order and sampling.
        num_workers: data loader workers that decode and encode; 0 for the main process.
        checkpoint_minutes: minutes between checkpoints; 0 for none by time.
        checkpoint_steps: steps between checkpoints; 0 for none by steps.
        keep_checkpoints: number of newest checkpoints to keep.
        resume: resume from the newest complete checkpoint of output_dir.
        report_to: experiment tracker to report metrics to.
        push_to: ORG/NAME on the Hub that the trained model is uploaded to, with a model card.
        peak_tflops: peak TFLOPS of one GPU, for MFU; 0 to look it up by the GPU's name.
        dry_run: build everything, show what would be trained, and exit.
        log_every_steps: steps between two lines of log.jsonl, which always has the last step.
        sft_args: NAME=VALUE settings of TRL's SFTConfig, as they are; a flag with such a name goes here.

    Raises:
        ValueError: at construction, if a value is out of its range.
    """

    FOREIGN: ClassVar[frozenset[str]] = foreign_flags.NAMES

    model: str = ""
    revision: str | None = None
    chat_template: str | None = None
    data: list[str] = field(default_factory=lambda: ["mmcr-310k"])
    data_config: str | None = None
    data_revision: str | None = None
    data_weights: list[float] = field(default_factory=list)
    data_caps: list[int] = field(default_factory=list)
    data_temperature: float = 1.0
    balance_topics: bool = False
    dominant_topic: str | None = None
    dominant_percent: float = 80.0
    topic_file: str | None = None
    turns_max: int = 0
    streaming: bool = False
    shuffle_rows: int = 1000
    output_dir: str = "out/train"
    overwrite_output_dir: bool = False
    freeze: list[str] = field(default_factory=list)
    lora_rank: int = 0
    lora_alpha: float = 0.0
    lora_dropout: float = 0.0
    lora_targets: list[str] = field(default_factory=list)
    merge_adapters: bool = True
    quantization: Literal["none", "4bit", "8bit"] = "none"
    gradient_checkpointing: Literal["none", "vision", "all"] = "none"
    global_batch_dialogues: int = 1024
    packing: bool = True
    bin_tokens: int = 16384
    micro_batch_dialogues: int = 1
    loss_average: Literal["token", "dialogue", "square_root"] = "token"
    attention: Literal["auto", "varlen", "sdpa", "eager", "flash_attention_2"] = "auto"
    train_last_turn_only: bool = False
    image_max_pixels: int = 0
    image_min_pixels: int = 0
    image_tiling: Literal["checkpoint", "original"] = "checkpoint"
    tiles_single: int = 9
    tiles_multi: int = 1
    max_length_tokens: int = 16384
    skipped_max: int = 1000
    eval_percent: float = 0.0
    eval_data: list[str] = field(default_factory=list)
    eval_steps: int = 0
    eval_replies: int = 4
    load_best_model_at_end: bool = False
    early_stopping_patience: int = 0
    eval_tasks: str = ""
    epochs: float = 1.0
    max_steps: int = 0
    learning_rate: float = 2e-06
    lr_schedule: Literal[
        "cosine", "linear", "constant", "constant_with_warmup", "polynomial", "cosine_with_restarts",
        "cosine_with_min_lr", "inverse_sqrt", "warmup_stable_decay",
    ] = "cosine"  # fmt: skip
    warmup_percent: float = 0.0
    optim: str = "adamw_torch_fused"
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-08
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = 0
    num_workers: int = 0
    checkpoint_minutes: float = 0.0
    checkpoint_steps: int = 0
    keep_checkpoints: int = 2
    resume: bool = False
    report_to: Literal["none", "trackio", "wandb", "tensorboard"] = "none"
    push_to: str | None = None
    peak_tflops: float = 0.0
    dry_run: bool = False
    log_every_steps: int = 1
    sft_args: list[str] = field(default_factory=list)

    @staticmethod
    def translate(words: list[str]) -> list[str]:
        """The arguments with the names of other trainers replaced by ours."""
        return foreign_flags.translate(words)

    @property
    def length_limit_tokens(self) -> int:
        """Maximum length of a dialogue in tokens: with packing it must fit a bin."""
        return min(self.max_length_tokens, self.bin_tokens) if self.packing else self.max_length_tokens

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("--model is missing: a checkpoint folder, a Hub id (ORG/NAME) or tiny:FAMILY")
        if not self.data:
            raise ValueError("--data is empty: give at least one folder or Hub id")
        self._check_numbers()
        self._check_mixture()
        self._check_evaluation()
        if self.push_to is not None and self.push_to.count("/") != 1:
            raise ValueError(f"--push_to {self.push_to}: expected ORG/NAME")
        for setting in self.sft_args:
            name, equals, _ = setting.partition("=")
            if not equals or name not in foreign_flags.PASSED:
                raise ValueError(
                    f"--sft_args {setting}: expected NAME=VALUE with one of {', '.join(sorted(foreign_flags.PASSED))}"
                )
        unknown = set(self.freeze) - {"vision", "connector", "language"}
        if unknown:
            raise ValueError(f"--freeze {' '.join(sorted(unknown))}: parts are vision, connector and language")
        if len(set(self.freeze)) == 3:
            raise ValueError("--freeze names every part, nothing would train; remove one")
        if self.resume and self.overwrite_output_dir:
            raise ValueError("--resume continues the run that --overwrite_output_dir deletes; omit one")
        if self.lora_rank and self.freeze:
            raise ValueError("--lora_rank trains adapters only, every other part is frozen; omit --freeze")
        if not self.lora_rank and (self.quantization != "none" or not self.merge_adapters or self.lora_targets):
            raise ValueError("--quantization, --merge_adapters false, --lora_targets need --lora_rank")
        if self.quantization != "none" and self.merge_adapters:
            raise ValueError(
                f"--quantization {self.quantization}: adapters can't be merged into quantized weights without loss; "
                "add --merge_adapters false"
            )
        if self.attention == "varlen" and not self.packing:
            raise ValueError("--attention varlen needs --packing true; choose sdpa for padded batches")

    @property
    def evaluates(self) -> bool:
        """Whether dialogues are held out and evaluated."""
        return bool(self.eval_percent or self.eval_data)

    def _check_evaluation(self) -> None:
        if not 0 <= self.eval_percent < 100:
            raise ValueError(f"--eval_percent {self.eval_percent}: expected 0 to below 100")
        if self.eval_percent and self.eval_data:
            raise ValueError("--eval_percent and --eval_data are mutually exclusive; omit one")
        if self.eval_percent and self.streaming:
            raise ValueError("--eval_percent needs an index of the rows, which a stream hasn't; use --eval_data")
        for name in ("eval_steps", "load_best_model_at_end", "early_stopping_patience"):
            if getattr(self, name) and not self.evaluates:
                raise ValueError(f"--{name} needs held-out dialogues: --eval_percent or --eval_data")
        if self.eval_tasks and self.lora_rank:
            raise ValueError("--eval_tasks evaluates checkpoints, which of --lora_rank are adapters; evaluate final/")
        if self.eval_tasks and not (self.checkpoint_steps or self.checkpoint_minutes or self.load_best_model_at_end):
            raise ValueError("--eval_tasks evaluates checkpoints: set --checkpoint_steps or --checkpoint_minutes")

    def _check_mixture(self) -> None:
        for name in ("weights", "caps"):
            values = getattr(self, f"data_{name}")
            if values and len(values) != len(self.data):
                raise ValueError(
                    f"--data_{name}: {len(values)} {name} for {len(self.data)} data sets; give one per set"
                )
            if not all(0 <= value < float("inf") for value in values):
                raise ValueError(f"--data_{name} {values}: expected 0 or more")
        if self.streaming and not self.max_steps:
            raise ValueError("--streaming true: the number of rows is unknown; set --max_steps")
        self._check_topics()
        if self.streaming and (self.balance_topics or self.dominant_topic or self.data_temperature != 1):
            raise ValueError("--streaming true samples by --data_weights alone; omit topics and temperature")
        if self.streaming and self.data_weights and not min(self.data_weights):
            raise ValueError(f"--data_weights {self.data_weights}: omit a set with weight 0 from --data")

    def _check_topics(self) -> None:
        if self.balance_topics and self.dominant_topic is not None:
            raise ValueError("--balance_topics and --dominant_topic are mutually exclusive; omit one")
        if not 0 < self.dominant_percent <= 100:
            raise ValueError(f"--dominant_percent {self.dominant_percent}: expected above 0 and up to 100")
        if self.topic_file is not None and not (self.balance_topics or self.dominant_topic is not None):
            raise ValueError("--topic_file needs --balance_topics or --dominant_topic")

    def _check_numbers(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at least 1")
        for name in _AT_LEAST_ZERO:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} {getattr(self, name)}: expected 0 or more")
        for name in ("learning_rate", "epochs", "data_temperature", "adam_epsilon"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} {getattr(self, name)}: expected a number above 0")
        if 0 < self.image_max_pixels < self.image_min_pixels:
            raise ValueError(f"--image_min_pixels {self.image_min_pixels}: above --image_max_pixels")
        for name in ("lora_dropout", "adam_beta1", "adam_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected 0 to below 1")
        if not 0 <= self.warmup_percent <= 100:
            raise ValueError(f"--warmup_percent {self.warmup_percent}: expected 0 to 100")


def parse_config(argv: Sequence[str]) -> TrainConfig:
    """Parse a command line: defaults, then the recipe of `--config`, then flags.

    Raises:
        ValueError: an unknown field (with suggestions), a value of the wrong type or out of range.
    """
    return parse(TrainConfig, argv, "accelerate launch train.py")
