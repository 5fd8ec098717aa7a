from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from mmcr_dataset.command_flags import read_recipe
from tests.training.test_train import ROOT, read_log, settings
from training.config import parse_config
from training.families import family_names, load_family
from training.train import train

RECIPES = sorted((ROOT / "training" / "recipes").glob("*.yaml"))
PAPER = ["ovis2_1b", "ovis2_4b", "ovis2_8b", "qwen2_5_vl_3b"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe_dry_run_says_what_would_be_trained_and_trains_nothing(
    recipe: Path, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe's own settings on a tiny model of its family, for there is no Hub here."""
    model = str(read_recipe(recipe)["model"])
    family = "ovis2" if "ovis2" in model.lower() else "qwen2_5_vl"
    config = parse_config(
        ["--config", str(recipe), "--model", f"tiny:{family}", "--data", str(data_folder),
         "--output_dir", str(tmp_path), "--num_workers", "0", "--dry_run", "true"]
    )  # fmt: skip
    train(config)
    said = capsys.readouterr().out
    for words in ("language", "tokens a step", "memory", "8 dialogues: ", "nothing was trained"):
        assert words in said
    assert not (tmp_path / "final").exists()


@pytest.mark.parametrize("name", PAPER)
def test_recipe_of_the_paper_has_its_settings(name: str) -> None:
    config = parse_config(["--config", str(ROOT / "training" / "recipes" / f"{name}.yaml")])
    assert (config.global_batch_dialogues, config.epochs, config.lr_schedule) == (1024, 1.0, "cosine")
    assert (config.learning_rate, config.weight_decay, config.freeze, config.lora_rank) == (2e-6, 0.0, [], 0)


LAUNCH_FILES = sorted((ROOT / "training" / "launch").glob("*.yaml"))


@pytest.mark.parametrize("path", LAUNCH_FILES, ids=[path.stem for path in LAUNCH_FILES])
def test_launch_file_is_one_that_accelerate_takes(path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    config = ClusterConfig.from_yaml_file(str(path))
    assert config.num_machines == (2 if path.stem in ("hsdp", "ddp_nodes") else 1)
    words = ["--config_file", str(path), "--machine_rank", "0", "--main_process_ip", "127.0.0.1", "train.py"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    if path.stem == "hsdp":
        assert args.use_parallelism_config
        sizes = (args.parallelism_config_dp_replicate_size, args.parallelism_config_dp_shard_size)
        assert sizes == (2, 8)
        assert args.num_processes == 16
    assert set(yaml.safe_load(path.read_text())) <= set(ClusterConfig.__dataclass_fields__)


def test_lora_trains_adapters_and_its_result_is_a_whole_model(data_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    final = train(settings(data_folder, out, lora_rank=4, max_steps=2, learning_rate=1e-2))
    before, after = load_file(out / "base" / "model.safetensors"), load_file(final / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed
    assert all(name.endswith("_proj.weight") and name.startswith("model.language_model.") for name in changed)


def test_lora_leaves_adapters_that_load_on_the_base_like_the_merged_model(data_folder: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    train(settings(data_folder, tmp_path / "start", dry_run=True))
    base = tmp_path / "start" / "base"
    lora = {"model": str(base), "lora_rank": 4, "lora_alpha": 2, "lora_targets": ["q_proj"], "max_steps": 2}
    final = train(settings(data_folder, tmp_path / "merged", learning_rate=1e-2, **lora))
    alone = train(settings(data_folder, tmp_path / "alone", learning_rate=1e-2, merge_adapters=False, **lora))
    merged = AutoModelForImageTextToText.from_pretrained(final)
    ids = torch.arange(20, 40)[None]
    for folder in (final / "adapters", alone):
        model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), folder)
        assert torch.allclose(model(input_ids=ids).logits, merged(input_ids=ids).logits, atol=1e-5)
    assert not (alone / "model.safetensors").exists()
    before, after = load_file(base / "model.safetensors"), load_file(final / "model.safetensors")
    assert {name.split(".")[-2] for name in before if not before[name].equal(after[name])} == {"q_proj"}
    with pytest.raises(ValueError, match="--lora_targets eyes: the linear layers are "):
        train(settings(data_folder, tmp_path / "x", **lora | {"lora_targets": ["eyes"]}))


def test_frozen_weights_have_the_precision_of_the_compute_and_the_result_is_float32(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    from training.trainer import DialogueTrainer

    kinds: set[tuple[bool, torch.dtype]] = set()
    plain = DialogueTrainer.__init__

    def begin(self: DialogueTrainer, *args: object, **more: object) -> None:
        kinds.update((p.requires_grad, p.dtype) for p in more["model"].parameters())  # type: ignore[attr-defined]
        plain(self, *args, **more)

    monkeypatch.setattr(DialogueTrainer, "__init__", begin)
    train(settings(data_folder, tmp_path / "start", dry_run=True))
    base = {"model": str(tmp_path / "start" / "base")}
    for name, changed in (("freeze", {"freeze": ["vision"]}), ("lora", {"lora_rank": 4})):
        final = train(settings(data_folder, tmp_path / name, precision="bfloat16", max_steps=1, **base, **changed))
        assert "are rounded from torch.float32 to torch.bfloat16, in final/ too" in caplog.text
        caplog.clear()
        assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
        assert {value.dtype for value in load_file(final / "model.safetensors").values()} == {torch.float32}


@pytest.mark.parametrize("gradient_checkpointing", ["vision", "all"])
def test_recompute_changes_no_loss(gradient_checkpointing: str, data_folder: Path, tmp_path: Path) -> None:
    for name, what in (("kept", "none"), ("again", gradient_checkpointing)):
        train(settings(data_folder, tmp_path / name, max_steps=2, gradient_checkpointing=what))
    kept, again = (read_log(tmp_path / name) for name in ("kept", "again"))
    assert [line["loss"] for line in kept] == pytest.approx([line["loss"] for line in again], abs=1e-6)


@pytest.mark.parametrize("family", family_names())
def test_recompute_vision_leaves_the_language_layers_as_they_are(family: str, build_family) -> None:  # type: ignore[no-untyped-def]
    from training.model.trainable import checkpoint_parts

    model, _ = build_family(family)
    checkpoint_parts(model, load_family(family), ["vision"])
    layers = {
        name: m.gradient_checkpointing for name, m in model.named_modules() if hasattr(m, "gradient_checkpointing")
    }
    vision = load_family(family).parts["vision"]
    assert any(again for name, again in layers.items() if name.startswith(vision))
    assert not any(again for name, again in layers.items() if not name.startswith(tuple(p.rstrip(".") for p in vision)))


@pytest.mark.parametrize("family", family_names())
def test_parts_of_a_family_name_every_parameter(family: str, build_family) -> None:  # type: ignore[no-untyped-def]
    from training.model.trainable import count_parts

    model, _ = build_family(family)
    assert {count.part for count in count_parts(model, load_family(family))} == {"vision", "connector", "language"}
