"""PRISMM-Bench, ConvBench, the families of MMLongBench, the letters of LogicVista, judged answers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.readers.judged_rows import plain_points, read_mark
from eval_tasks.readers.long_context import after_prefix, chosen, counted, labelled, rouge_lsum, says
from eval_tasks.task import Scored
from eval_tasks.tasks import convbench, logicvista, mm_niah, mmlongbench, prismm_bench, reason_rft
from tests.conftest import image_bytes

ASKED = {"question": "What is wrong?", "choices": ["the sum", "the name"], "letters": ["B", "A"], "answer": "B"}


def paper(**changed: Any) -> dict[str, Any]:
    parts = {"content_image": [{"bytes": image_bytes(0)}, None], "content_text": ["", "Table 1 says 5."]}
    pair = {"is_available": True, "query_type": "text", "query_text": "Five.", "answer": "B) '"}
    pair["candidates"] = [{"bytes": image_bytes(number)} for number in range(2)]
    return {"parts": parts, "task_identification": ASKED, "task_remedy": ASKED, "task_pair_match": pair, **changed}


def test_a_paper_has_three_questions_with_its_excerpts() -> None:
    found, mended, matched = prismm_bench.to_samples(paper(), 4)
    assert (found.dialogue.id, mended.dialogue.id, matched.dialogue.id) == (
        "4-identification",
        "4-remedy",
        "4-pair_match",
    )
    assert found.dialogue.turns[0].human_text.endswith(
        "Table 1 says 5.\nWhat is wrong?\nthe name\nthe sum" + prismm_bench.CLOSING
    )
    assert "A) the name\nB) the sum" in mended.dialogue.turns[0].human_text
    assert matched.target["answer"] == "B"
    assert [len(one.dialogue.images) for one in (found, mended, matched)] == [1, 1, 2]
    points = [prismm_bench.score(found, [reply], "", None)["accuracy"] for reply in ("B", "b) the sum", "A", " ")]
    assert points == [1.0, 1.0, 0.0, None]
    assert len(list(prismm_bench.to_samples(paper(task_pair_match=None), 0))) == 2
    with pytest.raises(ValueError, match="no 'parts'; the row has"):
        list(prismm_bench.to_samples({"pdf": 1}, 0))


def conversation(folder: Path, **more: str) -> Path:
    (folder / "visit_bench_images").mkdir()
    (folder / "visit_bench_images" / "a.png").write_bytes(image_bytes(0))
    row = {"ID": "1", "image_id": "a.png"} | {f"The_{turn}_turn_instruction": f"{turn}?" for turn in convbench.TURNS}
    with (folder / "ConvBench.csv").open("w", newline="") as file:
        lines = csv.DictWriter(file, [*row, *more])
        lines.writeheader()
        lines.writerow({**row, **more})
    return folder / "ConvBench.csv"


def test_convbench_is_judged_turn_by_turn_with_a_reference_only_where_there_is_one(tmp_path: Path) -> None:
    (sample,) = convbench.samples(str(conversation(tmp_path, first_turn_answer="A car.")), "")
    prompts = convbench.TASK.to_judge(sample, ["r1", "r2", "r3"], "")
    assert ["Reference reply:\nA car." in prompt for prompt in prompts] == [True, False, False]
    assert "Person: first?" in prompts[2]
    assert "r1" in prompts[2]
    points = convbench.TASK.score(sample, ["a", "b", "c"], "", {0: "Rating: [[8]]", 1: "[[4]]", 2: "[[11]]"})
    assert points == {"rating": 4.0, "turn 1": 8.0, "turn 2": 4.0, "turn 3": None}
    totals = convbench.TASK.totals([Scored(sample, ("a", "b", "c"), points)], "")
    assert totals["turn 1"].value == 80.0
    (tmp_path / "visit_bench_images" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"row 1: no image 'a\.png'"):
        list(convbench.samples(str(tmp_path / "ConvBench.csv"), ""))


def test_readers_of_long_contexts() -> None:
    assert [says(one) for one in ("No, wait: yes.", "the answer is NO", "1", "nosy", "maybe")] == [1, 0, 1, None, None]
    assert [counted(one) for one in ("[1, 2, 3]", "3 and 4", "[2] or [5, 1]", "none")] == [6, 7, 6, 0]
    assert [chosen(one) for one in ("The answer is (C).", "Answer: B", "A or D", "I")] == [2, 1, 3, 8]
    assert [labelled(one) for one in ("label: 7 of 9", "it is 4, so 5", "x12y", "no")] == [7, 5, 12, None]
    assert after_prefix("So. ANSWER: answer: Paris ", "Answer:") == "Paris"
    assert rouge_lsum("the cat sat\non a mat", "the cat sat") == pytest.approx(2 * 3 / (6 + 3))
    assert rouge_lsum("", "a") == 0.0


@pytest.mark.parametrize(
    ("golds", "reply", "points"),
    [
        (["The Paris", "sub_em", "Answer:"], "I think paris!", 1.0),
        (["yes", "binary_acc", "Answer:"], "no idea at all", 0.0),
        (["yes", "binary_acc", "Answer:"], "unclear", None),
        (["2", "3", "soft_acc", "Answer:"], "[1, 4]", 1.0),
        (["1", "mc_acc", "Answer:"], "Not A. Answer: B", 1.0),
        (["4", "cls_acc", "label:"], "label: 4", 1.0),
        (["Paris", "judge", "Answer:"], "Paris", None),
    ],
)
def test_each_family_has_its_metric(golds: list[str], reply: str, points: float | None) -> None:
    assert mmlongbench.points(reply, golds) == points


def test_an_unknown_family_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="row 3: task 'x' of 'y', expected one of vrag, NIAH, ICL, summ, documentQA"):
        mmlongbench.metric_of("x", "y", "row 3")


def test_logicvista_reads_letters_alone() -> None:
    replies = ("C, A", "(A) and (C).", "\\boxed{A,C}", "A", "It is A and C because", "AC", "")
    assert [logicvista.points(reply, ["A, C"]) for reply in replies] == [1.0, 1.0, 1.0, 0.0, None, 1.0, None]


def test_judged_answers_are_decided_by_rules_first() -> None:
    assert plain_points("so \\boxed{1,200}", ["1200"]) == 1.0
    assert plain_points("1201", ["1200"]) is None
    assert plain_points("The answer is B.", ["B"]) == 1.0
    assert plain_points("The answer is C.", ["B"]) == 0.0
    assert plain_points("two right angles", ["B", "two right angles", "one"]) == 0.0
    assert [read_mark(said) for said in ("1", "**0**", "1 or 0", "10", "", None)] == [1.0, 0.0, None, None, None, None]


def test_needles_are_read_by_number_letter_or_word() -> None:
    assert [mm_niah.points(reply, ["1", "choice"]) for reply in ("1", "B", "**b**. x", "A", "none")] == [1, 1, 1, 0, 0]
    assert [mm_niah.points(reply, ["eleven"]) for reply in ("It is 11 here", "111")] == [1.0, 0.0]


def test_a_transformation_has_points_for_what_its_steps_share() -> None:
    gold = ["change_size(1, small), change_color(2, red)"]
    said = ["<answer>change_size(1, 'small'), change_color(2, red)</answer>", "change_size(1, small)"]
    said += [
        "change_size(1, large), change_color(3, red)",
        "change_size(4, large)",
        "none",
        "<answer>change_size(1, small)",
    ]
    assert [reason_rft.points(reply, gold) for reply in said] == [1.0, 0.5, 0.5, 0.125, 0.0, 0.5]
    assert [reason_rft.points(reply, ["5"]) for reply in ("<think>4</think><answer> 5.0 </answer>", "4")] == [1.0, 0.0]
