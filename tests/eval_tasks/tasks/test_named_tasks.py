"""Every task of rows in one run of a scripted model, on made rows in the published form; traps of single tasks."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from eval_tasks.registry import FILTERS, GROUPS, find_tasks, load_task
from eval_tasks.task import Scored
from eval_tasks.tasks import cv_bench, mmiu, muirbench, reasonmap_plus, topviewrs, viverbench
from tests.conftest import image_bytes

Write = Callable[..., str]
GOLDEN = Path(__file__).parents[2] / "golden" / "prompts"
IMAGES = [base64.b64encode(image_bytes(number)).decode() for number in range(2)]
ASKED = ("question", "questions", "problem", "query_wo", "sentence", "question_short", "conversations", "cue")
FILES = {  # task -> (file, column of the image, number of images)
    "blink": ("BLINK", "image_1", 1),
    "muirbench": ("MUIRBench", "image_list", 2),
    "cv_bench": ("CV-Bench", "image", 1),
    "mirb": ("MIRB", "image_list", 2),
    "mmmu_pro": ("MMMU_Pro_10c", "image_1", 1),
    "mmmu_pro_vision": ("MMMU_Pro_V", "image", 1),
    "qbench2": ("Q-Bench2", "image1", 1),
    "seedbench_2_plus": ("SEEDBench2_Plus", "image", 1),
    "realworldqa": ("RealWorldQA", "image", 1),
    "chartqa": ("ChartQA_TEST", "image", 1),
    "docvqa": ("DocVQA_VAL", "image", 1),
    "infovqa": ("InfoVQA_VAL", "image", 1),
    "textvqa": ("TextVQA_VAL", "image", 1),
    "pope": ("POPE", "image", 1),
    "viverbench": ("ViVerBench", "img", 2),
    "countbench": ("CountBench", "image", 1),
    "mmt_bench": ("MMT-Bench_VAL_MI", "image", 2),
    "vstar_bench": ("VStarBench", "image", 1),
    "visual_puzzles": ("VisualPuzzles", "image", 1),
    "mantis_eval": ("Mantis-Eval", "images", 2),
    "mucr": ("MuCR", "image", 2),
    "reasonmap": ("ReasonMap", "figure", 1),
    "visual_haystacks": ("visual_haystack_2", "pos_image", 2),
    "mdk12": ("MSBI_single_answer_choice", "image", 1),
    "reasonmap_plus": ("ReasonMap-Plus", "image", 1),
    "topviewrs": ("TopViewRS", "image", 1),
    "mmiu": ("MMIU", "image", 2),
    "remi": ("ReMI", "image_1", 1),
    "mathverse": ("MathVerse_MINI", "image", 1),
    "mathvision": ("MathVision", "decoded_image", 1),
    "logicvista": ("LogicVista", "image", 1),
    "r1_onevision_bench": ("r1-onevision", "image", 1),
    "reason_rft": ("Reason-RFT", "image", 2),
    "nlvr2": ("NLVR2", "image", 2),
    "m4u": ("M4U", "image_files", 2),
    "omnibench": ("OmniBench", "image", 1),
    "memlens": ("MemLens_32K", "image", 2),
    "mm_niah": ("MM_NIAH_VAL", "image", 1),
    "mmlongbench": ("MMLongBench_32K", "image", 2),
}


def row_of(task: str) -> dict[str, Any]:
    row: dict[str, Any] = json.loads((GOLDEN / f"{task}.json").read_text())["row"]
    return row


def test_every_named_task_is_asked_from_rows_in_its_published_form(tmp_path: Path, write_script: Write) -> None:
    for file, column, number in FILES.values():
        task = next(name for name, one in FILES.items() if one[0] == file)
        row = row_of(task) | {column: IMAGES[:number] if number > 1 else IMAGES[0]}
        (tmp_path / f"{file}.jsonl").write_text(json.dumps(row) + "\n")
    ask = ["--model", write_script({"*": "B"}), "--tasks", ",".join(FILES), "--out", f"{tmp_path}/run"]
    for task, (file, _, _) in FILES.items():
        ask += ["--data", f"{task}={tmp_path}/{file}.jsonl"]
    assert main(ask) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]
    firsts = {task: next(iter(results[task]["totals"].values()))["value"] for task in FILES}
    right = {
        "blink",
        "cv_bench",
        "muirbench",
        "mirb",
        "mmmu_pro",
        "mmmu_pro_vision",
        "qbench2",
        "seedbench_2_plus",
        "realworldqa",
        "mmt_bench",
        "vstar_bench",
        "visual_puzzles",
        "mantis_eval",
        "topviewrs",
        "mmiu",
        "mathverse",
        "mathvision",
        "logicvista",
        "r1_onevision_bench",
        "reason_rft",
        "m4u",
        "omnibench",
        "memlens",
        "mdk12",
        "mm_niah",
        "mmlongbench",
    }
    assert firsts == {task: 100.0 if task in right else 0.0 for task in FILES}


@pytest.mark.parametrize("task", sorted(set(FILES) - {"mmmu_pro_vision", "vstar_bench"}))
def test_a_missing_question_is_told_with_the_columns_there(
    task: str, tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    file, column, _ = FILES[task]
    row = {name: cell for name, cell in row_of(task).items() if name not in ASKED}
    (tmp_path / f"{file}.jsonl").write_text(json.dumps(row | {column: IMAGES[0]}) + "\n")
    ask = ["--model", write_script({"*": "B"}), "--tasks", task, "--out", f"{tmp_path}/run"]
    assert main([*ask, "--data", f"{tmp_path}/{file}.jsonl"]) == 2
    said = capsys.readouterr().err
    assert re.search(r"no '(question|conversations|cue)'; the row has \[", said)
    assert any(f"'{name}'" in said for name in (*row, "answer"))


def scored_rows(task: Any, changes: list[tuple[dict[str, Any], str]], rules: str) -> dict[str, float]:
    """The totals of a task's row with these changes and replies."""
    scored = []
    for number, (change, reply) in enumerate(changes):
        sample = task.ROWS.to_sample(row_of(task.TASK.name) | {"index": number} | change, rules, number)
        scored.append(task.TASK.scored(Scored(sample, (reply,)), rules))
    return {name: total.value for name, total in task.TASK.totals(scored, rules).items()}


def test_reasonmap_weighs_by_difficulty_and_reads_each_type() -> None:
    changes = [
        ({"difficulty_city": "easy"}, "The answer is 7 stops."),
        ({"difficulty_city": "hard"}, "\\boxed{6}"),
        ({"difficulty_city": "middle", "type": "TorF1", "answer": 0}, "No"),
        ({"difficulty_city": "hard", "type": "Counting1", "answer": 2}, "Final answer: C. It has 3"),
    ]
    found = scored_rows(reasonmap_plus, changes, "vlmevalkit@2026-08")
    assert found["weighted accuracy"] == pytest.approx(100 * (1 + 1.5 + 2) / (1 + 2 + 1.5 + 2))
    assert found["accuracy"] == 75.0


def test_topviewrs_gives_part_of_a_point_for_a_shared_place() -> None:
    found = scored_rows(topviewrs, [({}, "A"), ({}, "B"), ({}, "no idea")], "vlmevalkit@2026-06")
    assert found["accuracy"] == pytest.approx(100 / 3)
    assert found["partial match"] == pytest.approx(100 * (1 / 2 + 1) / 3)


def test_mmiu_is_the_mean_over_tasks_and_reads_options_from_one_text() -> None:
    changes = [({}, "B"), ({}, "A"), ({}, "A"), ({"task": "other"}, "B")]
    found = scored_rows(mmiu, changes, "vlmevalkit@2026-06")
    assert (found["task mean"], found["accuracy"]) == (pytest.approx(200 / 3), 50.0)
    assert mmiu.split_options("A: a cat\nB. two: dogs\n C) none") == {"A": "a cat", "B": "two: dogs", "C": "none"}


def test_muirbench_twins_count_as_pairs() -> None:
    scored = []
    for idx, twin, reply in (("1", "2", "B"), ("2", "1", "B"), ("3", "4", "B"), ("4", "3", "A")):
        row = row_of("muirbench") | {"idx": idx, "counterpart_idx": twin}
        sample = muirbench.ROWS.to_sample(row, "vlmevalkit@2026-08", 0)
        scored.append(muirbench.TASK.scored(Scored(sample, (reply,)), "vlmevalkit@2026-08"))
    totals = muirbench.TASK.totals(scored, "vlmevalkit@2026-08")
    assert {name: total.value for name, total in totals.items()} == {"accuracy": 75.0, "pairs": 50.0, "Counting": 75.0}


def test_viverbench_has_the_mean_over_tasks_and_the_micro_mean() -> None:
    scored = []
    for number, (task, reply) in enumerate((("a", "true"), ("a", "false"), ("a", "false"), ("b", "true"))):
        sample = viverbench.ROWS.to_sample(
            row_of("viverbench") | {"task": task, "prompt_id": str(number)}, "official", 0
        )
        scored.append(viverbench.TASK.scored(Scored(sample, (f'{{"answer": {reply}}}',)), "official"))
    totals = viverbench.totals(scored, "official")
    assert totals["task mean"].value == pytest.approx(200 / 3)
    assert totals["micro"].value == 50.0


def test_cv_bench_weighs_its_sources() -> None:
    scored = []
    for number, (source, reply) in enumerate((("ADE20K", "B"), ("COCO", "A"), ("Omni3D", "B"), ("Omni3D", "A"))):
        sample = cv_bench.ROWS.to_sample(
            row_of("cv_bench") | {"source": source, "idx": number}, "vlmevalkit@2026-08", 0
        )
        scored.append(cv_bench.TASK.scored(Scored(sample, (reply,)), "vlmevalkit@2026-08"))
    assert cv_bench.TASK.totals(scored, "vlmevalkit@2026-08")["CV-Bench"].value == 50.0
    assert cv_bench.TASK.totals(scored[:2] + scored[2:3], "vlmevalkit@2026-08")["CV-Bench"].value == 75.0


def test_the_list_filters_and_says_which_tasks_need_a_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--tasks", "several_images"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["task", "images", "turns", "judge", "rows", "metric"]
    assert {line.split()[0] for line in said[1:]} == set(FILTERS["several_images"])
    line = next(line for line in said if line.startswith("muirbench "))
    assert line.split()[1:5] == ["several", "one", "no", "2600"]
    tasks = {name: load_task(path) for name, path in find_tasks().items()}
    judged = {name for name, task in tasks.items() if task.judge == "bench" or not task.is_read_by_rules}
    assert judged == set(FILTERS["judged"])
    assert {name for names in (*FILTERS.values(), *GROUPS.values()) for name in names} <= set(tasks)


def test_a_task_without_vlmevalkits_rules_refuses_its_adapters_rules() -> None:
    tasks = [load_task(path) for path in find_tasks().values()]
    others = [task for task in tasks if not any(rules.startswith("vlmevalkit") for rules in task.rules)]
    assert {"mmmu_pro", "omnibench", "m4u"} <= {task.name for task in others}
    for task in others:
        with pytest.raises(ValueError, match=f"task {task.name} has no rules"):
            task.check_rules("vlmevalkit@2025-03:qwen2_vl")


def test_visual_haystacks_shuffles_its_images_the_same_way_in_every_run(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    for number in range(5):
        (tmp_path / "val2017" / f"{number}.png").write_bytes(image_bytes(number))
    said = [{"from": "human", "value": "Is there a cat?"}, {"from": "gpt", "value": "yes"}]
    names = [f"val2017/{number}.png" for number in range(5)]
    rows = [{"conversations": said, "pos_image": names[:1], "neg_image": names[1:]}] * 3
    (tmp_path / "visual_haystack_5.json").write_text(json.dumps(rows))
    task = load_task(find_tasks()["visual_haystacks"])
    orders = []
    for _ in range(2):
        found = list(task.samples(str(tmp_path / "visual_haystack_5.json"), task.rules[0]))
        orders.append([[image.sha256 for image in one.dialogue.images] for one in found])
    assert orders[0] == orders[1]
    assert all(len(set(order)) == 5 for order in orders[0])
    assert len({tuple(order) for order in orders[0]}) > 1  # the needle isn't always first
    (tmp_path / "val2017" / "3.png").unlink()
    with pytest.raises(ValueError, match=r"row 1: no image file 'val2017/3.png'"):
        list(task.samples(str(tmp_path / "visual_haystack_5.json"), task.rules[0]))


def test_mucr_shows_cause_and_effect_and_needs_both(tmp_path: Path) -> None:
    row = row_of("mucr") | {"image_0": IMAGES[0], "image_1": IMAGES[1]}
    task = load_task(find_tasks()["mucr"])
    (tmp_path / "MuCR.jsonl").write_text("".join(json.dumps(row | {"id": f"h{n}"}) + "\n" for n in range(20)))
    found = list(task.samples(str(tmp_path / "MuCR.jsonl"), task.rules[0]))
    assert all(len(one.dialogue.images) == 2 for one in found)
    assert {one.target["options"][one.target["answer"]] for one in found} == {"broken glass"}
    assert {one.target["answer"] for one in found} == set("ABCD")  # the cue isn't always first
    for change, why in (({"image_1": None}, "expected image_0 and image_1"), ({"cue": "sunshine"}, "one of false_cue")):
        (tmp_path / "MuCR.jsonl").write_text(json.dumps(row | change) + "\n")
        with pytest.raises(ValueError, match=why):
            list(task.samples(str(tmp_path / "MuCR.jsonl"), task.rules[0]))


def test_mdk12_asks_questions_without_an_image_too(tmp_path: Path) -> None:
    path = tmp_path / "MSMA_calculation_single_modal.tsv"
    path.write_text("index\tquestion\timage\tanswer\tdifficulty_level\n0\tTwo and two?\t\t4\teasy\n")
    task = load_task(find_tasks()["mdk12"])
    (sample,) = task.samples(str(path), task.rules[0])
    assert sample.dialogue.images == ()
    assert task.score(sample, ["It is \\boxed{4}."], task.rules[0], None) == {"accuracy": 1.0}
    assert task.score(sample, ["four"], task.rules[0], None) == {"accuracy": None}
    assert task.score(sample, ["four"], task.rules[0], "1") == {"accuracy": 1.0}


def test_a_task_file_averages_under_60_lines() -> None:
    lines = [len(path.read_text(encoding="utf-8").splitlines()) for path in find_tasks().values()]
    assert sum(lines) / len(lines) < 60
