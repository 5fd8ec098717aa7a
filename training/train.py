"""accelerate launch train.py --config training/recipes/tiny_cpu.yaml [--field value ...]   (the same from training/).

Dialogues -> fine-tuned vision-language model: final/ (model, processor, chat template), log.jsonl and loss.png.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file: the modules beside it are `training.x`, not top-level names
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from training.config import TrainConfig, parse_config


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and train; a wrong setting or input ends with one line and exit code 2."""
    try:
        train(parse_config(argv))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def train(config: TrainConfig) -> Path:
    """Train as the settings say.

    Returns:
        The folder of the finished checkpoint.

    Raises:
        ValueError: a setting, the model or the data can't be used.
    """
    from transformers import PrinterCallback

    from mmcr_dataset.rows import load_rows
    from training.collate import Collator
    from training.encode import Encoder
    from training.families import family_of
    from training.loss_curve import write_loss_curve
    from training.model import load_model
    from training.progress import ShowProgress
    from training.trainable import count_parts, freeze_parts, show_parts
    from training.trainer import DialogueTrainer

    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    log_path = out / "log.jsonl"
    log_path.unlink(missing_ok=True)

    # model
    family = family_of(config.model, config.revision)
    rows = load_rows(config.data[0], config.data_config, revision=config.data_revision)
    model, processor = load_model(config, family, rows)
    freeze_parts(model, family, config.freeze)
    print(show_parts(count_parts(model, family)))

    # data
    encoder = Encoder(processor, config.max_length_tokens)

    # trainer
    trainer = DialogueTrainer(
        model=model,
        processing_class=processor,
        args=to_sft_config(config),
        train_dataset=rows,
        data_collator=Collator(encoder),
        log_path=log_path,
        skipped_max=config.skipped_max,
        callbacks=[ShowProgress()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()

    # result
    final = out / "final"
    trainer.save_model(str(final))
    if trainer.is_world_process_zero():
        processor.save_pretrained(final)
        write_loss_curve(log_path, out / "loss.png", title=f"{config.model} on {' + '.join(config.data)}")
        print(f"{final}: trained on {trainer.trained_tokens:,} tokens; rows skipped: {dict(trainer.skipped) or 0}")
    return final


def to_sft_config(config: TrainConfig) -> Any:
    """Our settings as TRL's."""
    import torch
    from accelerate import PartialState
    from trl import SFTConfig

    gpu = torch.cuda.is_available()
    bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and gpu and torch.cuda.is_bf16_supported())
    num_processes = PartialState().num_processes
    dialogues = config.micro_batch_dialogues * num_processes
    if config.global_batch_dialogues % dialogues:
        raise ValueError(
            f"--global_batch_dialogues {config.global_batch_dialogues} is no multiple of {num_processes} processes x "
            f"--micro_batch_dialogues {config.micro_batch_dialogues}"
        )
    return SFTConfig(
        output_dir=str(Path(config.output_dir) / "checkpoints"),
        per_device_train_batch_size=config.micro_batch_dialogues,
        gradient_accumulation_steps=config.global_batch_dialogues // dialogues,
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
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
        remove_unused_columns=False,
        max_length=None,  # the encoder refuses what is too long; nothing is cut
        assistant_only_loss=True,
    )


if __name__ == "__main__":
    main()
