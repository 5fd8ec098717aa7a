"""Files as they are found: lost cells, extra columns, missing rows; tables score as by VLMEvalKit's own code."""

from __future__ import annotations

from pathlib import Path

from tests.eval_tasks.rows.test_prediction_forms import (
    Rows,
    Score,
    choice,
    score,
    values,
    write_json,
    write_tsv,
    write_xlsx,
)

__all__ = ["score"]


def test_gold_whose_option_is_an_empty_cell_is_no_error_and_never_hit(tmp_path: Path, score: Score) -> None:
    rows = [choice(1, "B", "B"), choice(2, "B", "B") | {"B": None}, choice(3, "A", "A") | {"B": "NA"}]
    assert values(score("ai2d", write_xlsx(tmp_path / "p.xlsx", rows)), "accuracy") == [66.6667]


def test_blank_reply_of_a_table_is_read_as_the_word_that_pandas_makes_of_it(tmp_path: Path, score: Score) -> None:
    rows: Rows = [choice(n, "A", said) | {"A": "a", "B": "b"} for n, said in ((1, None), (2, "None"), (3, "b"))]
    assert values(score("ai2d", write_xlsx(tmp_path / "p.xlsx", rows)), "accuracy") == [66.6667]


def test_mmmu_row_without_option_a_has_its_gold_there(tmp_path: Path, score: Score) -> None:
    row = {"index": 1, "question": "Which?", "A": "None", "B": "red", "C": "blue", "split": "validation"}
    rows = [row | {"answer": "A", "prediction": "A", "question_type": "multiple-choice"}]
    rows += [row | {"index": 2, "answer": "C", "prediction": "(C)", "question_type": "multiple-choice"}]
    rows += [row | {"index": 3, "answer": "C", "prediction": "red", "question_type": "multiple-choice"}]
    rows += [row | {"index": 4, "A": "x1", "answer": "A", "prediction": "A", "split": "dev"}]
    entry = score("mmmu", write_xlsx(tmp_path / "p.xlsx", rows))
    assert values(entry, "accuracy", "split dev") == [66.6667, 100.0]


def test_mmmu_open_gold_is_compared_as_it_is_written(tmp_path: Path, score: Score) -> None:
    row = {"index": 1, "question": "How many?", "answer": "['7','seven']", "split": "validation"}
    rows = [row | {"prediction": "['7','seven']"}, row | {"index": 2, "prediction": "['7', 'seven']"}]
    assert values(score("mmmu", write_xlsx(tmp_path / "p.xlsx", rows)), "accuracy") == [50.0]


def test_rotations_without_their_first_one_are_left_out_and_counted(tmp_path: Path, score: Score) -> None:
    rows = [choice(1, "A", "A"), choice(1_000_001, "B", "B"), choice(1_000_002, "A", "A"), choice(2_000_002, "B", "A")]
    entry = score("mmbench", write_xlsx(tmp_path / "p.xlsx", rows))
    assert (values(entry, "accuracy"), entry["left_out"]) == ([100.0], {"without the first rotation": 2})


def test_named_groups_of_rotations_are_taken_as_they_are(tmp_path: Path, score: Score) -> None:
    rows = [choice(3_000_000, "A", "A", g_index=3_000_000), choice(3_000_001, "B", "A", g_index=3_000_000)]
    rows += [choice(4_000_000, "A", "A", g_index=4_000_000)]
    entry = score("mmbench", write_tsv(tmp_path / "p.tsv", rows))
    assert (values(entry, "accuracy"), entry["left_out"]) == ([50.0], {})


def test_saved_row_numbers_and_columns_in_capitals_are_no_hindrance(tmp_path: Path, score: Score) -> None:
    rows: Rows = [
        {"Unnamed: 0": n, "INDEX": n + 5, "Question": "Which?\nOf these", "A": "a dog", "B": "a cat"}
        | {"Answer": "B", "Prediction": said, "CATEGORY": "pets"}
        for n, said in enumerate(["B", "(B)\n\nIt purrs.", 'They say "a cat"', "A"])
    ]
    assert values(score("mmstar", write_xlsx(tmp_path / "p.xlsx", rows)), "accuracy", "pets") == [75.0, 75.0]


def test_tsv_with_quoted_tabs_and_line_breaks_keeps_its_cells(tmp_path: Path, score: Score) -> None:
    header = "\tindex\tquestion\tA\tB\tanswer\tprediction\n"
    line = '0\t7\t"Which\tone?"\ta dog\ta cat\tB\t"The ""cat"" one:\r\nB"\n'
    path = tmp_path / "p.tsv"
    path.write_bytes((header + line).encode())
    assert values(score("ai2d", path), "accuracy") == [100.0]


def test_mme_folder_with_windows_line_ends_and_no_last_one(tmp_path: Path, score: Score) -> None:
    folder = tmp_path / "mme"
    folder.mkdir()
    (folder / "color.txt").write_bytes(b"1.jpg\tIs it red?\tYes\tYes\r\n1.jpg\tIs it blue?\tNo\tno, red\r\n")
    (folder / "count.txt").write_bytes(b"1.jpg\tOne?\tYes\tNo\r\n\r\n1.jpg\tTwo?\tNo\tNo")
    entry = score("mme", folder)
    assert values(entry, "color", "count") == [200.0, 50.0]


def test_hallusion_bench_with_blank_replies_counts_them_as_wrong(tmp_path: Path, score: Score) -> None:
    rows = [
        {"index": f"VD_math_1_0_0_{n}", "question": "Is it?", "answer": "Yes", "prediction": said}
        for n, said in enumerate(["Yes", None, "  "])
    ]
    entry = score("hallusion_bench", write_xlsx(tmp_path / "p.xlsx", rows))
    assert (values(entry, "aAcc", "fAcc"), entry["num_unread"]) == ([33.3333, 0.0], 2)


def test_mathvista_results_without_gold_are_joined_by_their_number(tmp_path: Path, score: Score) -> None:
    kind = {"query": "How many?", "question_type": "free_form", "answer_type": "integer", "choices": None}
    gold = write_json(tmp_path / "testmini.json", {str(n): {"pid": str(n), **kind, "answer": "7"} for n in (1, 2, 3)})
    said = {"1": {"response": "There are 7.", "extraction": "7"}, "2": {"response": "7"}, "3": {"response": "seven"}}
    said["9"] = {"response": "7", "extraction": "7"}
    entry = score("mathvista", write_json(tmp_path / "output.json", said), "--data", gold)
    assert (values(entry, "accuracy"), entry["num_unread"]) == ([66.6667], 1)
    assert (entry["rules"], entry["left_out"]) == ("official", {"without gold": 1})
