"""Topics of a data set's rows, written beside them when a bench is drawn by topics, for later replacements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mmcr_bench.select.draw import Candidate
from mmcr_bench.select.topics import Tagging
from mmcr_dataset.record.dialogue import Dialogue

TOPICS_NAME = "bench_topics.json"

Topics = dict[str, tuple[str, str]]  # (domain, topic) by dialogue id


def write_topics(dataset: Path, tagging: Tagging) -> None:
    """Write the topics of all tagged dialogues."""
    value = {id_: [topic.domain, topic.label] for id_, topic in sorted(tagging.topics.items())}
    (dataset / TOPICS_NAME).write_text(json.dumps(value, indent=0) + "\n", encoding="utf-8")


def read_topics(dataset: Path) -> Topics:
    """The topics written by `write_topics`; empty where the bench was drawn by the topics of the rows.

    Raises:
        ValueError: the file is damaged.
    """
    path = dataset / TOPICS_NAME
    if not path.is_file():
        return {}
    try:
        return {id_: (domain, topic) for id_, (domain, topic) in json.loads(path.read_text("utf-8")).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: damaged ({error}); draw the bench again with --labels and --topics") from error


def with_topic_of(candidate: Candidate, topics: Topics) -> Candidate:
    """The candidate with its topic, if one was written."""
    return replace(candidate, topic=topics[candidate.id][1]) if candidate.id in topics else candidate


def with_topics(dialogue: Dialogue, topics: Topics) -> Dialogue:
    """The dialogue with its domain and topic, if they were written."""
    if dialogue.id not in topics:
        return dialogue
    domain, topic = topics[dialogue.id]
    return replace(dialogue, domain=domain, topic=topic)
