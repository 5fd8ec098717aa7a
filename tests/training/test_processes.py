"""Two processes on the CPU (gloo) train what one process trains, with DDP and with FSDP2."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from tests.local_hub import LocalHub
from tests.training.test_train import ROOT, read_log
from training.families import load_family
from training.model.tiny import dialogue_texts, train_tokenizer


def launch(
    data: Path | str, out: Path, num_processes: int, *more: str, program: str = "train.py", hub_url: str | None = None
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(num_processes),
        "--master_port", str(port),
        program, *(() if "--model" in more else ("--model", "tiny:ovis2")),
        "--data", str(data), "--output_dir", str(out),
        "--global_batch_dialogues", "5", "--bin_tokens", "500", "--learning_rate", "1e-3", "--lr_schedule", "constant",
        "--precision", "float32", *more,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    if hub_url is not None:
        environment |= {"HF_ENDPOINT": hub_url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(out.with_name("hf"))}
    run = subprocess.run(
        command, cwd=ROOT, timeout=500, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert run.returncode == 0, run.stdout
    assert f"over {num_processes} process" in run.stdout


@pytest.fixture
def mixed_folder(tmp_path: Path, dialogues: list[Dialogue]) -> Path:
    """Five dialogues with images and six of words alone: some micro-batches have no image."""
    words = [Dialogue(f"words{n}", (Turn((f"Only words, {n}?",), "Only words."),)) for n in range(6)]
    write_dataset([*dialogues[:5], *words], tmp_path / "mixed")
    return tmp_path / "mixed"


@pytest.mark.slow
@pytest.mark.parametrize("average", ["token", "dialogue"])
def test_two_processes_have_the_losses_and_weights_of_one(average: str, mixed_folder: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        launch(mixed_folder, tmp_path / str(count), count, "--loss_average", average, "--max_steps", "4")
    check_same(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
def test_fsdp2_has_the_losses_and_weights_of_one_process_with_a_stop_between(
    mixed_folder: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    launch(mixed_folder, one, 1, "--max_steps", "4")
    fsdp = functools.partial(launch, mixed_folder, two, 2, program="tests/training/fsdp_on_cpu.py")
    fsdp("--max_steps", "2", "--checkpoint_steps", "2")
    assert any((two / "checkpoints" / "checkpoint-2").glob("pytorch_model_fsdp_0/*.distcp")), "no shards"
    shutil.rmtree(two / "final")
    fsdp("--max_steps", "4", "--resume", "true")
    check_same(one, two)
    model = AutoModelForImageTextToText.from_pretrained(two / "final")
    assert type(model).__name__ == "Ovis2ForConditionalGeneration"


@pytest.mark.slow
def test_fsdp2_shares_out_a_checkpoint(mixed_folder: Path, tmp_path: Path) -> None:
    """With the weights and losses of one process, an evaluation between, and the best checkpoint from its shards."""
    launch(mixed_folder, tmp_path / "start", 1, "--max_steps", "1")
    more = (
        "--model", str(tmp_path / "start" / "final"), "--max_steps", "4", "--eval_percent", "20", "--eval_steps", "2",
        "--eval_replies", "1", "--load_best_model_at_end", "true",
    )  # fmt: skip
    launch(mixed_folder, tmp_path / "1", 1, *more)
    launch(mixed_folder, tmp_path / "2", 2, *more, program="tests/training/fsdp_on_cpu.py")
    check_same(tmp_path / "1", tmp_path / "2")
    first, second = (json.loads((tmp_path / "2" / f"held-{rank}.json").read_text()) for rank in (0, 1))
    assert first["sharded"] + second["sharded"] == pytest.approx(first["whole"], rel=0.02)
    assert second["sharded"] < 0.6 * second["whole"]
    one, two = (
        [json.loads(line) for line in (tmp_path / run / "eval" / "losses.jsonl").read_text().splitlines()]
        for run in ("1", "2")
    )
    assert [line["eval_loss"] for line in two] == pytest.approx([line["eval_loss"] for line in one], abs=1e-5)


def write_wide(folder: Path, texts: list[str]) -> None:
    """A checkpoint in bfloat16 whose weights, 400 MB in float32, outweigh what else a process allocates."""
    family = load_family("qwen2_5_vl")
    tiny, processor = family.to_tiny(train_tokenizer(texts, family))
    tiny.config.text_config.intermediate_size = 90_000
    type(tiny)(tiny.config).to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("adapters", [(), ("--lora_rank", "2")])
def test_fsdp2_reads_a_checkpoint_on_the_first_rank_only(
    adapters: tuple[str, ...], mixed_folder: Path, dialogues: list[Dialogue], tmp_path: Path
) -> None:
    write_wide(tmp_path / "wide", list(dialogue_texts(dialogues)))
    more = ("--model", str(tmp_path / "wide"), "--max_steps", "1", *adapters)
    launch(mixed_folder, tmp_path / "o", 2, *more, program="tests/training/fsdp_on_cpu.py")
    first, second = (json.loads((tmp_path / "o" / f"held-{rank}.json").read_text()) for rank in (0, 1))
    assert first["load"] > 0.9 * first["whole"]
    assert second["load"] < 0.1 * second["whole"]
    assert second["prepare"] < 0.9 * second["whole"]  # its half, and one weight at a time


@pytest.mark.slow
def test_fsdp2_trains_adapters_as_one_process_does(mixed_folder: Path, tmp_path: Path) -> None:
    adapters = ("--lora_rank", "4", "--max_steps", "4", "--checkpoint_steps", "2")
    launch(mixed_folder, tmp_path / "1", 1, *adapters)
    launch(mixed_folder, tmp_path / "2", 2, *adapters, program="tests/training/fsdp_on_cpu.py")
    check_same(tmp_path / "1", tmp_path / "2")
    base, final = (load_file(tmp_path / "2" / name / "model.safetensors") for name in ("base", "final"))
    assert any(not torch.equal(base[name], final[name]) for name in base), "the adapters changed nothing"


@pytest.mark.slow
def test_two_processes_stream_from_the_hub_what_one_process_does(mixed_folder: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        hub.put("tester/mixed", {
            str(path.relative_to(mixed_folder)): path.read_bytes() for path in mixed_folder.rglob("*") if path.is_file()
        })  # fmt: skip
        streaming = ("--streaming", "true", "--max_steps", "4", "--shuffle_rows", "4")
        for count in (1, 2):
            launch("tester/mixed", tmp_path / str(count), count, *streaming, hub_url=hub.url)
    check_same(tmp_path / "1", tmp_path / "2")


def check_same(first: Path, second: Path) -> None:
    """Losses, counts and final weights of two runs."""
    one, two = read_log(first), read_log(second)
    assert len(one) == 4
    assert [line["trained_tokens"] for line in one] == [line["trained_tokens"] for line in two]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    weights = load_file(second / "final" / "model.safetensors")
    for name, value in load_file(first / "final" / "model.safetensors").items():
        assert torch.allclose(value, weights[name], atol=1e-4), name


@pytest.mark.slow
def test_resume_without_a_shared_disk_is_refused_on_every_machine(mixed_folder: Path, tmp_path: Path) -> None:
    """Two processes with output folders of their own: only the first has the checkpoint."""

    def run(steps: int, *more: str) -> list[subprocess.CompletedProcess[str]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        running = []
        for rank in ("0", "1"):
            (tmp_path / rank).mkdir(exist_ok=True)
            environment = os.environ | {
                "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "RANK": rank, "LOCAL_RANK": "0", "PYTHONPATH": str(ROOT),
            }  # fmt: skip
            command = [
                sys.executable, str(ROOT / "train.py"), "--model", "tiny:qwen3_vl", "--data", str(mixed_folder),
                "--output_dir", "out", "--global_batch_dialogues", "5", "--bin_tokens", "500", "--precision", "float32",
                "--epochs", "9", "--max_steps", str(steps), "--checkpoint_steps", "2", *more,
            ]  # fmt: skip
            running.append(
                subprocess.Popen(
                    command,
                    cwd=tmp_path / rank,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        said = [process.communicate(timeout=300) for process in running]
        return [
            subprocess.CompletedProcess([], process.returncode, out, err)
            for process, (out, err) in zip(running, said, strict=True)
        ]

    assert [done.returncode for done in run(2)] == [0, 0]
    refused = run(4, "--resume")
    assert [done.returncode for done in refused] == [2, 2]
    for done in refused:
        assert "checkpoint-2: on the first machine, but not on" in done.stderr
        assert "put it on a shared disk" in done.stderr
