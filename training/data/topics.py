"""Sampling by topic: balanced (round-robin), or one dominant topic with a given share.

An order has the wanted shares in each of its prefixes, so that a smaller sample is a subset of a larger one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_dataset.stage.stages import read_jsonl

Topics = Sequence[str | None]  # one per row


def read_topics(path: Path) -> dict[str, str | None]:
    """Row id -> topic, from JSON lines `{"id": ..., "topic": ...}`.

    Raises:
        ValueError: no such file, or a malformed line.
    """
    if not path.is_file():
        raise ValueError(f"--topic_file {path}: no such file; it has a line {{'id': ..., 'topic': ...}} for each row")
    topics: dict[str, str | None] = {}
    for number, entry in enumerate(read_jsonl(path, "expected {'id': ..., 'topic': ...}"), start=1):
        if not {"id", "topic"} <= entry.keys():
            raise ValueError(f"{path} line {number}: expected {{'id': ..., 'topic': ...}}, got {str(entry)[:80]}")
        topics[entry["id"]] = entry["topic"]
    return topics


def round_robin(order: Sequence[int], topics: Topics) -> list[int]:
    """The rows in round-robin order of their topics: one of each, then a second of each, and so on."""
    seen: dict[str | None, int] = defaultdict(int)
    placed = []
    for place, row in enumerate(order):
        placed.append((seen[topics[row]], place, row))
        seen[topics[row]] += 1
    return [row for _, _, row in sorted(placed)]


def with_share(order: Sequence[int], topics: Topics, topic: str, percent: float) -> list[int]:
    """The rows reordered so that a topic has its share in every prefix, as far as there are enough rows.

    Args:
        order: row indices.
        topics: topic of each row.
        topic: the dominant topic.
        percent: its share.
    """
    apart = {True: 100 / percent, False: 100 / (100 - percent) if percent < 100 else math.inf}
    seen = {True: 0, False: 0}
    placed = []
    for place, row in enumerate(order):
        of_topic = topics[row] == topic
        placed.append(((seen[of_topic] + 0.5) * apart[of_topic], place, row))
        seen[of_topic] += 1
    return [row for _, _, row in sorted(placed)]


def check_share(name: str, topics: Topics, count: int, topic: str, percent: float) -> None:
    """Check that `count` rows with this share of a topic can be sampled.

    Args:
        name: name of the data set, for the message.
        topics: topic of each row.
        count: number of rows to sample.
        topic: the dominant topic.
        percent: its share.

    Raises:
        ValueError: the set has too few rows of the topic, or of the others.
    """
    wanted, there = round(count * percent / 100), topics.count(topic)
    if there < wanted or len(topics) - there < count - wanted:
        most = min(there * 100 / percent, (len(topics) - there) * 100 / (100 - percent) if percent < 100 else math.inf)
        raise ValueError(
            f"{name}: {percent:g} % of {count} rows on {topic!r} are {wanted}, and the set has {there} of that topic "
            f"and {len(topics) - there} others; lower --data_caps to {math.floor(most)}"
        )


def show_topics(drawn: Topics, most: int = 3) -> str:
    """A line about the distribution of the sampled rows over topics."""
    counts: Mapping[str | None, int] = Counter(drawn)
    named = sorted((topic for topic in counts if topic is not None), key=lambda topic: (-counts[topic], topic))
    without = f", {counts[None]} rows without one" if None in counts else ""
    first = ", ".join(f"{topic} {counts[topic] / len(drawn):.1%}" for topic in named[:most])
    return f"{len(named)} topics{without}; {first}"
