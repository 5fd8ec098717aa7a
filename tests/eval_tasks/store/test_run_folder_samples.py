"""What a run holds in memory: samples as they are, with the hashes of their images instead of the bytes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from eval_tasks.models.scripted import ScriptedModel
from eval_tasks.registry import find_tasks, load_task
from eval_tasks.run import RunContext, answer_samples
from eval_tasks.store.journal import Journal
from eval_tasks.store.run_folder import from_record, to_record


def test_answered_samples_hold_hashes_and_survive_the_file(tmp_path: Path, bench_folder: Path) -> None:
    task = load_task(find_tasks()["mmcr_bench"])
    samples = list(task.samples(str(bench_folder), task.rules[0]))
    (tmp_path / "said.json").write_text('{"*": "words"}')
    decoding = {"temperature": 0, "max_new_tokens": 8}
    with Journal(tmp_path / "journal.jsonl") as journal:
        asking = RunContext(ScriptedModel(tmp_path / "said.json"), journal, {}, decoding)
        answered = asyncio.run(answer_samples(task, samples, asking))
    assert [len(one.replies) for one in answered] == [len(sample.dialogue.turns) for sample in samples]
    for one, sample in zip(answered, samples, strict=True):
        images = one.sample.dialogue.images
        assert not any(image.data for image in images)
        assert [image.sha256 for image in images] == [image.sha256 for image in sample.dialogue.images]
        record = json.loads(json.dumps(to_record(task.name, one)))
        assert from_record(record) == one
        assert to_record(task.name, from_record(record)) == record
