"""The frozen list of flags: a new or renamed flag is a decision, so it changes this file too."""

from __future__ import annotations

import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmcr_dataset.command_flags import ALIASES, OLD_FLAGS, flags_of
from mmcr_dataset.command_line import Commands
from tests.training.test_config import FLAGS as TRAINING

ROOT = Path(__file__).resolve().parents[1]
FLAGS = {
    "mmcr_dataset build": "source columns output_dir single multi seed licence filter similarity_min keep_rate keep "
    "image_shares rule evaluation_set estimate writer temperature max_tokens max_side_px detail "
    "attempts writers endpoint max_in_flight max_cost_usd request_timeout_s any_language "
    "max_probability min_probability fetch_in_flight fetch_per_host fetch_attempts "
    "fetch_timeout_s fetch_opt_outs allow_loopback engine ranks slurm_partition slurm_time slurm_account "
    "slurm_qos slurm_environment slurm_requeue slurm_dry_run slurm_attempts reencode recipe embedder text_weight "
    "cluster_method cluster_distance same_distance cluster_images_min cluster_images_max images_a_page",
    "mmcr_dataset describe": "tokenizer count_as",
    "mmcr_dataset check": "collate",
    "mmcr_dataset publish": "push_to private revision pr allow_offline force squash_history gated collate",
    "mmcr_dataset remove": "ids url_pattern owner images reason purge",
    "mmcr_dataset import": "images output_dir licence",
    "mmcr_dataset join": "output_dir evaluation_set",
    "mmcr_dataset label": "pairs seed kind person serve port",
    "mmcr_dataset contamination": "with bits html remove",
    "mmcr_dataset ledger": "output_file",
    "mmcr_bench tag": "labels model",
    "mmcr_bench topics": "labels output_file per_domain sorter ledger figure",
    "mmcr_bench build": "output_dir single multi seed overwrite labels topics recipe",
    "mmcr_bench review start": "experts recipe",
    "mmcr_bench review account": "keeper",
    "mmcr_bench review serve": "host port public_url min_view_s",
    "mmcr_bench review rewrite": "endpoint dataset ledger seed lone_flags",
    "mmcr_bench review adjudicate": "dismiss reason",
    "mmcr_bench review drop": "reason",
    "mmcr_bench review remove": "reason successor",
    "mmcr_bench review calibrate": "number seed",
    "mmcr_bench review log": "",
    "mmcr_bench review status": "",
    "mmcr_bench review export": "",
    "mmcr_bench review import": "experts",
    "mmcr_bench scoring start": "run bench limit",
    "mmcr_bench scoring account": "",
    "mmcr_bench scoring serve": "host port public_url",
    "mmcr_bench scoring export": "",
    "mmcr_bench exact build": "output_dir dialogues images turns seed style domains side split telling guesses "
    "images_at images_show ops wordings public",
    "mmcr_bench exact check": "",
    "mmcr_bench exact show": "number output_file",
    "mmcr_bench exact judge": "judge judge_prompt limit seed figure ledger max_cost_usd allow_unknown_price",
    "mmcr_bench mmdu wiki": "pages seed",
    "mmcr_bench mmdu review": "reviewer ledger max_cost_usd allow_unknown_price",
    "mmcr_bench mmdu accuracy": "judge topics review samples size seed output_file ledger max_cost_usd "
    "allow_unknown_price",
    "mmcr_bench mmdu quality": "accuracy run",
    "mmcr_bench freeze": "output_dir version check accept_gap",
    "mmcr_bench agreement": "run experts figure",
    "mmcr_bench biases": "allow_unknown_price judge ledger limit max_cost_usd split",
    "mmcr_bench canaries": "judge judge_prompt split limit ledger max_cost_usd allow_unknown_price world",
    "mmcr_bench penalties": "",
    "mmcr_bench bridge": "old new judge_prompt output_file bench ledger max_cost_usd allow_unknown_price",
    "mmcr_bench anchors": "run limit",
    "mmcr_bench drift": "run judge judge_prompt limit max_cost_usd allow_unknown_price",
    "mmcr_bench self-preference": "run judge generator bench ledger max_cost_usd allow_unknown_price",
    "eval_tasks run": "model tasks list data judge rules output_dir limit max_new_tokens batch_size model_args "
    "gen_kwargs log_samples tasks_from system_prompt thinking max_thinking_tokens num_samples extra_body dtype "
    "device_map attn_implementation quantization server_args report_to judge_prompt max_cost_usd allow_unknown_price "
    "drift",
    "eval_tasks score": "task predictions data output_dir judge rules tasks_from judge_prompt max_cost_usd "
    "allow_unknown_price drift",
    "eval_tasks compare": "tasks_from sequential judge judge_prompt bench ledger max_cost_usd allow_unknown_price seed",
    "eval_tasks exact figure": "output_file",
    "eval_tasks exact export": "output_file",
    "eval_tasks explain": "rules judge html data tasks_from",
    "eval_tasks import-yaml": "doc_to_target doc_to_text doc_to_visual output_file",
    "eval_tasks report": "paper output_file html dataset bench data samples training push_to tasks_from",
    "experiments mini": "output_dir work_dir seed domains python",
    "experiments exact-probes": "output_dir seeds dialogues test_dialogues config train_flags python",
    "training mini": "output_dir data seed",
    "training publish": "push_to scores private force",
}
FLAGS["mmcr_bench mmdu make"] = f"{FLAGS['mmcr_dataset build']} bench items reviewer version"
OF_EVERY_EXPERIMENT = (
    "config data tasks judge seeds models metrics output_dir train_flags eval_flags tasks_from launch processes python "
    "dry_run "
)
EXPERIMENTS = {
    "experiments data-volume": "volumes beside beside_rows",
    "experiments exact-balance": "dialogues test_dialogues percent operator domain",
    "experiments exact-claim": "dialogues linked_percent test_dialogues",
    "experiments exact-images": "dialogues test_dialogues",
    "experiments exact-turns": "dialogues test_dialogues turns",
    "experiments exact-volume": "dialogues test_dialogues volumes equal",
    "experiments mmdu-or-mmcr": "rows equal source build_flags cluster_flags bench_items test_dialogues steps",
    "experiments number-of-turns": "turns rows equal",
    "experiments topic-balance": "rows topic percent labels topics",
}
PROGRAMS = ("mmcr_dataset", "mmcr_bench", "eval_tasks", "training", "experiments")


def places(name: str, commands: Commands) -> Iterator[tuple[str, str]]:
    for command, entry in commands.items():
        if isinstance(entry, str):
            yield f"{name} {command}", entry
        else:
            yield from places(f"{name} {command}", entry)


COMMANDS = {
    command: place
    for program in PROGRAMS
    for command, place in places(program, importlib.import_module(f"{program}.__main__").PROGRAM.commands)
}


def load(place: str) -> type:
    module, _, name = place.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_frozen(command: str) -> None:
    found = [flag for flag in flags_of(load(COMMANDS[command])) if flag != "help" and not flag.startswith("no_")]
    known = {**FLAGS, **{name: OF_EVERY_EXPERIMENT + own for name, own in EXPERIMENTS.items()}}
    known |= dict.fromkeys(("training train", "training settings"), TRAINING)
    assert sorted(found) == sorted(known[command].split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_flag_has_its_help(command: str) -> None:
    settings = load(COMMANDS[command])
    assert (settings.__doc__ or "").strip()
    described = "\n".join(base.__doc__ or "" for base in settings.__mro__)
    for one in dataclasses.fields(settings):
        assert f"{one.name}:" in described, f"{command}: {one.name} has no line in the docstring"


def test_old_flags_and_aliases_stand_for_flags_that_exist() -> None:
    flags = {flag for place in COMMANDS.values() for flag in flags_of(load(place))}
    for new in [*OLD_FLAGS.values(), *ALIASES.values()]:
        assert set(new) <= flags


@pytest.mark.parametrize("command", ["mmcr", *PROGRAMS, *COMMANDS])
def test_help_answers_and_loads_nothing_heavy(command: str) -> None:
    words = command.split()
    program = (
        "import runpy, sys\n"
        f"sys.argv = {[*words, '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({words[0]!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'trl', 'matplotlib', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "usage:" in said.stdout
