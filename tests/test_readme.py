"""The guides are executable: every path they name exists, every command runs or is understood by its program."""

from __future__ import annotations

import functools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from mmcr_dataset.__main__ import make_parser as dataset_parser

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ("README.md", "CONTRIBUTING.md")
MADE_BY_COMMANDS = ("mmcr-310k", "mmcr-bench", "out/", "omnicorpus/")  # what a user's commands write or bring


def code_blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    parts = re.split(r"^```(.*)\n", (ROOT / "README.md").read_text("utf-8"), flags=re.M)
    return [text for name, text in zip(parts[1::4], parts[2::4], strict=False) if name == language]


def commands() -> list[str]:
    """Every shell line of the README."""
    return [line for block in code_blocks("sh") for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("guide", GUIDES)
def test_guides_name_only_paths_that_exist(guide: str) -> None:
    text = (ROOT / guide).read_text("utf-8")
    named = re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:py|md|toml|txt|yaml))`", text)
    assert named
    for name in named:
        if not name.startswith(MADE_BY_COMMANDS):
            known = (ROOT / name).exists() or list(ROOT.glob(f"*/{name}"))
            assert known, f"{guide} names {name}, which is not there"


def test_readme_tree_names_only_files_that_exist() -> None:
    tree = next(block for block in code_blocks("") if block.startswith("mmcr_dataset/"))
    folder = ""
    names = 0
    for line in tree.splitlines():
        name = line.split()[0]
        folder = name if not line.startswith(" ") else folder
        path = ROOT / (name if name == folder else folder + name)
        assert path.exists(), f"README tree names {path.relative_to(ROOT)}"
        for other in re.findall(r"[\w]+\.py", line.split(maxsplit=1)[1]):
            assert list((ROOT / folder).glob(other)) or (ROOT / other).exists(), (
                f"README tree names {other} in {folder}"
            )
        names += 1
    assert names > 25


def test_readme_first_command_stands_early() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert "make demo" in lines[:40]


@pytest.mark.parametrize("command", commands())
def test_readme_command_is_understood_by_its_program(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        made = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    elif words[:3] == ["python", "-m", "mmcr_dataset"]:
        dataset_parser().parse_args(words[3:])
    elif words[0] == "accelerate":
        assert (ROOT / words[2]).is_file()
        assert (ROOT / words[words.index("--config") + 1]).is_file()
    else:
        assert words[:2] == ["python", "-m"]
        said = _help(words[2], words[3:])
        for flag in (word for word in words if word.startswith("--")):
            assert flag in said, f"{command}: {flag} is not in --help"


def _help(module: str, words: list[str]) -> str:
    command = [words[0]] if words and not words[0].startswith("-") else []
    asked = [sys.executable, "-m", module, *command, "--help"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


PACKAGES = ("mmcr_dataset", "mmcr_bench", "training", "eval_tasks", "experiments")
PACKAGE_GUIDES = tuple(f"{package}/README.md" for package in PACKAGES)
_COMMAND = re.compile(
    r"(?:python -m ([\w.]+)|(?:accelerate launch|python)[^`\n]*? ?(train\.py))((?: (?! )[^`\n]*?)?)(?=`|\n|  )"
)


@functools.cache
def help_of(*words: str) -> str:
    return subprocess.run(
        [sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def subcommands(module: str, words: list[str]) -> list[str]:
    """The words of a command that `--help` is asked of: `review start` of `review start FILE`."""
    found: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]+", word) or not re.search(rf"\b{word}\b", help_of("-m", module, *found)):
            break
        found.append(word)
    return found


@pytest.mark.parametrize("guide", PACKAGE_GUIDES)
def test_package_guides_name_only_commands_and_flags_that_exist(guide: str) -> None:
    named = _COMMAND.findall((ROOT / guide).read_text("utf-8"))
    assert named
    for module, script, rest in named:
        if module.startswith("benchmarks"):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"{guide} names {module}"
            continue
        said = help_of(script) if script else help_of("-m", module, *subcommands(module, rest.split()))
        own = re.sub(r"'[^']*'", "", rest)  # what stands in quotes is handed on to another program
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+", own):
            assert flag in said, f"{guide}: `{module or script}{rest}`: {flag} is not in --help"


def test_readme_python_blocks_compile() -> None:
    blocks = code_blocks("python")
    assert len(blocks) >= 2
    for block in blocks:
        compile(block, "README.md", "exec")


def test_readme_example_benchmark_runs_as_it_stands(tmp_path: Path) -> None:
    example = next(block for block in code_blocks("python") if "TASK = Task(" in block)
    (tmp_path / "capitals.py").write_text(example)
    (tmp_path / "replies.json").write_text('{"france": ["It is Paris."]}')
    asked = [sys.executable, "-m", "eval_tasks", "--model", f"scripted:{tmp_path / 'replies.json'}"]
    flags = ["--tasks", "capitals", "--tasks-from", str(tmp_path / "capitals.py"), "--out", str(tmp_path / "run")]
    said = subprocess.run([*asked, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "| capitals | accuracy | 100.00" in said.stdout
