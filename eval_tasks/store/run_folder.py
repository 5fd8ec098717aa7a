"""The folder of a run: journal, ledgers, samples.jsonl (dialogues, replies, scores) and results.json.

`samples.jsonl` holds everything except image bytes, so that a run can be scored again without its data.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval_tasks.task import Failure, Sample, Scored
from mmcr_dataset.record.dialogue import from_json, to_json
from mmcr_dataset.stage.stages import read_jsonl, write_jsonl, write_text

FORMAT = 1


def to_record(task: str, scored: Scored) -> dict[str, Any]:
    """A scored sample as a JSON object, without image bytes."""
    sample = scored.sample
    return {
        "task": task,
        "id": sample.dialogue.id,
        "group": sample.group,
        "target": sample.target,
        "num_given_turns": sample.num_given_turns,
        "has_gold": sample.has_gold,
        "replies": list(scored.replies),
        "points": dict(scored.points),
        "failure": scored.failure and scored.failure._asdict(),
        "unjudged": scored.unjudged and scored.unjudged._asdict(),
        "judged": dict(scored.judged),
        "reading": scored.reading,
        "truncated": list(scored.truncated),
        "thoughts": dict(scored.thoughts),
        "repeat": scored.repeat,
        "dialogue": to_json(sample.dialogue),
    }


def from_record(record: Mapping[str, Any]) -> Scored:
    """The scored sample of a `to_record` object; its images have no bytes."""
    dialogue = from_json(record["dialogue"], defaultdict(bytes))
    sample = Sample(
        dialogue, record["target"], record["group"], record["num_given_turns"], record.get("has_gold", True)
    )
    failure, unjudged = record["failure"], record["unjudged"]
    return Scored(
        sample,
        tuple(record["replies"]),
        record["points"],
        Failure(**failure) if failure else None,
        Failure(**unjudged) if unjudged else None,
        record.get("judged", {}),
        record.get("reading"),
        tuple(record.get("truncated", ())),
        record.get("thoughts", {}),
        record.get("repeat", 0),
    )


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """The objects of samples.jsonl.

    Raises:
        ValueError: the file is missing, or a line is malformed.
    """
    path = folder / "samples.jsonl"
    if not path.is_file():
        raise ValueError(
            f"{folder} is not a finished run: it has no samples.jsonl; run python -m eval_tasks --output_dir {folder}"
        )
    yield from read_jsonl(path, "score the run again")


def write_records(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write samples.jsonl atomically."""
    write_jsonl(folder / "samples.jsonl", records)


def read_results(folder: Path) -> dict[str, Any]:
    """Read results.json of a run.

    Raises:
        ValueError: it is missing, isn't JSON, or has another format version.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not a finished run: it has no results.json")
    try:
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if results.get("format") != FORMAT:
        raise ValueError(f"{path}: format {results.get('format')!r}, this program reads {FORMAT}")
    return results


def write_results(folder: Path, results: Mapping[str, Any]) -> None:
    """Write results.json atomically."""
    text = json.dumps({"format": FORMAT, **results}, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / "results.json", text + "\n")


def finite(value: float) -> float | None:
    """The value for JSON, which has no infinity: None for an unbounded end of an interval."""
    return value if math.isfinite(value) else None
