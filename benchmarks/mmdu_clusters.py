"""Clusters of images against known topics: purity and adjusted Rand index, by embedder, weight, method and limit.

    python -m benchmarks.mmdu_clusters --corpus ../shared/data/corpus

Topics are the corpus' eight domains, and the ten of a made-up wiki. Purity is the share of images whose topic is the
most frequent one of their cluster; it rises with the number of clusters, the adjusted Rand index doesn't. An image
without neighbours is a cluster of its own. Also the clusters as they are written, of 2 to 20 images: how many are of
one topic.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.collect.sources.wiki_folder import WikiSource
from mmcr_dataset.mmdu.cluster import find_clusters, label_topics
from mmcr_dataset.mmdu.cluster_settings import ClusterSettings
from mmcr_dataset.mmdu.embed import default_distance, join, open_embedder
from mmcr_dataset.mmdu.entries import ImagesApart
from mmcr_dataset.mmdu.made_wiki import TOPICS_NAME, write_made_wiki
from mmcr_dataset.publish.markdown_table import to_table

Entry = tuple[str, str, str, bytes]  # topic, page, text, image file


class Corpus:
    """The documents of the corpus with local images."""

    fingerprint = "corpus"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __iter__(self) -> Iterator[Document]:
        for row in pq.read_table(self._folder / "corpus.parquet").to_pylist():
            blocks = [
                text if url is None else ImageAt(path=self._folder / "images" / url.rpartition("/")[2])
                for url, text in zip(row["images"], row["texts"], strict=True)
            ]
            yield Document(row["general_metadata"]["id"], tuple(blocks))


def corpus_entries(folder: Path) -> Iterator[Entry]:
    """The images of the corpus with their domain."""
    lines = (json.loads(line) for line in (folder / "provenance.jsonl").open(encoding="utf-8"))
    domains = {line["id"]: line["mmcr_domain"] for line in lines}
    yield from _to_entries(ImagesApart(Corpus(folder)), lambda document, name: domains[document])


def wiki_entries(folder: Path) -> Iterator[Entry]:
    """The images of a made-up wiki with their topic."""
    topics = json.loads((folder / TOPICS_NAME).read_text("utf-8"))
    yield from _to_entries(WikiSource(folder, by_image=True), lambda document, name: topics[name])


def _to_entries(source: Any, topic_of: Any) -> Iterator[Entry]:
    for document in source:
        if isinstance(document, Document) and document.images:
            (image,) = document.images
            page = document.source.document_url or document.id.partition("#")[0]
            text = "\n".join(block for block in document.blocks if isinstance(block, str))
            yield topic_of(page, image.path.name), page, text[:1000], image.path.read_bytes()


def purity(topics: Sequence[str], labels: NDArray[np.int64]) -> float:
    """Share of the images whose topic is the most frequent one of their cluster; -1 is a cluster of each."""
    counts: dict[int, Counter[str]] = {}
    for topic, label in zip(topics, labels.tolist(), strict=True):
        if label >= 0:
            counts.setdefault(label, Counter())[topic] += 1
    return (sum(max(one.values()) for one in counts.values()) + int((labels < 0).sum())) / len(topics)


def measure(name: str, entries: Sequence[Entry], embedders: Sequence[str]) -> Iterator[list[str]]:
    """A row for each embedder, weight, method and limit."""
    from sklearn.metrics import adjusted_rand_score

    topics, pages, texts, images = zip(*entries, strict=True)
    for spec in embedders:
        started = time.monotonic()
        embedder = open_embedder(spec)
        of_texts, of_images = embedder.embed_texts(texts), embedder.embed_images(images)
        seconds = time.monotonic() - started
        usual = default_distance(spec)
        for weight in (0.0, 0.3, 0.5, 0.7, 1.0):
            vectors = join(of_texts, of_images, weight, embedder.centres)
            tried: list[tuple[Literal["agglomerative", "hdbscan"], float | None]] = [("agglomerative", usual)]
            if weight == 0.5:
                tried += [("agglomerative", usual - 0.15), ("agglomerative", usual + 0.15), ("hdbscan", None)]
            for method, limit in tried:
                settings = ClusterSettings(spec, weight, method, limit)
                labels = label_topics(vectors, settings)
                alone = np.where(labels < 0, 10**6 + np.arange(len(labels)), labels)
                found = find_clusters(vectors, pages, settings, seed=0)
                pure = sum(len({topics[place] for place in one.members}) == 1 for one in found.found)
                yield [
                    *(name, spec, f"{weight}", method, "-" if limit is None else f"{limit:.2f}"),
                    *(str(len(set(alone.tolist()))), f"{purity(topics, labels):.3f}"),
                    f"{adjusted_rand_score(topics, alone):.3f}",
                    f"{pure} of {len(found.found)}",
                    f"{sum(len(one.members) for one in found.found) / len(topics):.0%}",
                    f"{seconds:.0f}",
                ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("../shared/data/corpus"))
    parser.add_argument("--pages", type=int, default=200, help="of the made-up wiki")
    parser.add_argument("--embedders", nargs="+", default=["offline", "shipped"])
    args = parser.parse_args()
    sets = {}
    with tempfile.TemporaryDirectory() as folder:
        wiki = Path(folder) / "wiki"
        write_made_wiki(wiki, args.pages)
        sets["made-up wiki"] = list(wiki_entries(wiki))
    if args.corpus.is_dir():
        sets["corpus"] = list(corpus_entries(args.corpus))
    head = ("set", "embedder", "text weight", "method", "limit", "topics found", "purity", "adjusted Rand index")
    head += ("clusters of one topic", "images in clusters", "embedding s")
    rows = [row for name, entries in sets.items() for row in measure(name, entries, args.embedders)]
    for name, entries in sets.items():
        print(f"{name}: {len(entries)} images, {len({entry[0] for entry in entries})} topics")
    print(to_table(head, rows, right=range(4, len(head))))


if __name__ == "__main__":
    main()
