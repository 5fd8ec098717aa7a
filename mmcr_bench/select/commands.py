"""Implementation of `tag` and `topics` of `python -m mmcr_bench`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mmcr_bench.select.candidates import read_ids
from mmcr_bench.select.labels import open_labeler, read_labels, write_labels
from mmcr_bench.select.topic_figure import draw_topics
from mmcr_bench.select.topics import DOMAINS, assign_topics, choose_topics, count_labels, sort_offline, write_topics


def tag(dataset: Path, out: Path, model: str) -> str:
    """Label every image of a data set folder."""
    num_new, num_undecodable = write_labels(dataset, open_labeler(model), out)
    lines = [f"{out}: {num_new} dialogues labeled by {model}"]
    if num_undecodable:
        lines.append(f"{num_undecodable} have an image that can't be decoded, and no labels")
    return "\n".join(lines)


def topics(
    dataset: Path, labels_path: Path, out: Path, sorter: str, ledger: Path, per_domain: int, figure: Path | None
) -> str:
    """Count labels, sort them into domains, choose topics; returns the number of dialogues of each topic as text.

    Args:
        dataset: folder of the data set.
        labels_path: labels file written by `tag`.
        out: topics file to write.
        sorter: `offline` or api:URL#MODEL.
        ledger: SQLite file that stores paid replies.
        per_domain: number of topics per domain.
        figure: plot file, None for none.

    Raises:
        ValueError: there are no labels, the sorter is unknown, or the chat model's answer can't be used.
    """
    if not labels_path.is_file():
        raise ValueError(f"{labels_path}: no labels; write them with `python -m mmcr_bench tag {dataset}`")
    own = read_ids(dataset)
    labels = {id_: images for id_, images in read_labels(labels_path).items() if id_ in own}
    counts = count_labels(labels.values())
    chosen = choose_topics(counts, _sort(counts, sorter, ledger), per_domain)
    num_images = sum(len(images) for images in labels.values())
    write_topics(out, chosen, num_images, sorter)
    dialogues = Counter(topic.synset for topic in assign_topics(labels, chosen, counts).values())
    if figure is not None:
        if not dialogues:
            raise ValueError(f"no dialogue has a topic, so there is nothing to plot into {figure}")
        draw_topics(chosen, dialogues, figure)
    lines = [f"{num_images} images with {len(counts)} labels; topics with their number of dialogues:"]
    for domain in DOMAINS:
        shown = [f"{topic.label} {dialogues[topic.synset]}" for topic in chosen if topic.domain == domain]
        short = f" ({per_domain - len(shown)} missing)" if len(shown) < per_domain else ""
        lines.append(f"{domain:<13}{', '.join(shown) or 'none'}{short}")
    lines.append(f"{len(labels) - dialogues.total()} dialogues have no topic; edit {out} by hand before `build`")
    return "\n".join(lines)


def _sort(counts: Counter[str], sorter: str, ledger: Path) -> dict[str, str]:
    if sorter == "offline":
        return sort_offline(counts)
    from mmcr_bench.select.sort_labels import sort_by_model
    from mmcr_dataset.endpoint.address import read_endpoint
    from mmcr_dataset.endpoint.transport import RequestFailed

    try:
        return sort_by_model(counts, read_endpoint(sorter, "--sorter", "api:URL#MODEL, or offline"), ledger)
    except RequestFailed as failure:
        raise ValueError(f"{sorter} gave no answer ({failure}); run the same command again") from failure
