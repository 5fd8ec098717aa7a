"""Similarities of a shard, cached on disk by content hash: only new or changed dialogues are computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmcr_dataset.filters.clip_match import Matcher, score_dialogues
from mmcr_dataset.filters.rules import PAPER, reason_to_drop
from mmcr_dataset.record.dialogue import from_json, image_entries
from mmcr_dataset.stage.checks import Reason
from mmcr_dataset.stage.stages import Stage, numbered, read_jsonl, write_jsonl
from mmcr_dataset.stage.work_folder import read_images, without_images


def score_shard(
    scored: Stage,
    work: Path,
    number: int,
    values: Sequence[dict[str, Any]],
    open_matcher: Callable[[], Matcher | None],
    modes: Mapping[str, str] = PAPER,
) -> list[tuple[Reason | None, list[float]]]:
    """Compute and write the similarities of a shard's dialogues that pass the rules.

    Args:
        scored: the stage of the similarities.
        work: the work folder.
        number: of the shard.
        values: its dialogues in the form of `dialogue.to_json`.
        open_matcher: called only if a dialogue is not on disk yet.
        modes: what is done by each rule.

    Returns:
        For each dialogue name and detail of the rule that it violates, None if it passes all; and the similarity
        (-1..1) of each of its images, none if there is no matcher.
    """
    path = scored.shard(number, "jsonl")
    known = {row["content"]: row["similarity"] for row in read_jsonl(path)} if path.is_file() else {}
    broken = [reason_to_drop(without_images(value), modes) for value in values]
    sound = [(_hash_content(v), v) for v, reason in zip(values, broken, strict=True) if reason is None]
    new = {
        content: value for content, value in sound if content not in known
    }  # two documents may yield the same dialogue
    matcher = open_matcher() if new else None
    if matcher is not None:
        images = read_images(work, number)
        known |= zip(new, score_dialogues([from_json(value, images) for value in new.values()], matcher), strict=True)
    rows = [{"id": v["id"], "content": content, "similarity": known.get(content, [])} for content, v in sound]
    write_jsonl(path, rows)
    similarity_of = {row["id"]: row["similarity"] for row in rows}
    return [(reason, similarity_of.get(value["id"], [])) for value, reason in zip(values, broken, strict=True)]


def drop_other_shards(scored: Stage, numbers: Collection[int]) -> None:
    """Delete the shards that are not in `numbers`, left by a larger build."""
    for number, path in numbered(scored.folder, "jsonl"):
        if number not in numbers:
            path.unlink()


def _hash_content(value: Mapping[str, Any]) -> str:
    """Hash of texts and images, which determine the similarity."""
    seen = [value["turns"], [image["sha256"] for image in image_entries(value)]]
    return hashlib.sha256(json.dumps(seen, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def with_similarity(value: dict[str, Any], similarity: Sequence[float]) -> dict[str, Any]:
    """A dialogue's row with its similarities, rounded to float32 as in the published column."""
    if not similarity:
        return value
    rounded = [float(np.float32(number)) for number in similarity]
    images = [p | {"similarity": number} for p, number in zip(image_entries(value), rounded, strict=True)]
    return value | {"images": images}
