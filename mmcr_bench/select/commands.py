"""The commands `tag` and `topics` of python -m mmcr_bench: dataclasses of their flags; `run` prints the result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

Dataset = Annotated[Path, arg(metavar="DATASET")]


@dataclass(frozen=True)
class Tag:
    """Label every image of a data set from coarse to fine; an interrupted run resumes.

    Attributes:
        dataset: folder of the data set.
        labels: output file, JSON lines, one dialogue per line.
        model: a timm classifier, such as mobilenetv3_large_100.miil_in21k; the default needs no download.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    model: str = "efficientnet_lite0"

    def run(self) -> None:
        """Label the images and print how many were labeled."""
        from mmcr_bench.select.labels import open_labeler, write_labels

        num_new, num_undecodable = write_labels(self.dataset, open_labeler(self.model), self.labels)
        print(f"{self.labels}: {num_new} dialogues labeled by {self.model}")
        if num_undecodable:
            print(f"{num_undecodable} have an image that can't be decoded, and no labels")


@dataclass(frozen=True)
class Topics:
    """Sort the labels into eight domains and choose five topics of each.

    Attributes:
        dataset: folder of the data set.
        labels: labels file written by `tag`.
        output_file: JSON file of the topics, to be reviewed and edited.
        per_domain: number of topics per domain.
        sorter: offline (WordNet) or api:URL#MODEL.
        ledger: SQLite file that stores paid replies.
        figure: plot the topic distribution into this .png or .svg.
    """

    dataset: Positional[Dataset]
    labels: Path = Path("labels.jsonl")
    output_file: Path = Path("topics.json")
    per_domain: int = 5
    sorter: str = "offline"
    ledger: Path = Path("topics_ledger.sqlite3")
    figure: Path | None = None

    def run(self) -> None:
        """Choose the topics and print the number of dialogues of each.

        Raises:
            ValueError: there are no labels, the sorter is unknown, or the chat model's answer can't be used.
        """
        from mmcr_bench.select.candidates import read_ids
        from mmcr_bench.select.labels import read_labels
        from mmcr_bench.select.topic_figure import draw_topics
        from mmcr_bench.select.topics import DOMAINS, assign_topics, choose_topics, count_labels, write_topics

        if not self.labels.is_file():
            raise ValueError(f"{self.labels}: no labels; write them with `python -m mmcr_bench tag {self.dataset}`")
        own = read_ids(self.dataset)
        labels = {id_: images for id_, images in read_labels(self.labels).items() if id_ in own}
        counts = count_labels(labels.values())
        chosen = choose_topics(counts, _sort(counts, self.sorter, self.ledger), self.per_domain)
        num_images = sum(len(images) for images in labels.values())
        write_topics(self.output_file, chosen, num_images, self.sorter)
        dialogues = Counter(topic.synset for topic in assign_topics(labels, chosen, counts).values())
        if self.figure is not None:
            if not dialogues:
                raise ValueError(f"no dialogue has a topic, so there is nothing to plot into {self.figure}")
            draw_topics(chosen, dialogues, self.figure)
        print(f"{num_images} images with {len(counts)} labels; topics with their number of dialogues:")
        for domain in DOMAINS:
            shown = [f"{topic.label} {dialogues[topic.synset]}" for topic in chosen if topic.domain == domain]
            short = f" ({self.per_domain - len(shown)} missing)" if len(shown) < self.per_domain else ""
            print(f"{domain:<13}{', '.join(shown) or 'none'}{short}")
        num_without = len(labels) - dialogues.total()
        print(f"{num_without} dialogues have no topic; edit {self.output_file} by hand before `build`")


def _sort(counts: Counter[str], sorter: str, ledger: Path) -> dict[str, str]:
    from mmcr_bench.select.topics import sort_offline

    if sorter == "offline":
        return sort_offline(counts)
    from mmcr_bench.select.sort_labels import sort_by_model
    from mmcr_dataset.endpoint.address import read_endpoint
    from mmcr_dataset.endpoint.transport import RequestFailed

    try:
        return sort_by_model(counts, read_endpoint(sorter, "--sorter", "api:URL#MODEL, or offline"), ledger)
    except RequestFailed as failure:
        raise ValueError(f"{sorter} gave no answer ({failure}); run the same command again") from failure
