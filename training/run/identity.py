"""What a run is: its weights, rows and settings. A folder holds one run, and only that run resumes from it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from filelock import FileLock, Timeout

from mmcr_dataset.stage.stages import write_text
from training.config import TrainConfig
from training.data.encode import chat_template_of
from training.data.mixture import Share
from training.model.load import compute_dtype
from training.run.ranks import raise_together

log = logging.getLogger(__name__)

_RUN = "run.json"  # the identity of the run that a folder holds
_OF_A_RUN = (
    _RUN,
    "checkpoints",
    "final",
    "final.before",
    "final.unfinished",
    "log.jsonl",
    "loss.png",
    "mixture.png",
    "base",
    "eval",
)
_EARLIER = "earlier"
_SAMPLE = 64  # values of each weight tensor in the digest
# Settings that may differ on resume: the trained dialogues, their order and the loss are the same. Weights and rows are
# compared by their digests, wherever they lie.
MAY_DIFFER = frozenset(
    """
    model revision data data_config data_revision data_weights data_caps data_temperature balance_topics dominant_topic
    dominant_percent topic_file output_dir overwrite_output_dir gradient_checkpointing micro_batch_dialogues attention
    packing bin_tokens skipped_max merge_adapters epochs max_steps num_workers checkpoint_minutes checkpoint_steps
    keep_checkpoints resume report_to push_to peak_tflops dry_run log_every_steps precision eval_percent eval_data
    eval_steps eval_replies load_best_model_at_end early_stopping_patience eval_tasks
    """.split()
)


def identify(
    config: TrainConfig, model: Any, processor: Any, shares: Sequence[Share], held_out: str | None = None
) -> dict[str, Any]:
    """The identity of a run, before its first step: equal for two runs that train the same.

    Args:
        config: the settings.
        model: the model with the weights that it starts from.
        processor: its processor, with the chat template.
        shares: the data sets, with their digests.
        held_out: digest of the held-out rows.
    """
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in MAY_DIFFER}
    settings["max_length_tokens"] = config.length_limit_tokens
    settings["precision"] = str(compute_dtype(config)).removeprefix("torch.")
    if held_out is not None:
        settings["eval_data"] = held_out
    settings["chat_template"] = hashlib.sha256(chat_template_of(processor).encode()).hexdigest()[:12]
    return {
        "settings": settings,
        "end": {"epochs": config.epochs, "max_steps": config.max_steps},
        "model": {"name": config.model, "revision": config.revision, "digest": digest_weights(model)},
        "data": [{"name": s.name, "rows": s.num_rows, "taken": s.num_taken, "digest": s.digest()} for s in shares],
    }


def digest_weights(model: Any) -> str:
    """SHA-256 of the names, shapes and a sample of the values of all weights."""
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        values = weight.detach().reshape(-1)
        sample = values[:: max(1, len(values) // _SAMPLE)].to("cpu", torch.float32)
        found.update(f"{name} {tuple(weight.shape)}".encode() + sample.numpy().tobytes())
    return found.hexdigest()


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two identities differ in, each as `--flag NOW (was BEFORE)`."""
    found = []
    if was["model"]["digest"] != now["model"]["digest"]:
        found.append(f"--model {_show_model(now['model'])} (was {_show_model(was['model'])}, other weights)")
    if [share["digest"] for share in was["data"]] != [share["digest"] for share in now["data"]]:
        found.append(f"--data {_show_data(now['data'])} (was {_show_data(was['data'])}, other rows)")
    for name in sorted(was["settings"].keys() | now["settings"].keys()):
        before, after = was["settings"].get(name), now["settings"].get(name)
        if before != after:
            found.append(f"--{name} {after} (was {before})")
    return found


def _show_model(model: Mapping[str, Any]) -> str:
    return f"{model['name']}@{model['revision']}" if model["revision"] else str(model["name"])


def _show_data(shares: Sequence[Mapping[str, Any]]) -> str:
    return " + ".join(f"{share['taken']:,} rows of {share['name']}" for share in shares)


def check_same_run(checkpoint: Path, was: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Check that a checkpoint is of this run.

    Raises:
        ValueError: it is of another; the message names what differs.
    """
    if was is None:
        log.warning("%s: written by an older version, without its settings; not compared with this run's", checkpoint)
        return
    if found := differences(was, now):
        raise ValueError(
            f"{checkpoint}: of another run: {'; '.join(found)}. Resume with that run's settings, choose another "
            "--output_dir, or omit --resume"
        )
    if was["end"] != now["end"] and now["settings"]["lr_schedule"] != "constant":
        log.warning("the learning rate follows a schedule that ends at %s, not at %s", now["end"], was["end"])


@contextlib.contextmanager
def lock_run(out: Path) -> Iterator[None]:
    """Hold the output folder with rank 0, so that no second run trains in it meanwhile; called on all ranks.

    Raises:
        ValueError: on all ranks, if another run holds it.
    """
    lock = FileLock(out / "run.lock")
    said: str | None = None
    try:
        if PartialState().is_main_process:
            lock.acquire(timeout=0)
    except Timeout:
        said = f"{out}: another process trains in it; stop that or choose another --output_dir"
    raise_together(said)
    try:
        yield
    finally:
        lock.release()


def begin_run(config: TrainConfig, identity: Mapping[str, Any], final_bytes: int) -> None:
    """Make room for a fresh run: an earlier run's files go to `earlier/N`, or with --overwrite_output_dir are deleted.

    Args:
        config: the settings.
        identity: of the new run, which is written to `run.json`.
        final_bytes: size of the trained model on disk.

    Raises:
        ValueError: the model or data of this run are in that folder, or the disk is too full for the trained model.
    """
    out = Path(config.output_dir)
    held = [out / name for name in _OF_A_RUN if (out / name).exists()]
    if any((out / name).exists() for name in ("final", "log.jsonl")) or any((out / "checkpoints").glob("checkpoint-*")):
        for flag, names in (("model", [config.model]), ("data", config.data)):
            for name in names:
                if out.resolve() in Path(name).resolve().parents:
                    raise ValueError(
                        f"--{flag} {name} is in --output_dir {out}, which holds an earlier run; choose another "
                        "--output_dir"
                    )
        if config.overwrite_output_dir:
            if not ((out / _RUN).is_file() or (out / "final" / "training.json").is_file()):
                raise ValueError(
                    f"{out}: wasn't written by a run of this version; move it yourself, nothing is deleted"
                )
            for path in held:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            number = next(number for number in range(1, 10**6) if not (out / _EARLIER / str(number)).exists())
            earlier = out / _EARLIER / str(number)
            earlier.mkdir(parents=True)
            for path in held:
                path.rename(earlier / path.name)
            log.warning("%s held an earlier run: moved to %s (--overwrite_output_dir deletes it)", out, earlier)
    free = shutil.disk_usage(out).free
    if free < final_bytes:
        raise ValueError(
            f"{out}: {free / 1e9:,.1f} GB free, the trained model needs {final_bytes / 1e9:,.1f}; free disk space or "
            "choose another --output_dir"
        )
    write_text(out / _RUN, json.dumps(identity, indent=1) + "\n")
