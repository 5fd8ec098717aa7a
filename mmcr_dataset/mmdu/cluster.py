"""Clusters of entries: within one topic, but not of the same object. Pure and deterministic.

Topics are found by scikit-learn (agglomerative with a limit on the mean distance, or HDBSCAN); beyond `_BLOCK`
entries, k-means first divides them to blocks, so that memory stays bounded. Within a topic later images of the same
object and of the same page stay out, and what remains is divided to clusters of the allowed size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.collect.draw import seeded_rank
from mmcr_dataset.mmdu.cluster_settings import ClusterSettings
from mmcr_dataset.mmdu.embed import Vectors, default_distance

_BLOCK = 4000  # entries whose distances are in memory at once: 128 MB

Reason = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Entries about one topic.

    Attributes:
        members: places of its entries, nearest to its centre first.
        distances: distance (1 - cosine) of each member from the centre.
    """

    members: tuple[int, ...]
    distances: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Clusters:
    """All clusters, and why an entry is in none.

    Attributes:
        found: the clusters.
        out: place of an entry -> name of the reason and detail.
    """

    found: tuple[Cluster, ...]
    out: Mapping[int, Reason]


def find_clusters(vectors: Vectors, pages: Sequence[str], settings: ClusterSettings, seed: int) -> Clusters:
    """Cluster entries.

    Args:
        vectors: joined vectors of the entries, of length 1.
        pages: page of each entry.
        settings: sizes and limits.
        seed: decides which images of a page or object stay, and how blocks are made.
    """
    found: list[Cluster] = []
    out: dict[int, Reason] = {}
    for topic in _find_topics(vectors, settings, seed):
        order = sorted(topic, key=lambda place: seeded_rank(seed, pages[place], place))
        kept = _of_different_objects(vectors, order, settings.same_distance, out)
        layers = _of_different_pages(kept, pages, settings.images_a_page)
        for group in (part for layer in layers for part in _divide(vectors, layer, settings.cluster_images_max)):
            if len(group) < settings.cluster_images_min:
                detail = f"{len(group)} images in its topic are left, expected {settings.cluster_images_min}"
                out.update(dict.fromkeys(group, ("alone", detail)))
                continue
            found.append(_to_cluster(vectors, group))
    found.sort(key=lambda cluster: min(cluster.members))
    return Clusters(tuple(found), out)


def _find_topics(vectors: Vectors, settings: ClusterSettings, seed: int) -> Iterator[list[int]]:
    """Places of the entries of each topic; an entry without a neighbour is a topic of its own."""
    for block in _to_blocks(vectors, seed):
        labels = label_topics(vectors[block], settings)
        for label in range(-1, int(labels.max()) + 1):
            members = [int(place) for place in block[labels == label]]
            if label == -1:
                yield from ([one] for one in members)
            elif members:
                yield members


def _to_blocks(vectors: Vectors, seed: int) -> Iterator[NDArray[np.int64]]:
    if len(vectors) <= _BLOCK:
        yield np.arange(len(vectors))
        return
    from sklearn.cluster import MiniBatchKMeans

    number = -(-2 * len(vectors) // _BLOCK)
    labels = MiniBatchKMeans(number, random_state=seed, batch_size=_BLOCK, n_init=3).fit_predict(vectors)
    for label in range(number):
        places = np.flatnonzero(labels == label)
        for start in range(0, len(places), _BLOCK):  # a block may come out larger than wanted
            yield places[start : start + _BLOCK]


def label_topics(vectors: Vectors, settings: ClusterSettings) -> NDArray[np.int64]:
    """The topic of each entry, -1 for none."""
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering

    if settings.cluster_method == "hdbscan":
        size = max(2, settings.cluster_images_min)
        labels = HDBSCAN(min_cluster_size=size, min_samples=2, copy=True).fit_predict(vectors)
        return np.asarray(labels, np.int64)
    limit = settings.cluster_distance
    limit = default_distance(settings.embedder) if limit is None else limit
    found = AgglomerativeClustering(None, metric="cosine", linkage="average", distance_threshold=limit)
    return np.asarray(found.fit_predict(np.asarray(vectors, np.float64) + 1e-12), np.int64)


def _of_different_objects(vectors: Vectors, order: Sequence[int], limit: float, out: dict[int, Reason]) -> list[int]:
    """The entries without later ones that are as good as the same."""
    kept: list[int] = []
    for place in order:
        if kept:
            nearest = float(1.0 - (vectors[kept] @ vectors[place]).max())
            if nearest < limit:
                out[place] = ("same_object", f"distance {nearest:.3f} from another image, expected at least {limit}")
                continue
        kept.append(place)
    return kept


def _divide(vectors: Vectors, members: Sequence[int], most: int) -> Iterator[list[int]]:
    """A topic in halves, each as like itself as can be, until no part has more than `most` images."""
    if len(members) <= most:
        yield list(members)
        return
    from sklearn.cluster import AgglomerativeClustering

    here = np.asarray(vectors[list(members)], np.float64)
    labels = AgglomerativeClustering(2, linkage="ward").fit_predict(here)
    for label in (0, 1):
        part = [place for place, found in zip(members, labels, strict=True) if found == label]
        yield from _divide(vectors, part, most)


def _of_different_pages(topic: Sequence[int], pages: Sequence[str], most: int) -> Iterator[list[int]]:
    """A topic in layers: at most `most` images of each page, then the next ones of the pages that have more."""
    left = list(topic)
    while left:
        counts: Counter[str] = Counter()
        now: list[int] = []
        later: list[int] = []
        for place in left:
            counts[pages[place]] += 1
            (now if counts[pages[place]] <= most else later).append(place)
        yield now
        left = later


def _to_cluster(vectors: Vectors, group: Sequence[int]) -> Cluster:
    centre = vectors[list(group)].mean(axis=0)
    centre = centre / (np.linalg.norm(centre) or 1.0)
    distances = 1.0 - vectors[list(group)] @ centre
    order = np.argsort(distances, kind="stable")
    return Cluster(
        tuple(int(group[place]) for place in order), tuple(round(float(distances[place]), 4) for place in order)
    )
