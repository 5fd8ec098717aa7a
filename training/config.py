"""Every setting of a training run: one field, one flag. A recipe is a YAML file of some of them; flags win over it.

Light on purpose: `--help` and a wrong flag answer before torch is imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def _setting(default: Any, text: str) -> Any:
    """A field with its line in `--help`."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; the defaults are the paper's (batch 1024, one epoch, cosine from 2e-6, no weight decay).

    Raises:
        ValueError: at construction, if a value is out of its range.
    """

    model: str = _setting("", "checkpoint folder, Hub id, or tiny:FAMILY for a small one with random weights")
    revision: str | None = _setting(None, "commit or tag of the model on the Hub")
    data: list[str] = field(
        default_factory=lambda: ["mmcr-310k"],
        metadata={"help": "data sets in the MMCR row form: folders or Hub ids"},
    )
    data_config: str | None = _setting(None, "default, single or multi")
    data_revision: str | None = _setting(None, "commit or tag of the data on the Hub")
    data_weights: list[float] = field(
        default_factory=list, metadata={"help": "one a data set: 1 takes each row once, 0.5 half of them, 2 each twice"}
    )
    data_caps: list[int] = field(
        default_factory=list, metadata={"help": "one a data set: at most so many rows; 0 for no cap"}
    )
    data_temperature: float = _setting(1.0, "above 1 brings the shares of the data sets closer to each other")
    balance_topics: bool = _setting(False, "draw the topics of a set in turn instead of by their size")
    dominant_topic: str | None = _setting(None, "draw so that this topic has --dominant_percent of each set's rows")
    dominant_percent: float = _setting(80.0, "share of the dominant topic, above 0 and up to 100")
    topic_file: str | None = _setting(None, "JSON lines of id and topic, instead of the topics that the rows carry")
    turns_max: int = _setting(0, "train on the first so many turns of a dialogue and their images; 0 for all")
    streaming: bool = _setting(False, "read rows as they come, for sets too large to index; needs --max_steps")
    shuffle_rows: int = _setting(1000, "streaming: rows held at once to shuffle them")
    output_dir: str = _setting("out/train", "where base/, final/, log.jsonl and loss.png go")
    freeze: list[str] = field(
        default_factory=list, metadata={"help": "parts that don't train: vision, connector, language"}
    )
    lora_rank: int = _setting(0, "train adapters of this rank on the language part instead; 0 trains the weights")
    recompute: Literal["none", "vision", "all"] = _setting(
        "none", "activations that are computed again instead of kept; vision first saves most for least"
    )
    global_batch_dialogues: int = _setting(1024, "dialogues a step, over all processes (paper: 1024)")
    packing: bool = _setting(True, "lay whole dialogues side by side instead of padding them")
    bin_tokens: int = _setting(16384, "packing: a process never holds more tokens than this at once")
    micro_batch_dialogues: int = _setting(1, "no packing: dialogues a process holds at once")
    loss_average: Literal["token", "dialogue", "square_root"] = _setting(
        "token", "what the loss is a mean over, of the whole step"
    )
    attention: Literal["varlen", "sdpa", "eager", "flash_attention_2"] = _setting(
        "varlen", "of the language part; varlen skips what lies between packed dialogues"
    )
    image_tiling: Literal["checkpoint", "original"] = _setting(
        "checkpoint", "Ovis2: the checkpoint's own processor, or its authors' tiling for use with the authors' code"
    )
    tiles_single: int = _setting(9, "original tiling: at most so many tiles for a lone image")
    tiles_multi: int = _setting(1, "original tiling: at most so many tiles each for several images")
    max_length_tokens: int = _setting(
        16384, "a longer dialogue, or one longer than a bin, is refused by name and counted, never cut"
    )
    skipped_max: int = _setting(1000, "the run stops when more rows than this can't be trained")
    epochs: float = _setting(1.0, "passes over the data (paper: 1)")
    max_steps: int = _setting(0, "stop after this many steps; 0 for none")
    learning_rate: float = _setting(2e-6, "peak learning rate (paper: 2e-6)")
    lr_schedule: Literal["cosine", "linear", "constant"] = _setting("cosine", "how it falls (paper: cosine)")
    warmup_percent: float = _setting(0.0, "share of the steps over which it rises first, 0..100")
    weight_decay: float = _setting(0.0, "decoupled weight decay (paper: 0)")
    max_grad_norm: float = _setting(1.0, "gradients are scaled down to this norm; 0 for never")
    precision: Literal["auto", "float32", "bfloat16"] = _setting(
        "auto", "of the arithmetic; weights stay float32. auto: bfloat16 on a GPU that has it"
    )
    seed: int = _setting(0, "of weights, order and sampling")
    num_workers: int = _setting(0, "processes that decode and encode; 0 does it in the main one")
    checkpoint_minutes: float = _setting(0.0, "minutes between two checkpoints; 0 for none by the clock")
    checkpoint_steps: int = _setting(0, "steps between two checkpoints; 0 for none by steps")
    keep_checkpoints: int = _setting(2, "older ones are removed")
    resume: bool = _setting(False, "go on from the newest whole checkpoint of output_dir")
    report_to: Literal["none", "trackio", "wandb", "tensorboard"] = _setting("none", "where curves are sent, too")
    push_to: str | None = _setting(None, "ORG/NAME on the Hub that the finished model is uploaded to, with a card")
    peak_tflops: float = _setting(0.0, "of one GPU, to tell how much of it is used; 0 goes by the card's name")
    dry_run: bool = _setting(False, "build everything, say what would be trained, and stop")
    log_every_steps: int = _setting(1, "steps between two lines of log.jsonl")

    @property
    def length_limit_tokens(self) -> int:
        """What a dialogue may have: with packing it must fit a bin."""
        return min(self.max_length_tokens, self.bin_tokens) if self.packing else self.max_length_tokens

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("--model is missing: a checkpoint folder, a Hub id (ORG/NAME) or tiny:FAMILY")
        if not self.data:
            raise ValueError("--data is empty: name at least one folder or Hub id")
        self._check_numbers()
        self._check_mixture()
        if self.push_to is not None and self.push_to.count("/") != 1:
            raise ValueError(f"--push_to {self.push_to}: expected ORG/NAME")
        unknown = set(self.freeze) - {"vision", "connector", "language"}
        if unknown:
            raise ValueError(f"--freeze {' '.join(sorted(unknown))}: parts are vision, connector and language")
        if len(set(self.freeze)) == 3:
            raise ValueError("--freeze names every part, nothing would train; leave one out")
        if self.lora_rank and self.freeze:
            raise ValueError("--lora_rank trains adapters only, every other part is frozen; leave --freeze out")
        if self.attention == "varlen" and not self.packing:
            raise ValueError("--attention varlen needs --packing true; choose sdpa for padded batches")

    def _check_mixture(self) -> None:
        for name in ("weights", "caps"):
            values = getattr(self, f"data_{name}")
            if values and len(values) != len(self.data):
                raise ValueError(f"--data_{name}: {len(values)} {name} for {len(self.data)} data sets; give one a set")
            if any(value < 0 for value in values):
                raise ValueError(f"--data_{name} {values}: expected 0 or more")
        if self.streaming and not self.max_steps:
            raise ValueError("--streaming true: nobody knows how many rows will come; say --max_steps")
        self._check_topics()
        if self.streaming and (self.balance_topics or self.dominant_topic or self.data_temperature != 1):
            raise ValueError("--streaming true draws by --data_weights alone; leave topics and temperature out")
        if self.streaming and self.data_weights and not min(self.data_weights):
            raise ValueError(f"--data_weights {self.data_weights}: leave a set that gives nothing out of --data")

    def _check_topics(self) -> None:
        if self.balance_topics and self.dominant_topic is not None:
            raise ValueError("--balance_topics and --dominant_topic exclude each other; leave one out")
        if not 0 < self.dominant_percent <= 100:
            raise ValueError(f"--dominant_percent {self.dominant_percent}: expected above 0 and up to 100")
        if self.topic_file is not None and not (self.balance_topics or self.dominant_topic is not None):
            raise ValueError("--topic_file is for --balance_topics and --dominant_topic; name one of them")

    def _check_numbers(self) -> None:
        at_least_one = ("global_batch_dialogues", "bin_tokens", "micro_batch_dialogues", "max_length_tokens")
        for name in (
            *at_least_one,
            "log_every_steps",
            "keep_checkpoints",
            "shuffle_rows",
            "tiles_single",
            "tiles_multi",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} {getattr(self, name)}: expected at least 1")
        at_least_zero = (
            "turns_max",
            "max_steps",
            "skipped_max",
            "num_workers",
            "weight_decay",
            "max_grad_norm",
            "seed",
            "peak_tflops",
        )
        for name in (*at_least_zero, "checkpoint_minutes", "checkpoint_steps", "lora_rank"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} {getattr(self, name)}: expected 0 or more")
        for name in ("learning_rate", "epochs", "data_temperature"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"--{name} {getattr(self, name)}: expected a number above 0")
        if not 0 <= self.warmup_percent <= 100:
            raise ValueError(f"--warmup_percent {self.warmup_percent}: expected 0 to 100")


def parse_config(argv: Sequence[str] | None = None) -> TrainConfig:
    """The settings of a command line: defaults, then the recipe of `--config`, then flags.

    Raises:
        ValueError: an unknown field (answered with near names), a value of the wrong kind or out of range.
    """
    parser = argparse.ArgumentParser(
        prog="accelerate launch train.py", description="Fine-tune a vision-language model on dialogues.",
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--config", metavar="RECIPE", help="YAML file of these fields; flags win over it")
    kinds = typing.get_type_hints(TrainConfig)
    for setting in dataclasses.fields(TrainConfig):
        factory = setting.default_factory
        default = setting.default if factory is dataclasses.MISSING else factory()
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        parser.add_argument(
            f"--{setting.name}",
            nargs="*" if get_origin(kinds[setting.name]) is list else None,
            metavar=_kind_name(kinds[setting.name]),
            default=argparse.SUPPRESS,
            help=f"{setting.metadata['help']} (default: {shown if shown not in (None, '') else 'none'})",
        )
    known, rest = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    if rest:
        raise ValueError(f"{rest[0]}: no such field{_near(rest[0].lstrip('-').split('=')[0])}; see --help")
    given = vars(known)
    recipe = given.pop("config")
    values = read_recipe(Path(recipe)) if recipe else {}
    values |= {name: _to_kind(f"--{name}", value, kinds[name]) for name, value in given.items()}
    return TrainConfig(**values)


def read_recipe(path: Path) -> dict[str, Any]:
    """The fields a recipe sets.

    Raises:
        ValueError: no such file, not YAML, an unknown field, a value of the wrong kind.
    """
    import yaml

    if not path.is_file():
        raise ValueError(f"{path}: no such recipe; the ones that come with the project are in training/recipes/")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected lines of `field: value`, got a {type(values).__name__}")
    kinds = typing.get_type_hints(TrainConfig)
    for name in values:
        if name not in kinds:
            raise ValueError(f"{path}: {name}: no such field{_near(str(name))}; see --help")
    return {name: _to_kind(f"{path}: {name}", value, kinds[name]) for name, value in values.items()}


def _near(name: str) -> str:
    names = [setting.name for setting in dataclasses.fields(TrainConfig)]
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _kind_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if get_origin(kind) is list:
        return _kind_name(get_args(kind)[0])
    inner = next((part for part in get_args(kind) if part is not type(None)), kind)
    return {str: "TEXT", int: "N", float: "X", bool: "true|false"}[inner]


def _to_kind(place: str, value: Any, kind: Any) -> Any:
    """A value of a recipe or the command line as its field wants it."""
    if get_origin(kind) is list:
        items = value if isinstance(value, list) else [value]
        return [_to_kind(place, item, get_args(kind)[0]) for item in items]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{place} {value}: expected one of {', '.join(get_args(kind))}")
        return value
    optional = type(None) in get_args(kind)
    if optional and value in (None, "none"):
        return None
    inner = next((part for part in get_args(kind) if part is not type(None)), kind)
    try:
        if inner is bool:
            return _to_bool(value)
        if inner is int and isinstance(value, bool | float):
            raise ValueError
        return inner(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{place} {value}: expected {_kind_name(kind)}") from error


def _to_bool(value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise ValueError
    return text in _TRUE
