"""Made rows of every task in its published form, and one run of a scripted model over all of them.

`python -m tests.every_task FOLDER` writes the rows, runs all tasks with `--limit 3`, and writes FOLDER/page.html.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from eval_tasks.__main__ import main
from eval_tasks.registry import find_tasks
from mmcr_bench.exact.build import ExactSettings, build_exact
from mmcr_dataset.publish.parquet import arrow_schema
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from tests.conftest import image_bytes
from tests.eval_tasks.tasks.test_long_and_papers import conversation, paper
from tests.eval_tasks.tasks.test_multi_turn_tasks import multiverse_row, row
from tests.eval_tasks.tasks.test_named_tasks import FILES, GOLDEN, IMAGES

NUM = 3
IDS = ("index", "id", "idx", "question_id", "questionId", "sample_index", "prompt_id", "identifier", "pid", "qid")


def write_rows(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


def numbered(cells: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The row with other ids."""
    changed: dict[str, Any] = dict(cells)
    for name in IDS:
        if name in cells:
            value = cells[name]
            changed[name] = value + number if isinstance(value, int) else f"{value}{number}"
    return changed


def write_all(folder: Path) -> dict[str, Path]:
    """Task -> place of its made data."""
    places: dict[str, Path] = {}
    for path in sorted(GOLDEN.glob("*.json")):
        cells = json.loads(path.read_text())["row"]
        file, column, num = FILES.get(path.stem, (path.stem, "image", 1))
        image = IMAGES[:num] if num > 1 else IMAGES[0]
        rows = [numbered(cells | {column: image}, number) for number in range(NUM)]
        if path.stem == "mme":  # two questions about each image
            rows = [one | {"index": 2 * number + end} for number, one in enumerate(rows) for end in range(2)]
        places[path.stem] = write_rows(folder / f"{file}.jsonl", rows)
    encoded = {"image": IMAGES[0]}
    places["mm_mt_bench"] = write_rows(folder / "MM-MT-Bench.jsonl", [row() | encoded] * NUM)
    rows = [multiverse_row() | encoded | {"index": number} for number in range(NUM)]
    places["multiverse"] = write_rows(folder / "MultiVerse.jsonl", rows)
    places |= {"prismm_bench": write_papers(folder / "PRISMM-Bench.parquet"), "vischainbench": write_chains(folder)}
    places |= {"visdial": write_visdial(folder / "visdial"), "mmdu": write_mmdu(folder / "mmdu")}
    (folder / "convbench").mkdir()
    places["convbench"] = conversation(folder / "convbench")
    build_exact(folder / "mmcr-exact", ExactSettings(num_dialogues=6, style="plain", seed=5))
    bench = folder / "mmcr-bench"
    bench.mkdir()
    parquet.write_table(
        to_columns([dialogue(seed) for seed in range(NUM)], arrow_schema()), bench / "train-00000.parquet"
    )
    return places | {"mmcr_exact": folder / "mmcr-exact", "mmcr_bench": bench, "dialogues": bench}


def dialogue(seed: int) -> Dialogue:
    turns = [
        Turn(introduce([1] if turn == 1 else [], f"Question {turn} of {seed}?"), f"Answer {turn}.") for turn in (1, 2)
    ]
    return Dialogue(f"d{seed}", tuple(turns), (DialogueImage(image_bytes(seed), url="https://a.example/1.png"),))


def write_papers(path: Path) -> Path:
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist([paper() for _ in range(NUM)]), path)
    return path


def write_chains(folder: Path) -> Path:
    for number in range(NUM):
        place = folder / "chains" / str(number)
        place.mkdir(parents=True)
        for letter in "ab":
            (place / f"{letter}.png").write_bytes(image_bytes(ord(letter)))
        choices = [{"image": "a.png", "correct": False}, {"image": "b.png", "correct": True}]
        asked = [{"question": f"Step {step}?", "task_description": "Go on.", "choices": choices} for step in (1, 2)]
        (place / "task.json").write_text(json.dumps({"initial_scene_description": "A desk.", "questions": asked}))
    return folder / "chains"


def write_visdial(folder: Path) -> Path:
    folder.mkdir()
    entries = []
    for number in range(1, NUM + 1):
        (folder / f"VisualDialog_val2018_{number:012d}.jpg").write_bytes(image_bytes(number, format="JPEG"))
        entries.append({"image_id": number, "dialog": [{"question": 0, "answer": 0}] * 10})
    data = {"dialogs": entries, "questions": ["is it red"], "answers": ["yes"]}
    (folder / "visdial_1.0_val.json").write_text(json.dumps({"data": data}))
    return folder


def write_mmdu(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "0.jpg").write_bytes(image_bytes(0, format="JPEG"))
    said = [{"from": "user", "value": "<ImageHere> What is it?"}, {"from": "assistant", "value": "A cat."}]
    items = [{"id": number, "image": ["images/0.jpg"], "conversations": said} for number in range(NUM)]
    (folder / "benchmark.json").write_text(json.dumps(items))
    return folder


def run_all(folder: Path) -> dict[str, Any]:
    """The content of results.json after a run over every task; FOLDER/page.html shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    results = ask_all_tasks(folder / "run", write_all(folder), {"*": "B"})
    shown = [f"{folder / 'run'}", "--html", f"{folder / 'page.html'}", "--samples", "1"]
    if main(["report", *shown]) != 0:
        raise SystemExit(2)
    return results


def ask_all_tasks(run: Path, places: Mapping[str, Path], said: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results.json of a scripted model over every task."""
    script = run.with_suffix(".json")
    script.write_text(json.dumps(said))
    ask = ["--model", f"scripted:{script}", "--tasks", ",".join(find_tasks()), "--limit", str(NUM)]
    for task, place in places.items():
        ask += ["--data", f"{task}={place}"]
    main([*ask, "--output_dir", str(run)])  # exit code 1: what only a judge can score has no score
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    return results


def names_in(results: Mapping[str, Any]) -> set[str]:
    """The tasks of a run, general ones without their table."""
    return {name.partition(":")[0] for name in results["tasks"]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    print(f"{len(run_all(parser.parse_args().folder)['tasks'])} tasks")
