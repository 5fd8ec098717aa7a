"""The effect of topic balance in the training data: as they are, balanced, and dominated by one, at equal volume.

    python -m experiments.topic_balance --config training/recipes/tiny_cpu.yaml --data mmcr-310k --labels labels.jsonl \
        --topics topics.json --percent 60 --seeds 0 1 --output_dir out/topics

The topics are those of the rows, or with `--labels` and `--topics` those of `python -m mmcr_bench tag` and
`python -m mmcr_bench topics`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.volumes import parquet_files


@dataclass(frozen=True, kw_only=True)
class TopicBalance(ExperimentSettings):
    """Training topics as they are, balanced, and dominated by one, at equal volume.

    Attributes:
        rows: number of dialogues of each arm; default the maximum possible.
        topic: the dominant topic; default the most frequent.
        percent: share of the dominant topic.
        labels: labels.jsonl of python -m mmcr_bench tag.
        topics: topics.json of python -m mmcr_bench topics.
    """

    rows: int | None = None
    topic: str | None = None
    percent: float = 80.0
    labels: Annotated[Path | None, arg(metavar="FILE")] = None
    topics: Annotated[Path | None, arg(metavar="FILE")] = None

    def plan(self, conductor: Conductor) -> Experiment:
        """Three arms.

        Raises:
            ValueError: topics are unknown, or too few rows have the dominant one.
        """
        if len(self.data) > 1:
            raise ValueError(f"--data names {len(self.data)} sets, expected one")
        if not 0 < self.percent <= 100:
            raise ValueError(f"--percent {self.percent:g}: expected above 0 and up to 100")
        if bool(self.labels) != bool(self.topics):
            raise ValueError("--labels and --topics need each other; give both files")
        (place,) = self.data
        topics = _topics_of(place, conductor.data_config, self.labels, self.topics)
        topic, rows = _choose(topics, self.topic, self.rows, self.percent, place)
        given: list[str] = []
        if self.labels is not None:
            path = self.out / "topics.jsonl"
            given = ["--topic_file", str(path)]
            if not conductor.is_dry:
                path.write_text("".join(json.dumps({"id": id_, "topic": topics[id_]}) + "\n" for id_ in sorted(topics)))
        dominant = [*given, "--dominant_topic", topic, "--dominant_percent", f"{self.percent:g}"]
        return Experiment(
            title="Balance of topics",
            arms=[
                Arm("as_they_are", "as they are", [place], [rows]),
                Arm("balanced", "balanced", [place], [rows], ["--balance_topics", "true", *given]),
                Arm("dominated", f"{self.percent:g} % {topic}", [place], [rows], dominant),
            ],
            against="as_they_are",
            notes=[f"Each arm trains on {rows:,} dialogues of {place}; trained tokens differ."],
        )


def _topics_of(place: str, config: str | None, labels: Path | None, topics: Path | None) -> dict[str, str | None]:
    """Row id -> topic; empty for a data set on the Hub.

    Raises:
        ValueError: a data set on the Hub with --labels, or a file is missing.
    """
    import pyarrow.parquet as pq

    if not Path(place).is_dir():
        if labels is not None:
            raise ValueError(f"{place}: no such folder, and --labels need a local folder; download the data set first")
        return {}
    tables = [pq.read_table(path, columns=["id", "topic"]) for path in parquet_files(place, config)]
    carried = {row["id"]: row["topic"] for table in tables for row in table.to_pylist()}
    if labels is None or topics is None:
        return carried
    from mmcr_bench.select.topics import load_tagging

    found = load_tagging(labels, topics).topics
    return {id_: found[id_].label if id_ in found else None for id_ in carried}


def _choose(
    topics: Mapping[str, str | None], topic: str | None, rows: int | None, percent: float, place: str
) -> tuple[str, int]:
    """The dominant topic, and the number of dialogues of each arm.

    Raises:
        ValueError: there are no topics, or not enough rows.
    """
    if not topics:
        if topic is None or rows is None:
            raise ValueError(f"{place}: not a folder, so its topics aren't counted; set --topic and --rows")
        return topic, rows
    counts = Counter(found for found in topics.values() if found is not None)
    if not counts:
        raise ValueError(
            f"{place}: no row has a topic; create them with `python -m mmcr_bench tag` and `... topics`, and pass "
            "--labels and --topics"
        )
    topic = topic or min(counts, key=lambda name: (-counts[name], name))
    others = len(topics) - counts[topic]
    most = int(min(counts[topic] * 100 / percent, others * 100 / (100 - percent) if percent < 100 else len(topics)))
    if not counts[topic] or not most or (rows or 0) > most:
        raise ValueError(
            f"{place}: {counts[topic]} rows on {topic!r} and {others} others give at most {most} rows with "
            f"{percent:g} % of the topic; lower --rows or --percent, or name another --topic"
        )
    return topic, rows or most


if __name__ == "__main__":
    sys.exit(main(TopicBalance))
