"""The frozen list of flags: a new or renamed flag is a decision, so it changes this file too."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from mmcr_dataset.__main__ import make_parser
from training.run.publish import make_parser as make_publish_parser

ROOT = Path(__file__).resolve().parents[1]


def flags_of(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Flags and positionals by command."""
    found: dict[str, list[str]] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found[name] = sorted(
                    flag
                    for a in command._actions
                    for flag in (a.option_strings or [a.dest])
                    if flag not in ("-h", "--help")
                )
    return found


def test_mmcr_dataset_flags_are_frozen() -> None:
    assert flags_of(make_parser()) == {
        "build": [
            "--allow-loopback",
            "--any-language",
            "--detail",
            "--endpoint",
            "--engine",
            "--estimate",
            "--evaluation-set",
            "--fetch-in-flight",
            "--fetch-per-host",
            "--fetch-timeout-s",
            "--filter",
            "--keep-rate",
            "--licence",
            "--max-cost-usd",
            "--max-in-flight",
            "--max-probability",
            "--max-side-px",
            "--max-tokens",
            "--min-probability",
            "--multi",
            "--out",
            "--ranks",
            "--seed",
            "--similarity-min",
            "--single",
            "--slurm-partition",
            "--slurm-time",
            "--source",
            "--temperature",
            "--writer",
        ],
        "check": ["folder"],
        "describe": ["--tokenizer", "folder"],
        "import": ["--images", "--licence", "--out", "file"],
        "label": ["--pairs", "--seed", "work"],
        "ledger": ["--out", "files", "what"],
        "overlap": ["--bits", "--html", "--remove", "--with", "folder"],
        "publish": ["--allow-offline", "--gated", "--pr", "--private", "--revision", "--to", "folder"],
        "remove": ["--ids", "--reason", "--url-pattern", "folder"],
    }


def test_training_publish_flags_are_frozen() -> None:
    flags = {flag for action in make_publish_parser()._actions for flag in action.option_strings or [action.dest]}
    assert flags - {"-h", "--help"} == {"--private", "--scores", "--to", "folder"}


OF_EVERY_EXPERIMENT = """
    --config --data --tasks --judge --seeds --out --train_flags --eval_flags --tasks_from --launch --processes --python
    --dry_run
"""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("data_volume", "--volumes --beside --beside_rows"),
        ("mmdu_or_mmcr", "--rows --equal"),
        ("number_of_turns", "--turns --rows --equal"),
        ("topic_balance", "--rows --topic --percent --labels --topics"),
    ],
)
def test_experiments_flags_are_frozen(name: str, own: str) -> None:
    parser = importlib.import_module(f"experiments.{name}").parser()
    flags = {flag for action in parser._actions for flag in action.option_strings or [action.dest]}
    assert flags - {"-h", "--help"} == set((OF_EVERY_EXPERIMENT + own).split())


@pytest.mark.parametrize(
    "command",
    [
        ["mmcr_dataset"],
        ["mmcr_dataset", "build"],
        ["mmcr_bench"],
        ["eval_tasks"],
        ["eval_tasks", "report"],
        ["training.run.publish"],
        ["training.settings"],
        ["experiments.data_volume"],
    ],
)  # fmt: skip
def test_help_answers_and_loads_nothing_heavy(command: list[str]) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = {[*command, '--help']!r}\n"
        "try:\n"
        f"    runpy.run_module({command[0]!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'trl', 'matplotlib', 'openai'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "usage:" in said.stdout
