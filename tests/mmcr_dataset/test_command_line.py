"""One command line for all programs: spellings, old names, YAML, errors in one line, exit codes, stderr."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
from tyro.conf import Positional, arg

from mmcr_dataset.command_flags import parse
from mmcr_dataset.command_line import Program, run_program
from tests.fake_chat_server import Answer, FakeChatServer

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Inner:
    """Inner settings.

    Attributes:
        num_things: how many.
    """

    num_things: int = 3


@dataclass(frozen=True)
class Work:
    """Does some work.

    Attributes:
        place: where.
        output_dir: folder.
        is_fast: hurry.
        names: some names.
        flags: for another program.
        error: what goes wrong.
        inner: more of it.
    """

    place: Positional[Path]
    output_dir: Path = Path("out")
    is_fast: bool = True
    names: Annotated[tuple[str, ...], arg(metavar="NAME ...")] = ()
    flags: str = ""
    error: str = ""
    inner: Inner = field(default_factory=Inner)

    def run(self) -> int:
        """Fail as asked."""
        log = logging.getLogger("mmcr_dataset.test")
        log.info("an info line")
        log.warning("a warning line")
        log.debug("a debug line")
        if self.error == "folder":
            self.place.write_text("x")
        if self.error == "package":
            __import__("no_such_package_of_ours")
        if self.error == "memory":
            raise MemoryError
        if self.error == "two lines":
            raise ValueError("row 3: wrong\nexpected right")
        if self.error == "disk":
            raise OSError(28, "No space left on device", "shard")
        print(f"{self.place} {self.output_dir} {self.is_fast} {self.names} {self.inner.num_things}")
        return 1 if self.error == "check" else 0


PROGRAM = Program("prog", "About it.", {"work": f"{__name__}:Work", "more": {"work": f"{__name__}:Work"}}, "dataset")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("work p --output-dir o --num-things 4", "p o True () 4"),
        ("work p --output_dir o --is_fast false", "p o False () 3"),
        ("work p --out o --is-fast=no", "p o False () 3"),
        ("work p --output_path o --no_is_fast", "p o False () 3"),
        ("more work p --is_fast 1 --names a true", "p out True ('a', 'true') 3"),
        ("work p --names a b --num_things=5", "p out True ('a', 'b') 5"),
    ],
)
def test_both_spellings_old_names_and_words_for_switches(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program(PROGRAM, words.split()) == 0
    assert capsys.readouterr().out.strip() == said


def test_flags_in_quotes_are_one_value() -> None:
    assert parse(Work, ["p", "--flags", "--data LMUData --limit 3"], "prog").flags == "--data LMUData --limit 3"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("wrok p", "no command 'wrok'; did you mean work?"),
        ("work", "PATH: where."),
        ("work p --num_thigs 3", "--num_thigs"),
        ("work p --num_things x", "--num_things"),
        ("work p --config nowhere.yaml", "nowhere.yaml: no such file"),
        ("work folder --error folder", "Is a directory"),
        ("work p --error package", "prog work needs no_such_package_of_ours, which is not installed: pip install"),
        ("work p --error memory", "memory"),
        ("work p --error disk", "free some space and run the same command again"),
    ],
)
def test_what_the_user_can_mend_ends_in_one_line_and_exit_code_2(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert run_program(PROGRAM, ["-q", *words.split()]) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "a warning line" not in line]
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert said in error[0]


def test_an_error_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(PROGRAM, ["work", "p", "--error", "two lines"]) == 2
    assert "error: row 3: wrong expected right\n" in capsys.readouterr().err


def test_a_failed_check_is_exit_code_1() -> None:
    assert run_program(PROGRAM, ["work", "p", "--error", "check"]) == 1


def test_an_old_name_is_taken_and_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from training.__main__ import main

    assert main(["settings", "--model", "m", "--recompute", "vision"]) == 0
    said = capsys.readouterr()
    assert '"gradient_checkpointing": "vision"' in said.out
    assert "--recompute is now --gradient_checkpointing" in said.err


def test_yaml_sets_flags_and_the_command_line_wins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("output-dir: yaml\nis_fast: false\nnames: [a, b]\nnum_things: 7\nflags: null\n")
    assert run_program(PROGRAM, ["work", "p", "--config", str(recipe), "--num_things", "8"]) == 0
    assert capsys.readouterr().out.strip() == "p yaml False ('a', 'b') 8"
    recipe.write_text("nmaes: [a]\n")
    assert run_program(PROGRAM, ["work", "p", f"--config={recipe}"]) == 2
    assert f"{recipe}: nmaes: no such field; did you mean names?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "shown"),
    [("-q", {"a warning"}), ("", {"a warning", "an info"}), ("-v", {"a warning", "an info", "a debug"})],
)
def test_talk_goes_to_stderr_as_loud_as_asked(
    flag: str, shown: set[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert run_program(PROGRAM, ["work", "p", *filter(None, [flag])]) == 0
    said = capsys.readouterr()
    assert {text for text in ("a warning", "an info", "a debug") if f"{text} line" in said.err} == shown
    assert said.out.count("\n") == 1
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def test_verbose_shows_the_traceback_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(PROGRAM, ["-v", "work", "p", "--error", "two lines"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["dataset", "--version"], ["eval", "--version"]])
def test_mmcr_knows_its_version(words: list[str]) -> None:
    said = subprocess.run([sys.executable, "-m", "mmcr", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("mmcr ")


def test_mmcr_hands_its_words_to_the_programs() -> None:
    for words, said in ((["dataset", "build", "--help"], "--similarity_min"), (["eval", "--list"], "mmstar")):
        command = [sys.executable, "-m", "mmcr", *words]
        assert said in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wrong = subprocess.run(
        [sys.executable, "-m", "mmcr", "evaluate"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "usage: mmcr dataset|bench" in wrong.stderr


def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = f"{sys.executable} -m eval_tasks --list | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["/bin/bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.returncode in (0, 141)  # 0 where all of it fitted into the pipe


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_that_no_disk_takes_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "eval_tasks", "--list"]
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "No space left on device" in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        [
            "mmcr_dataset",
            "build",
            "--source",
            "demo",
            "--filter",
            "none",
            "--single",
            "2",
            "--multi",
            "0",
            "--endpoint",
        ],
        ["eval_tasks", "--tasks", "capitals", "--tasks_from", "capitals.py", "--model"],
    ],
)
def test_ctrl_c_ends_in_one_line_and_130(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "capitals.py").write_text(_CAPITALS)
    with FakeChatServer(lambda request: Answer("Paris", delay_s=300)) as server:
        url = f"{server.base_url}#m" if words[0] == "mmcr_dataset" else f"api:{server.base_url}#m"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", *words, url, "--output_dir", str(tmp_path / "out")]
        # a job that was started in the background ignores Ctrl-C, and so would what it starts
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
        signal.signal(signal.SIGINT, before)
        deadline = time.monotonic() + 400
        while not server.requests and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=400)[1]
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert error.splitlines()[-1] == "error: stopped; run the same command again to resume"


_CAPITALS = '''"""Capitals."""
from eval_tasks.task import Sample, Task
from eval_tasks.totals import mean_total
from mmcr_dataset.record.dialogue import Dialogue, Turn


def samples(data, rules):
    yield Sample(Dialogue("france", (Turn(("What is the capital of France?",), "Paris"),)), "Paris", "france")


def score(sample, replies, rules, verdict):
    return {"accuracy": float(sample.target in replies[0])}


def totals(scored, rules):
    return {"accuracy": mean_total(scored, "accuracy")}


TASK = Task("capitals", "x", samples, score, totals)
'''
