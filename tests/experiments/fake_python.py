"""Stands for the interpreter that runs an experiment's commands: trains nothing, asks a scripted model.

`python -m training settings` and `python -m eval_tasks` are the real ones; the model's replies follow from what it was
"trained" on. Every command is noted in calls.jsonl beside this file; a word in `fail` or `hang` beside it makes the
commands that hold it do so.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
NUM_QUESTIONS = 24


def told(name: str) -> str:
    path = HERE / name
    return path.read_text() if path.is_file() else ""


def train(words: list[str]) -> None:
    from training.config import parse_config

    config = parse_config(words[words.index("--config") :])
    out = Path(config.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    rows = {"mmcr": 100, "mmdu": 40}
    counts = [rows.get(Path(place).name, 60) for place in config.data]
    taken = [min(cap or count, count) for cap, count in zip(config.data_caps or [0] * len(counts), counts, strict=True)]
    a_dialogue = 10 * (config.turns_max or 8)
    shares = [
        {"name": place, "rows": count, "taken": number}
        for place, count, number in zip(config.data, counts, taken, strict=True)
    ]
    if config.dry_run:
        at = {"dialogues": 20, "trained_tokens": 20 * a_dialogue, "skipped": 0}
        (out / "dry_run.json").write_text(json.dumps({"data": shares, "looked_at": at}))
        (out / "base").mkdir(exist_ok=True)
        return
    (out / "checkpoints").mkdir(exist_ok=True)
    run = {"trained_tokens": a_dialogue * sum(taken), "steps": sum(taken), "rows_skipped": 0}
    (out / "final").mkdir(exist_ok=True)
    (out / "final" / "training.json").write_text(json.dumps({"data": shares, "run": run, "seed": config.seed}))


def evaluate(words: list[str]) -> int:
    from eval_tasks.__main__ import main

    place = words.index("--model") + 1
    facts_path = Path(words[place].removeprefix("hf:")) / "training.json"
    facts = json.loads(facts_path.read_text()) if facts_path.is_file() else None
    num_right = 6 if facts is None else 8 + sum(share["taken"] for share in facts["data"]) // 10 + facts["seed"]
    replies = {f"q{number}": ["right" if number < num_right else "wrong"] for number in range(NUM_QUESTIONS)}
    script = HERE / f"replies_{num_right}.json"
    script.write_text(json.dumps(replies))
    words[place] = f"scripted:{script}"
    return main(words[2:])


def answer() -> int:
    words = sys.argv[1:]
    if words[:3] == ["-m", "training", "settings"]:
        from training.__main__ import main

        return main(words[2:])
    with (HERE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if (word := told("hang")) and word in words:
        time.sleep(60)
    if (word := told("fail")) and any(word in one for one in words):
        print("error: --data_caps 16: the disk is full", file=sys.stderr)
        return 2
    if "eval_tasks" in words:
        return evaluate(words)
    train(words)
    return 0


sys.exit(answer())
