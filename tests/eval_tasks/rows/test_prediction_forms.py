"""Every form in which predictions are published, as small files: what is read from each, and what it scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from eval_tasks.__main__ import main
from tests.fake_chat_server import FakeChatServer

Rows = list[dict[str, Any]]


def write_xlsx(path: Path, rows: Rows) -> Path:
    book = openpyxl.Workbook()
    names = list(dict.fromkeys(name for row in rows for name in row))
    book.active.append(names)
    for row in rows:
        book.active.append([row.get(name) for name in names])
    book.save(path)
    return path


def write_tsv(path: Path, rows: Rows) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["\t".join(names), *("\t".join(str(row.get(name, "")) for name in names) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    return path


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_jsonl(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def score(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A function (task, file, flags...) -> the task's entry of results.json."""

    def run(task: str, file: Path, *flags: object) -> dict[str, Any]:
        out = tmp_path / "scored"
        ask = ["score", "--task", task, "--predictions", str(file), "--out", str(out), *map(str, flags)]
        assert main(ask) == 0
        entry: dict[str, Any] = json.loads((out / "results.json").read_text())["tasks"][task]
        return entry

    return run


Score = Callable[..., dict[str, Any]]


def values(entry: dict[str, Any], *metrics: str) -> list[float]:
    return [round(entry["totals"][metric]["value"], 4) for metric in metrics]


def choice(index: object, gold: str, said: object, **more: object) -> dict[str, Any]:
    row = {"index": index, "question": "Which?", "A": "a dog", "B": "a cat", "answer": gold, "prediction": said}
    return {**row, **more}


@pytest.mark.parametrize("write", [write_xlsx, write_tsv], ids=["xlsx", "tsv"])
def test_vlmevalkit_table_with_odd_cells_is_read_as_vlmevalkit_reads_it(
    write: Callable[[Path, Rows], Path], tmp_path: Path, score: Score
) -> None:
    rows = [
        choice(1, "B", "B. a cat"),
        choice(2, "A", ""),  # an empty cell
        choice("3", "b", "None", C=7, D="None"),  # a number kept as text, a small letter, words pandas takes for empty
        choice(4, "C", "7", C=7),  # the reply is an option's number
        choice(5, "G", "The answer:\n\n(G)", C="c", D="d", E="e", F="f", G="a fox"),
        choice(6, "A", "Failed to obtain answer via API."),
        choice(7, "A", "Ａ"),
    ]
    suffix = {write_xlsx: ".xlsx", write_tsv: ".tsv"}[write]
    if write is write_tsv:
        rows[4]["prediction"] = "The answer: (G)"
    entry = score("mmstar", write(tmp_path / f"model_MMStar{suffix}", rows))
    assert values(entry, "accuracy") == [round(300 / 7, 4)]
    assert (entry["num_samples"], entry["num_unread"]) == (7, 4)


def test_columns_are_read_in_any_case_and_their_order_does_not_matter(tmp_path: Path, score: Score) -> None:
    row = {"Prediction": "B", "A": "a dog", "Answer": "B", "B": "a cat", "INDEX": 7, "Question": "Which?", "Extra": 1.5}
    assert values(score("ai2d", write_xlsx(tmp_path / "p.xlsx", [row])), "accuracy") == [100.0]


def test_mmbench_v11_groups_by_its_own_column_and_has_totals_of_both_levels(tmp_path: Path, score: Score) -> None:
    levels = {"category": "image_style", "l2-category": "coarse_perception", "split": "dev"}
    rows = [choice(11, "B", "B", g_index=11, **levels), choice(900_000, "A", "(A)", g_index=11.0, **levels)]
    rows += [choice(12, "A", "A", g_index=12, **levels), choice(900_001, "B", "A", g_index=12, **levels)]
    entry = score("mmbench", write_xlsx(tmp_path / "m_MMBench_DEV_EN_V11.xlsx", rows))
    assert values(entry, "accuracy", "coarse_perception", "image_style", "each_rotation") == [50.0, 50.0, 50.0, 75.0]
    assert entry["num_groups"] == 2


def test_mmbench_test_rows_without_gold_take_it_from_the_benchmarks_tsv_whose_images_are_not_read(
    tmp_path: Path, score: Score
) -> None:
    said = [{key: cell for key, cell in choice(n, "A", "A").items() if key != "answer"} for n in (1, 1_000_001)]
    gold = [{"index": 1, "image": "!" * 100, "answer": "A"}, {"index": 1_000_001, "image": 1, "answer": "A"}]
    gold_file = write_tsv(tmp_path / "MMBench_TEST_CN.tsv", gold)
    entry = score("mmbench", write_xlsx(tmp_path / "p.xlsx", said), "--data", gold_file)
    assert values(entry, "accuracy") == [100.0]


def test_ccbench_in_chinese_is_read_by_letter_and_by_text(tmp_path: Path, score: Score) -> None:
    options = {"question": "图中所示建筑名称为？", "A": "天坛", "B": "故宫", "category": "scenery_building"}
    rows = [choice(0, "A", "A. 天坛") | options, choice(1_000_000, "B", "这是故宫。") | options]
    assert values(score("ccbench", write_xlsx(tmp_path / "p.xlsx", rows)), "accuracy", "scenery_building") == [100, 100]


def test_mme_folder_of_text_files_pairs_the_questions_of_an_image(tmp_path: Path, score: Score) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    said = ["1.jpg\tIs it red?\tYes\tyes", "1.jpg\tIs it blue?\tNo\tNo, it is red", "2.jpg\tIs it red?\tYes\tYes."]
    (folder / "color.txt").write_text("\n".join([*said, "2.jpg\tIs it blue?\tNo\tThe answer is no"]) + "\n")
    (folder / "OCR.txt").write_text("3.jpg\tIs it 'a\x0bb'?\tYes\t\n3.jpg\tIs it c?\tNo\ty\n", encoding="utf-8-sig")
    assert values(score("mme", folder), "color", "OCR", "perception") == [125.0, 0.0, 125.0]


def test_mme_line_with_a_field_too_many_names_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "color.txt").write_text("1.jpg\tIs it red?\tYes\tyes\tand more\n")
    assert main(["score", "--task", "mme", "--predictions", str(tmp_path)]) == 2
    assert "color.txt line 1: 5 fields" in capsys.readouterr().err


def test_stored_verdicts_of_a_yes_no_judge_count_where_words_say_nothing(tmp_path: Path, score: Score) -> None:
    row = {"category": "color", "image_path": "1.jpg", "question": "Is it red?"}
    rows = [{**row, "index": 0, "answer": "Yes", "prediction": "Indeed.", "extracted": "Yes", "score": True}]
    rows += [{**row, "index": 1, "answer": "No", "prediction": "Hm.", "extracted": "Unknown", "score": False}]
    entry = score("mme", write_xlsx(tmp_path / "m_MME_auxmatch.xlsx", rows))
    assert (values(entry, "color"), entry["num_unread"]) == ([50.0], 1)


HALLUSION = {"category": "VD", "subcategory": "math", "set_id": "0", "sample_note": "x"}


def test_official_hallusion_replies_find_their_gold_by_six_columns(tmp_path: Path, score: Score) -> None:
    places = [("1", "0", "0"), ("1", "1", "0"), ("1", "0", "1"), ("0", "0", "0")]  # input, figure, question
    names = ("visual_input", "figure_id", "question_id")
    gold = [{**HALLUSION, **dict(zip(names, place, strict=True)), "question": "Same?"} for place in places]
    said = [{**row, "model_prediction": "No."} for row in reversed(gold)]
    gold = [{**row, "gt_answer": str(number % 2)} for number, row in enumerate(gold)]
    entry = score(
        "hallusion_bench",
        write_json(tmp_path / "said.json", said),
        "--data",
        write_json(tmp_path / "HallusionBench.json", gold),
    )
    assert values(entry, "aAcc") == [round(200 / 3, 4)]
    assert entry["left_out"] == {"without an image": 1}


def test_gold_that_a_column_does_not_name_once_is_never_joined_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = write_jsonl(tmp_path / "gold.jsonl", [{"question_id": 1, "answer": letter, "A": "x"} for letter in "AA"])
    said = write_jsonl(tmp_path / "p.jsonl", [{"question_id": 1, "prediction": "A"}])
    assert main(["score", "--task", "ai2d", "--predictions", str(said), "--data", str(gold)]) == 2
    assert "no column identifies questions in both files" in capsys.readouterr().err


def test_seedbench_replies_and_gold_without_questions_or_options(tmp_path: Path, score: Score) -> None:
    gold = [
        {"question_id": name, "prediction": "D", "answer": answer} for name, answer in zip("123", "ABC", strict=True)
    ]
    gold += [{"question_id": "v9", "prediction": "D", "answer": "A"}]
    said = [{"question_id": name, "prediction": reply} for name, reply in (("1", "A"), ("2", "B"), ("3", "A"))]
    said += [{"question_id": "v9", "prediction": "A"}, {"question_id": "v10", "prediction": "A"}]
    lines_named_json = write_jsonl(tmp_path / "GPT-4V.json", gold)
    entry = score("seedbench", write_jsonl(tmp_path / "upload.jsonl", said), "--data", lines_named_json)
    assert values(entry, "accuracy") == [round(200 / 3, 4)]
    assert entry["left_out"] == {"without gold": 1, "about videos": 1}


def test_scienceqa_answers_of_llava_take_their_gold_from_problems_json(tmp_path: Path, score: Score) -> None:
    gold = {"4": {"question": "Which?", "choices": ["x", "y"], "answer": 1, "image": "image.png", "split": "test"}}
    gold["5"] = {**gold["4"], "answer": 0}
    said = [{"question_id": "4", "prompt": "<image>\nWhich?", "text": "The answer is B because"}]
    said += [{"question_id": "5", "prompt": "Which?", "text": "A\nas the text says"}]
    problems = write_json(tmp_path / "problems.json", gold)
    entry = score("scienceqa", write_jsonl(tmp_path / "llava.jsonl", said), "--data", problems, "--rules", "llava")
    assert values(entry, "accuracy") == [100.0]


def test_mathvista_table_with_a_judges_extraction_is_scored_by_it(tmp_path: Path, score: Score) -> None:
    row = {"question": "How many?", "question_type": "free_form", "answer_type": "integer", "task": "counting"}
    rows = [{**row, "index": 1, "answer": 7, "prediction": "There are seven.", "res": 7, "log": "Succeed"}]
    rows += [{**row, "index": 2, "answer": 7, "prediction": "None I see", "res": "", "log": "All 5 retries failed.\n"}]
    many = {"question_type": "multi_choice", "choices": "['x', 'y']", "answer_option": "B", "answer_type": "text"}
    rows += [{**row, **many, "index": 3, "answer": "y", "prediction": "Surely the latter", "res": "B"}]
    entry = score("mathvista", write_xlsx(tmp_path / "m_MathVista_MINI_gpt-4-turbo.xlsx", rows))
    assert (values(entry, "accuracy", "counting"), entry["num_unread"]) == ([66.6667, 66.6667], 1)


def test_mathvista_official_results_are_scored_by_their_extraction(tmp_path: Path, score: Score) -> None:
    kind = {"question_type": "free_form", "answer_type": "float", "precision": 1.0, "choices": None, "unit": None}
    result = {"1": {**kind, "query": "q", "answer": "1.2", "response": "about 1.21", "extraction": "1.21"}}
    result["2"] = {**kind, "query": "q", "answer": "1.2", "response": "none", "extraction": ""}
    choices = {"question_type": "multi_choice", "answer_type": "text", "choices": ["white", "black"], "precision": None}
    result["3"] = {**choices, "query": "q", "answer": "white", "response": "(A)", "extraction": "whit"}
    entry = score("mathvista", write_json(tmp_path / "output.json", {**result}))
    assert (values(entry, "accuracy"), entry["rules"]) == ([66.6667], "official")


def test_mmmu_folder_of_raw_outputs_and_answers_alone(tmp_path: Path, score: Score) -> None:
    item = {"question_type": "multiple-choice", "all_choices": ["A", "B"], "index2ans": {"A": "x", "B": "y"}}
    outputs = [{**item, "id": "validation_Art_1", "answer": "B", "response": "(B)"}]
    outputs += [{"id": "validation_Art_2", "question_type": "short-answer", "answer": "3.14", "response": "is 3.140."}]
    (tmp_path / "raw" / "Art").mkdir(parents=True)
    write_json(tmp_path / "raw" / "Art" / "output.json", outputs)
    assert values(score("mmmu", tmp_path / "raw"), "accuracy", "Art") == [100.0, 100.0]
    gold = {f"validation_Art_{n}": {"question_type": "multiple-choice", "ground_truth": "B"} for n in (1, 2)}
    write_json(tmp_path / "answer_dict_val.json", gold)
    answers = write_json(tmp_path / "total_val_output.json", {"validation_Art_1": "B", "validation_Art_2": "C"})
    assert values(score("mmmu", answers), "accuracy") == [50.0]


def test_mmmu_open_question_of_vlmevalkit_is_known_by_its_missing_options(tmp_path: Path, score: Score) -> None:
    row = {
        "index": 1,
        "question": "How many?",
        "answer": "['7', 'seven']",
        "split": "validation",
        "prediction": "seven",
    }
    gold = {**row, "index": 2, "answer": "7", "prediction": "It is 7"}
    assert values(score("mmmu", write_xlsx(tmp_path / "p.xlsx", [row, gold])), "accuracy") == [50.0]


GRADES = {"v1_0": {"model": ["gpt-4"], "content": ["1.0"], "score": [1.0]}, "v1_1": {"score": [0.0, 0.5]}}


def test_mmvet_grades_have_capabilities_only_with_the_benchmarks_table(tmp_path: Path, score: Score) -> None:
    grades = write_json(tmp_path / "m_gpt-4-grade-1runs.json", GRADES)
    entry = score("mmvet", grades)
    assert (list(entry["totals"]), values(entry, "score")) == (["score"], [62.5])
    asked = {"question": "What is x?", "answer": "-1<AND>-5"}
    table = [{"index": 1, **asked, "category": "ocr,math"}, {"index": 2, **asked, "category": "ocr"}]
    write_tsv(tmp_path / "MMVet.tsv", table)
    assert values(score("mmvet", grades), "score", "ocr", "math") == [62.5, 62.5, 100.0]


def test_mmvet_answers_are_graded_by_the_judge_that_is_named(tmp_path: Path, score: Score) -> None:
    write_tsv(tmp_path / "MMVet.tsv", [{"index": 1, "question": "x?", "answer": "1", "category": "math"}])
    with FakeChatServer(lambda body: "0.4") as server:
        answers = write_json(tmp_path / "answers.json", {"v1_0": "one"})
        entry = score("mmvet", answers, "--judge", f"api:{server.base_url}#judge")
    assert (values(entry, "score", "math"), entry["judge"]["name"]) == ([40.0, 40.0], "judge")


def test_ocrbench_official_results_name_gold_and_reply_their_own_way(tmp_path: Path, score: Score) -> None:
    row = {"dataset_name": "IIIT5K", "question": "what is written in the image?", "type": "Regular Text Recognition"}
    rows = [{**row, "id": 1, "answers": "CENTRE", "predict": "centre"}]
    rows += [{**row, "id": 2, "answers": ["a", "b"], "predict": "c"}]
    entry = score("ocrbench", write_json(tmp_path / "model.json", rows))
    assert values(entry, "final_score", "Text Recognition") == [1.0, 1.0]


def test_lmms_eval_log_is_read_with_its_own_gold_and_raw_replies(tmp_path: Path, score: Score) -> None:
    doc = {"question": "Which?", "options": ["a dog", "a cat"], "answer": "1"}
    logs = [{"doc_id": 0, "doc": doc, "target": "B", "resps": [["B. a cat"]], "filtered_resps": ["B"]}]
    logs += [{"doc_id": 1, "doc": doc, "target": "B", "resps": [["The answer is B"]], "filtered_resps": ["?"]}]
    file = write_jsonl(tmp_path / "samples_ai2d.jsonl", logs)
    assert values(score("ai2d", file), "accuracy") == [100.0]
    assert values(score("ai2d", file, "--rules", "lmms-eval@0.7"), "accuracy") == [50.0]


@pytest.mark.parametrize(
    ("name", "said"),
    [("m_gpt4.pkl", "a pickle can execute code"), ("m.xls", "save it as .xlsx"), ("m.tsv", "not UTF-8")],
)
def test_files_that_are_never_opened_say_why(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"\xff\x80\x04 index\tprediction\n")
    assert main(["score", "--task", "ai2d", "--predictions", str(tmp_path / name)]) == 2
    assert said in capsys.readouterr().err


def test_a_judge_without_a_place_to_keep_its_words_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, judge = write_jsonl(tmp_path / "p.jsonl", [choice(1, "A", "perhaps")]), "api:http://127.0.0.1:1/v1#judge"
    assert main(["score", "--task", "ai2d", "--predictions", str(file), "--judge", judge]) == 2
    assert "--judge with --predictions needs --output_dir" in capsys.readouterr().err
