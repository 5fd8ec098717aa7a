"""accelerate launch train.py --config training/recipes/tiny_cpu.yaml [--field value ...].

Fine-tunes a vision-language model on dialogues; writes final/ (model, processor, chat template), log.jsonl, loss.png.
"""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file: its siblings are `training.x`, not top-level modules
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from mmcr_dataset.command_line import Program, run_program, set_up_logging
from training.config import TrainConfig

log = logging.getLogger("training.train")


PROGRAM = Program(
    name="accelerate launch train.py",
    about="Fine-tune vision-language models on dialogues.",
    commands={},
    extra="train",
    default="training.commands:Train",
)
RECIPES = Path(__file__).parent / "recipes"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and train; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not {"--model", "--config", "-h", "--help"} & {word.partition("=")[0] for word in words}:
        words = ["--config", str(_default_recipe()), *words]
    return run_program(PROGRAM, words)


def _default_recipe() -> Path:
    """Recipe without --model and --config: the paper's smallest model on a GPU, the demo's on a CPU."""
    import torch

    set_up_logging(logging.INFO)
    recipe = RECIPES / ("ovis2_1b.yaml" if torch.cuda.is_available() else "tiny_cpu.yaml")
    log.info("no --model and no --config: using --config %s", recipe)
    return recipe


def train(config: TrainConfig) -> Path:
    """Train a model.

    Returns:
        The folder of the trained model; of a dry run the output folder.

    Raises:
        ValueError: a setting, the model or the data can't be used, the output folder is in use or holds a checkpoint of
            another run, or the loss isn't finite.
    """
    import torch
    from accelerate import PartialState

    from training.run.identity import lock_run

    processes = PartialState(cpu=not torch.cuda.is_available())
    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with lock_run(out):
        return _train(config, out, processes)


def _train(config: TrainConfig, out: Path, processes: Any) -> Path:
    from transformers import EarlyStoppingCallback, PrinterCallback

    from training.data.collate import Collator, check_labels
    from training.data.encode import Encoder
    from training.data.held_out import hold_out
    from training.data.mixture import load_mixture, load_streams, show_mixture, write_mixture_image
    from training.data.packing import rope_of
    from training.data.pixels import PixelLimits, limit_pixels
    from training.data.row_order import first_rows
    from training.data.step_loader import plan_steps
    from training.families import TINY, family_of
    from training.model.flops import count_flops
    from training.model.load import encoding_processor, frozen_dtype, load_model, set_attention
    from training.model.read_family import keep_router_loss, read_model
    from training.model.trainable import add_lora, checkpoint_parts, count_parts, freeze_parts, round_frozen, show_parts
    from training.run.checkpoints import SaveEvery, agree_on_checkpoint, read_complete
    from training.run.dry_run import encode_first_batches, memory_of_step, show_dry_run, write_dry_run
    from training.run.evaluation import FOLDER, Evaluation
    from training.run.final import write_final
    from training.run.identity import begin_run, check_same_run, identify
    from training.run.loss_curve import write_loss_curve
    from training.run.meter import Meter, peak_flops
    from training.run.model_card import run_facts, write_card
    from training.run.progress import ShowProgress
    from training.run.publish import open_repo, publish
    from training.run.ranks import on_first_rank
    from training.run.task_scores import ScoreTasks
    from training.run.token_counts import TokenCounts
    from training.sft_settings import to_sft_config
    from training.trainer import DialogueTrainer

    report = print if config.dry_run else log.info  # of a dry run it is the result
    if config.push_to is not None and not config.dry_run:
        on_first_rank(lambda: open_repo(str(config.push_to)))
    checkpoint = agree_on_checkpoint(out / "checkpoints") if config.resume and not config.dry_run else None

    # model
    family = family_of(config.model, config.revision)
    with processes.main_process_first():  # rank 0 writes the cache, the others read it
        rows, shares = load_streams(config) if config.streaming else load_mixture(config)
        rows, held_out, held_out_note, held_out_digest = hold_out(config, rows, shares)
    model, processor = load_model(config, family, first_rows(rows))
    family = read_model(family, model)
    keep_router_loss(model)
    if config.packing and family.no_packing is not None:
        log.warning("not packed, padded: %s is a %s, %s", config.model, family.model_type, family.no_packing)
        attention = "auto" if config.attention == "varlen" else config.attention
        config = dataclasses.replace(
            config, packing=False, attention=attention, max_length_tokens=config.length_limit_tokens
        )
    if family.alone and config.micro_batch_dialogues > 1:
        log.warning("--micro_batch_dialogues 1: a %s computes a dialogue otherwise in a batch", family.model_type)
        config = dataclasses.replace(config, micro_batch_dialogues=1)
    set_attention(config, model)
    rope = rope_of(model) if config.packing and family.has_m_rope else None
    identity: dict[str, Any] = {}
    if not config.dry_run:
        identity = on_first_rank(lambda: identify(config, model, processor, shares, held_out_digest))
        if checkpoint is None:
            whole = config.merge_adapters or not config.lora_rank
            num_bytes = 4 * sum(parameter.numel() for parameter in model.parameters()) if whole else 0
            on_first_rank(lambda: begin_run(config, identity, num_bytes))
        else:
            found = checkpoint
            on_first_rank(lambda: check_same_run(found, read_complete(found).get("run"), identity))
    if processes.is_main_process:
        report(show_mixture(shares))
        if held_out_note:
            report(held_out_note)
        write_mixture_image(shares, out / "mixture.png")
        if config.model.startswith(TINY):
            model.save_pretrained(out / "base")
            processor.save_pretrained(out / "base")
    freeze_parts(model, family, config.freeze)
    if config.lora_rank:
        model = add_lora(model, family, config)
    round_frozen(model, frozen_dtype(config))
    if config.gradient_checkpointing != "none":
        checkpoint_parts(model, family, ["vision"] if config.gradient_checkpointing == "vision" else list(family.parts))
    counts = count_parts(model, family)
    if processes.is_main_process:
        report(show_parts(counts))

    # data
    limits = limit_pixels(processor, PixelLimits(config.image_min_pixels, config.image_max_pixels))
    encoder = Encoder(
        encoding_processor(config, family, processor), config.length_limit_tokens, family.uint8_pixels, limits
    )
    encoder.check_template(config.train_last_turn_only)
    check_labels(encoder)
    collator = Collator(
        encoder=encoder,
        family=family,
        packing=config.packing,
        rope=rope,
        average=config.loss_average,
        bin_tokens=config.bin_tokens if config.packing else None,
        last_turn_only=config.train_last_turn_only,
    )
    plan = plan_steps(config, rows, collator, processes.num_processes, processes.process_index)
    if processes.is_main_process:
        report(plan.show())

    if config.dry_run:
        first = encode_first_batches(plan, rows, collator)
        if processes.is_main_process:
            memory = memory_of_step(model, first, processor.image_processor, config, processes.num_processes)
            print(show_dry_run(first, memory))
            write_dry_run(out / "dry_run.json", shares, plan.num_steps, first, memory)
        return out

    # trainer
    log_path = out / "log.jsonl"
    meter = Meter(count_flops(model, family), peak_flops(config.peak_tflops), processes.num_processes)
    callbacks = [ShowProgress(), SaveEvery(config.checkpoint_minutes, config.checkpoint_steps)]
    if config.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(config.early_stopping_patience))
    if config.eval_tasks:
        callbacks.append(ScoreTasks(config.eval_tasks, out / FOLDER, meter))
    evaluation = None
    if held_out is not None:
        of_held_out = dataclasses.replace(collator, to_evaluate=True)
        micro = dataclasses.replace(config, global_batch_dialogues=len(held_out))
        eval_plan = plan_steps(micro, held_out, of_held_out, processes.num_processes, processes.process_index)
        evaluation = Evaluation(held_out, eval_plan, of_held_out, out / FOLDER, config.eval_replies)
    trainer = DialogueTrainer(
        model=model,
        processing_class=processor,
        args=to_sft_config(config, plan.num_steps),
        train_dataset=rows.sets[0] if config.streaming else rows,
        eval_dataset=None if held_out is None else held_out.rows,
        data_collator=collator,
        plan=plan,
        log_path=log_path,
        counts=TokenCounts(meter, config.skipped_max),
        keep_checkpoints=config.keep_checkpoints,
        identity=identity,
        evaluation=evaluation,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    if checkpoint is None:
        trainer.train()
    else:
        if processes.is_main_process:
            log.info("resuming from %s", checkpoint)
        trainer.resume_from(checkpoint)

    # result
    did = trainer.show_run()
    trainer.gather_whole()
    adapters = trainer.accelerator.unwrap_model(trainer.model) if config.lora_rank else None

    def save_model(folder: Path) -> None:
        if adapters is None:
            trainer.widen(trainer.model)
        elif config.merge_adapters:  # the result loads like any other checkpoint
            trainer.save_model(str(folder / "adapters"))
            trainer.model = trainer.widen(adapters).merge_and_unload()
        trainer.save_model(str(folder))

    def add_rest(folder: Path) -> None:
        processor.save_pretrained(folder)
        facts = run_facts(dataclasses.asdict(config), family.model_type, shares, did)
        title = f"{facts['model']} on {' + '.join(share['name'] for share in facts['data'])}"
        write_loss_curve(log_path, out / "loss.png", title, None if evaluation is None else evaluation.log_path)
        shutil.copy(out / "loss.png", folder)
        write_card(folder, facts)

    final = write_final(out, save_model, add_rest)
    if trainer.is_world_process_zero():
        print(f"{final}: trained on {did['trained_tokens']:,} tokens; rows skipped: {did['rows_skipped']}")
    if config.push_to is not None:
        url = on_first_rank(lambda: publish(final, str(config.push_to)))
        processes.print(url)
    processes.wait_for_everyone()  # a rank that exits during a collective would make the launcher report a failure
    processes.destroy_process_group()
    return final


if __name__ == "__main__":
    sys.exit(main())
