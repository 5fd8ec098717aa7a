from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from experiments.conduct import ExperimentSettings, main
from experiments.data_volume import DataVolume
from experiments.mmdu_or_mmcr import MmduOrMmcr
from experiments.number_of_turns import NumberOfTurns
from experiments.topic_balance import TopicBalance
from mmcr_bench.select.topics import Topic, write_topics
from tests.experiments.conftest import ROOT, FakePython

Flags = Callable[..., list[str]]


def run(experiment: type[ExperimentSettings], words: Sequence[str]) -> int:
    return main(experiment, words)


def results_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def trained(call: Sequence[str]) -> bool:
    return "--dry_run" not in call and "--output_dir" in call


def value_of(flag: str, call: Sequence[str]) -> str:
    return call[call.index(flag) + 1]


def test_data_volume_trains_and_evaluates_every_arm_from_one_start(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DataVolume, flags(sets["mmcr"], more="--volumes 0 40 20 --seeds 0 1")) == 0
    out = tmp_path / "out"
    first, *calls = fake.calls
    assert value_of("--dry_run", first) == "true"
    trainings = [call for call in calls if trained(call)]
    assert [(value_of("--data_caps", call), value_of("--seed", call)) for call in trainings] == [
        ("20", "0"), ("40", "0"), ("20", "1"), ("40", "1"),
    ]  # fmt: skip
    assert {value_of("--model", call) for call in trainings} == {str(out / "start" / "base")}
    models = [value_of("--model", call) for call in calls if "eval_tasks" in call]
    assert models[0] == f"hf:{out}/start/base"
    assert models[1:] == [f"hf:{value_of('--output_dir', call)}/final" for call in trainings]

    (measure,) = results_of(out)["measures"]
    right = {"base": [6], "volume_20": [10, 11], "volume_40": [12, 13]}
    for arm, numbers in right.items():
        assert measure["arms"][arm]["by_seed"] == pytest.approx([100 * number / 24 for number in numbers])
    (twenty, forty) = measure["differences"]
    assert (twenty["arm"], forty["against"]) == ("volume_20", "base")
    assert forty["value"] == pytest.approx(100 * (12.5 - 6) / 24)
    assert forty["low"] < forty["value"] < forty["high"]
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert not (out / "arms" / "volume_20" / "seed_0" / "train" / "checkpoints").exists()
    table = (out / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "| 20 dialogues | 2 | 20 of " in table
    assert "only show that the experiment runs" in table
    assert "and the seeds" in table


def test_experiment_that_is_run_again_runs_nothing_and_a_further_arm_alone(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path
) -> None:
    assert run(DataVolume, flags(sets["mmcr"], more="--volumes 20")) == 0
    before, results = fake.calls, results_of(tmp_path / "out")
    assert run(DataVolume, flags(sets["mmcr"], more="--volumes 20")) == 0
    assert (fake.calls, results_of(tmp_path / "out")) == (before, results)
    assert run(DataVolume, flags(sets["mmcr"], more="--volumes 20 40")) == 0
    added = fake.calls[len(before) :]
    assert [trained(call) for call in added] == [True, False]
    assert value_of("--data_caps", added[0]) == "40"


def test_failed_arm_is_named_the_others_go_on_and_it_alone_is_tried_again(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(sets["mmcr"], more="--volumes 20 40 60")
    fake.tell("fail", "volume_40")
    assert run(DataVolume, words) == 1
    said = capsys.readouterr()
    assert "ERROR: arm volume_40, seed 0: exit code 2; log " in said.err
    assert "the disk is full" in said.err
    assert "## Failed" in said.out
    found = results_of(tmp_path / "out")
    assert [arm["name"] for arm in found["arms"]] == ["volume_20", "volume_60"]
    assert "volume_40" in found["failed"][0]
    before = len(fake.calls)
    fake.tell("fail", "")
    assert run(DataVolume, words) == 0
    assert all("volume_40" in " ".join(call) for call in fake.calls[before:])
    assert len(fake.calls) == before + 2
    assert len(results_of(tmp_path / "out")["arms"]) == 3


def test_arm_made_with_other_flags_is_not_taken_for_this_one(
    fake: FakePython, flags: Flags, sets: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(DataVolume, flags(sets["mmcr"], more="--volumes 20")) == 0
    before = len(fake.calls)
    changed = [*flags(sets["mmcr"], more="--volumes 20"), "--eval_flags", "--limit 4"]
    assert run(DataVolume, changed) == 1
    said = capsys.readouterr().err
    assert "was made by another command: it had nothing where this has --limit 4" in said
    assert len(fake.calls) == before


def test_killed_experiment_ends_its_command_and_goes_on_where_it_stopped(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path
) -> None:
    words = flags(sets["mmcr"], more="--volumes 20 40")
    hanging = tmp_path / "out" / "arms" / "volume_40" / "seed_0" / "train"
    fake.tell("hang", str(hanging))
    command = [sys.executable, "-m", "experiments.data_volume", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not any(str(hanging) in call for call in fake.calls):
            time.sleep(0.05)
            assert process.poll() is None
        assert run(DataVolume, words) == 2  # the folder is in use
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    before = fake.calls
    fake.tell("hang", "")
    assert run(DataVolume, words) == 0  # so nothing that was left behind holds the folder
    assert fake.calls[len(before)] == before[-1]
    assert len(fake.calls) == len(before) + 2


def test_command_left_behind_by_kill_9_keeps_the_folder(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(sets["mmcr"], more="--volumes 20")
    fake.tell("hang", "true")  # the first dry run
    command = [sys.executable, "-m", "experiments.data_volume", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not fake.calls:
            time.sleep(0.05)
            assert process.poll() is None
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    try:
        assert run(DataVolume, words) == 2
        assert "is in use by another run, or by a command it left running" in capsys.readouterr().err
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_dry_run_prints_every_command_with_rows_and_steps_and_runs_none(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(sets["mmcr"], more=f"--volumes 0 20 --beside {sets['mmdu']} --seeds 3 --dry_run --processes 2")
    assert run(DataVolume, words) == 0
    said = capsys.readouterr().out
    assert "# volume_0, seed 3: 40 dialogues, about 120 steps" in said
    assert "# volume_20, seed 3: 60 dialogues, about 180 steps" in said
    assert f"--data {sets['mmdu']} {sets['mmcr']} --data_caps 0 20" in said
    assert f"--data {sets['mmdu']} --data_caps 0 --model" in said
    assert said.count("--multi_gpu --num_processes 2") == 2 * 2 + 1
    assert fake.calls == []
    assert not (tmp_path / "out").exists()


def test_number_of_turns_gives_every_arm_the_same_trained_tokens(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = flags(sets["mmcr"], more="--turns 8 1 2")
    assert run(NumberOfTurns, [*words, "--dry_run"]) == 0
    assert "turns_1, seed 0: its rows depend on the dry runs that are run first" in capsys.readouterr().out
    assert run(NumberOfTurns, words) == 0
    arms = {arm["name"]: arm for arm in results_of(tmp_path / "out")["arms"]}
    assert [arm["caps"] for arm in arms.values()] == [[100], [50], [12]]
    assert [arm["trained"][0]["run"]["trained_tokens"] for arm in arms.values()] == [1000, 1000, 960]
    assert arms["turns_2"]["flags"] == ["--turns_max", "2"]
    assert run(NumberOfTurns, [*words, "--equal", "dialogues", "--rows", "30", "--dry_run"]) == 0
    assert capsys.readouterr().out.count("30 dialogues, about") == 3


def test_mmdu_or_mmcr_trains_both_at_equal_volume_and_compares_them(
    flags: Flags, sets: dict[str, str], tmp_path: Path
) -> None:
    assert run(MmduOrMmcr, flags(sets["mmdu"], sets["mmcr"])) == 0
    found = results_of(tmp_path / "out")
    assert [arm["caps"] for arm in found["arms"]] == [[40], [40]]
    pairs = [(one["arm"], one["against"]) for one in found["measures"][0]["differences"]]
    assert pairs == [("mmdu", "base"), ("mmcr", "base"), ("mmcr", "mmdu")]
    table = (tmp_path / "out" / "table.md").read_text()
    assert [arm["label"] for arm in found["arms"]] == ["mmdu", "mmcr"]
    assert "paper:" not in table  # it has no number for the quiz
    assert "Each arm trains on 40 dialogues" in table
    assert "with one seed the variance between trainings of an arm is unknown" in table


def test_topic_balance_takes_the_largest_equal_volume_and_topics_from_a_file(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path
) -> None:
    assert run(TopicBalance, flags(sets["mmcr"])) == 0
    trainings = [call for call in fake.calls if trained(call)]
    assert [value_of("--data_caps", call) for call in trainings] == ["62", "62", "62"]  # 50 are 80 % of 62.5
    assert value_of("--balance_topics", trainings[1]) == "true"
    assert value_of("--dominant_topic", trainings[2]) == "cats"
    assert value_of("--dominant_percent", trainings[2]) == "80"
    assert "--topic_file" not in trainings[2]


def test_topic_balance_with_the_topics_that_mmcr_bench_found(
    fake: FakePython, flags: Flags, sets: dict[str, str], tmp_path: Path
) -> None:
    animal, plant = "n00015388", "n00017222"
    labels = [{"id": f"mmdu{n}", "model": "m", "labels": [[animal if n < 10 else plant]]} for n in range(30)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(one) + "\n" for one in labels))
    topics = [Topic(animal, "animal", "animals", 10), Topic(plant, "plant", "plants", 20)]
    write_topics(tmp_path / "topics.json", topics, 30, "offline")
    more = f"--labels {tmp_path}/labels.jsonl --topics {tmp_path}/topics.json --percent 50"
    assert run(TopicBalance, flags(sets["mmdu"], more=more)) == 0
    given = tmp_path / "out" / "topics.jsonl"
    told = {entry["id"]: entry["topic"] for entry in map(json.loads, given.read_text().splitlines())}
    assert (told["mmdu3"], told["mmdu12"], told["mmdu35"], len(told)) == ("animal", "plant", None, 40)
    dominated = [call for call in fake.calls if trained(call)][2]
    assert value_of("--dominant_topic", dominated) == "plant"
    assert value_of("--topic_file", dominated) == str(given)
    assert value_of("--data_caps", dominated) == "40"


@pytest.mark.parametrize(
    ("experiment", "places", "more", "said"),
    [
        (DataVolume, ["mmcr"], "--volumes 101", "has 100 rows, 101 are requested"),
        (DataVolume, ["mmcr"], "--volumes 0", "no arm to train"),
        (DataVolume, ["mmcr"], "--volumes -1", "--volumes -1: expected 0 or more"),
        (DataVolume, ["mmcr", "mmdu"], "--volumes 1", "expected the one whose volume changes"),
        (DataVolume, ["mmcr"], "--volumes 1 --train_flags=--epoch", "Perhaps you meant: --epochs"),
        (
            DataVolume,
            ["mmcr"],
            "--volumes 1 --train_flags=--streaming=1",
            "--streaming true: the number of rows is unknown",
        ),
        (
            DataVolume,
            ["mmcr"],
            "--volumes 1 --config streamed.yaml",
            "streamed.yaml: streaming; arms need indexed rows",
        ),
        (DataVolume, ["mmcr"], "--volumes 1 --config nowhere.yaml", "nowhere.yaml: no such file"),
        (MmduOrMmcr, ["mmcr"], "", "expected the two to compare"),
        (MmduOrMmcr, ["mmcr", "mmdu"], "--rows 41", "mmdu has 40 rows, 41 are requested"),
        (MmduOrMmcr, ["mmcr", "ORG/other"], "", "ORG/other: not a folder, so its rows aren't counted"),
        (NumberOfTurns, ["mmcr"], "--turns 0", "--turns 0: expected 1 or more"),
        (TopicBalance, ["mmcr"], "--topic cat", "0 rows on 'cat'"),
        (TopicBalance, ["mmcr"], "--rows 63", "50 rows on 'cats' and 50 others give at most 62 rows with 80 %"),
        (TopicBalance, ["mmcr"], "--labels l.jsonl", "--labels and --topics need each other"),
        (TopicBalance, ["ORG/other"], "", "set --topic and --rows"),
    ],
)
def test_experiment_that_cannot_be_is_one_line_and_exit_code_2_before_anything_is_trained(
    experiment: Any, places: list[str], more: str, said: str, fake: FakePython, flags: Flags, sets: dict[str, str],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "streamed.yaml").write_text("model: tiny:ovis2\nstreaming: true\nmax_steps: 2\n")
    monkeypatch.chdir(tmp_path)
    assert run(experiment, flags(*(sets.get(place, place) for place in places), more=more)) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "start: look, log" not in line)
    assert line.startswith("error: ")
    assert said in line
    assert not [call for call in fake.calls if trained(call)]
