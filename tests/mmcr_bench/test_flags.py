"""The command line is a contract: a flag that comes, goes or changes its name is a decision, not an accident."""

from __future__ import annotations

import argparse

from mmcr_bench.__main__ import build_parser

FLAGS = {
    "tag": "--labels --model dataset",
    "topics": "--figure --labels --ledger --out --per-domain --sorter dataset",
    "build": "--labels --multi --out --overwrite --seed --single --topics dataset",
    "review start": "--experts bench review",
    "review account": "--keeper name review",
    "review serve": "--host --port review",
    "review rewrite": "--dataset --endpoint --ledger --seed review",
    "review status": "review",
    "review export": "file review",
    "review import": "--experts file review",
    "freeze": "--check --out --version review",
    "agreement": "--experts --figure --run review",
    "canaries": "--judge --ledger --limit --split bench",
    "penalties": "run_folder",
    "bridge": "--bench --ledger --new --old --out",
    "self-preference": "--bench --generator --judge --ledger --run",
}


def flags_of(parser: argparse.ArgumentParser, name: str = "") -> dict[str, str]:
    """Options and positional arguments of every command below a parser."""
    found: dict[str, str] = {}
    own: list[str] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, below in action.choices.items():
                found |= flags_of(below, f"{name} {command}".strip())
        elif not isinstance(action, argparse._HelpAction):
            own.append(action.option_strings[0] if action.option_strings else action.dest)
    return found or {name: " ".join(sorted(own))}


def test_flags_are_as_they_were_decided() -> None:
    assert flags_of(build_parser()) == FLAGS
