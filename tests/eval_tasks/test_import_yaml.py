"""A simple task file of lmms-eval becomes a task of ours, or every key that can't be taken is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from eval_tasks.readers.template_rows import fill, find_unknown
from tests.eval_tasks.tasks.test_named_tasks import IMAGES

SIMPLE = r"""
include: _shared.yaml
task: cats_exact
test_split: test
doc_to_visual: photo
doc_to_text: "Q: {{question.strip()}}\n(A) {{choices[0]}} (B) {{choices[1]}}\nA:"
doc_to_target: "{{choices[1]}}"
generation_kwargs: {max_new_tokens: 16, temperature: 0, do_sample: false, until: ["\n"]}
metadata: {version: 0.0}
"""
SHARED = """
dataset_path: me/cats
dataset_name: small
output_type: generate_until
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: true
"""
Write = Callable[..., str]


def test_a_simple_file_becomes_a_task_that_runs(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cats.yaml").write_text(SIMPLE)
    (tmp_path / "_shared.yaml").write_text(SHARED)
    out = tmp_path / "cats_exact.py"
    assert main(["import_yaml", str(tmp_path / "cats.yaml"), "--output_file", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    row = {"question": " Which? ", "choices": ["a dog", "a Cat"], "photo": IMAGES[0]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "choices": ["x", "y"]}) + "\n")
    ask = ["--model", write_script({"*": "A cat.\nQ: more"}), "--tasks", "cats_exact", "--tasks_from", str(out)]
    assert main([*ask, "--data", str(tmp_path / "rows.jsonl"), "--output_dir", str(tmp_path / "run")]) == 0
    entry = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["cats_exact"]
    assert entry["totals"]["exact_match"]["value"] == 50.0
    record = json.loads((tmp_path / "run" / "samples.jsonl").read_text().splitlines()[0])
    assert "Q: Which?\n(A) a dog (B) a Cat\nA:" in json.dumps(record["dialogue"]).encode().decode("unicode_escape")
    assert main(["import_yaml", str(tmp_path / "cats.yaml"), "--output_file", str(out)]) == 2


def test_what_is_code_is_given_on_the_command_line(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    code = {"doc_to_text": "!function utils.ask", "doc_to_visual": "!function utils.see", "num_fewshot": "0"}
    lines = [line for line in SIMPLE.strip().split("\n") if line.partition(":")[0] not in code]
    lines += [f"{key}: {value}" for key, value in code.items()]
    lines += ["lmms_eval_specific_kwargs: {default: {post_prompt: ' Answer:'}}", "dataset_kwargs: {token: true}"]
    (tmp_path / "cats.yaml").write_text("\n".join(lines))
    (tmp_path / "_shared.yaml").write_text(SHARED)
    command = ["import_yaml", str(tmp_path / "cats.yaml"), "--output_file", str(tmp_path / "cats_exact.py")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert all(f"{key}: !function" in said and f"pass --{key}" in said for key in ("doc_to_text", "doc_to_visual"))
    given = ["--doc_to_text", "{{question}} Answer:", "--doc_to_visual", "{{ photo }}"]
    assert main([*command, *given]) == 0
    row = {"question": "Which?", "choices": ["a dog", "a cat"], "photo": IMAGES[0]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    ask = ["--model", write_script({"*": "a cat"}), "--tasks", "cats_exact", "--tasks_from", str(command[-1])]
    assert main([*ask, "--data", str(tmp_path / "rows.jsonl"), "--output_dir", str(tmp_path / "run")]) == 0
    assert "Which? Answer:" in (tmp_path / "run" / "samples.jsonl").read_text()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("doc_to_text: !function utils.ask", ["doc_to_text: !function utils.ask is code; pass --doc_to_text"]),
        ("doc_to_visual: '{{a}} {{b}}'", ["doc_to_visual: '{{a}} {{b}}', expected a column"]),
        ("dataset_kwargs: {token: true, data_files: x}", ["dataset_kwargs: data_files: other rows than the split's"]),
        ("validation_split: ['a']", ["validation_split: ['a'], expected a plain name"]),
        ("doc_to_text: '{% if a %}x{% endif %}'", ["doc_to_text", "'{% if a %}"]),
        ("output_type: multiple_choice", ["output_type", "expected generate_until"]),
        ("process_results: !function utils.score", ["process_results: !function utils.score is code"]),
        ("generation_kwargs: {temperature: 0.2}", ["generation_kwargs.temperature: 0.2"]),
        ("metric_list: [{metric: anls}]", ["metric_list.metric: 'anls'"]),
        ("fewshot_split: train\nnum_fewshot: 5", ["fewshot_split: unknown", "num_fewshot: 5, expected 0"]),
        ("task: ../../x", ["task: '../../x', expected a plain name"]),
        ('dataset_path: \'a"""b\'', ["dataset_path"]),
        ("include: ../secret.yaml", ["include '../secret.yaml'"]),
        ("include: cats.yaml", ["at most 8 deep"]),
        ("a: [", ["not YAML"]),
        ("a: !!python/object:os.system x", ["not YAML"]),
    ],
)
def test_what_cannot_be_taken_is_named(
    change: str, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = change.partition(":")[0]
    lines = [line for line in SIMPLE.strip().split("\n") if not line.startswith(f"{key}:")]
    (tmp_path / "cats.yaml").write_text("\n".join([*lines, change]))
    (tmp_path / "_shared.yaml").write_text(SHARED)
    assert main(["import_yaml", str(tmp_path / "cats.yaml"), "--output_file", str(tmp_path / "cats_exact.py")]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts), said
    assert not (tmp_path / "cats_exact.py").exists()


def test_a_template_is_filled_with_cells_and_nothing_else() -> None:
    assert fill("{{ a.b }} {{c[1]}}", {"a": {"b": "{{c}}"}, "c": "xy"}, "row") == "{{c}} y"
    assert find_unknown("{{a|upper}}") == "{{a|upper}}"
    assert find_unknown("{{a.b[0].strip()}}") is None
    with pytest.raises(ValueError, match=r"nothing at '\{\{d\}\}'; the row has \['c'\]"):
        fill("{{d}}", {"c": 1}, "row 0")
    with pytest.raises(ValueError, match=r"row 0: no column 'question'; the row has \['c'\]"):
        fill("question", {"c": 1}, "row 0")
