"""The cluster stage of `--recipe mmdu`: collected entries to candidates of 2 to 20 images, with a report.

OUT.work/entries/1_candidates/   the entries, one image each       OUT.work/1_candidates/   the clusters, for the writer
OUT.work/clusters/               clusters.jsonl, removed/REASON.jsonl, report.html, cached vectors of the images
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.collect.candidates import CandidateWriter, read_shard
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.collect.draw import seeded_rank
from mmcr_dataset.collect.shards import BYTES_A_SHARD, DOCUMENTS_A_SHARD
from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.mmdu.cluster import Cluster, Clusters, Reason, find_clusters
from mmcr_dataset.mmdu.cluster_report import ShownCluster, show_cluster_report
from mmcr_dataset.mmdu.cluster_settings import ClusterSettings
from mmcr_dataset.mmdu.embed import Embedder, join, open_embedder
from mmcr_dataset.mmdu.entries import TEXT_CHARACTERS, Entry, read_entries
from mmcr_dataset.record.dialogue import Block, Source
from mmcr_dataset.record.image_licences import show_image_licences
from mmcr_dataset.record.plain_text import cut_text
from mmcr_dataset.stage.progress import log_count, open_bar
from mmcr_dataset.stage.stages import (
    ENTRIES,
    REMOVED_IMAGES,
    Removed,
    Stage,
    StageCount,
    read_jsonl,
    write_jsonl,
    write_text,
)
from mmcr_dataset.stage.takedowns import Takedowns

CLUSTERS = "clusters"
_SHARDS_IN_MEMORY = 8
_CAPTION_CHARACTERS = 70
_SHOWN = 40  # clusters on the report page


def cluster_entries(
    work: Path,
    settings: ClusterSettings,
    seed: int,
    most: int | None,
    sets: Sequence[SetIndex],
    taken_out: Takedowns,
) -> StageCount:
    """Cluster the collected entries and write the clusters as candidates.

    Args:
        work: the work folder of the build.
        settings: settings of the clusters.
        seed: seed of the draw.
        most: number of clusters to draw, None for all.
        sets: evaluation sets whose images stay out.
        taken_out: images and pages that were taken down.

    Returns:
        Counts of the images: those in clusters are kept.

    Raises:
        ValueError: no two images make a cluster.
    """
    entries_stage = Stage.open(work / ENTRIES, "collect")
    inputs = {
        "entries": [entries_stage.fingerprint, asdict(entries_stage.count())],
        "clusters": asdict(settings),
        "draw": [seed, most],
        "evaluation_sets": [one.fingerprint() for one in sets],
        "taken_out": taken_out.fingerprint() if taken_out else None,
    }
    stage, folder = Stage.begin(work, "collect", inputs), work / CLUSTERS
    done = folder / f"{stage.fingerprint}.json"
    if done.is_file():
        return log_count(StageCount(**json.loads(done.read_text("utf-8"))))
    stage.delete_from(0)
    entries, chosen, out = _choose(work, settings, seed, most, *read_entries(work / ENTRIES, sets, taken_out))
    shown = _write_candidates(work, stage, entries, chosen)
    write_jsonl(folder / "clusters.jsonl", (_to_line(entries, one, name) for name, one in shown))
    _write_removed(work / REMOVED_IMAGES, entries, out)
    stage.close()
    counts = Counter(name for name, _ in out.values())
    count = StageCount("cluster", len(entries), sum(len(one.members) for one in chosen), dict(counts.most_common()))
    _write_report(work, entries, [one for _, one in shown], out, count)
    for old in folder.glob("*.json"):
        old.unlink()
    write_text(done, json.dumps(asdict(count)))
    return log_count(count)


def _choose(
    work: Path,
    settings: ClusterSettings,
    seed: int,
    most: int | None,
    entries: list[Entry],
    out: dict[int, Reason],
) -> tuple[list[Entry], list[Cluster], dict[int, Reason]]:
    """The entries, the clusters that are drawn, and why the other entries are in none.

    Args:
        work: the work folder of the build.
        settings: settings of the clusters.
        seed: seed of the draw.
        most: number of clusters to draw, None for all.
        entries: all entries.
        out: those that may not be shown.
    """
    usable = [place for place in range(len(entries)) if place not in out]
    vectors = _embed(work, [entries[place] for place in usable], settings) if usable else np.zeros((0, 1), np.float32)
    found = _renumber(find_clusters(vectors, [entries[place].page for place in usable], settings, seed), usable)
    chosen = sorted(found.found, key=lambda one: seeded_rank(seed, *(entries[place].id for place in one.members)))
    chosen, left = (chosen, []) if most is None else (chosen[:most], chosen[most:])
    not_drawn = ("not_drawn", f"{most} clusters were drawn")
    out = {**out, **found.out, **dict.fromkeys((place for one in left for place in one.members), not_drawn)}
    if not chosen:
        reasons = dict(Counter(name for name, _ in out.values()).most_common())
        raise ValueError(f"{len(entries)} images make no cluster ({reasons}); raise --cluster_distance or collect more")
    return entries, chosen, out


def read_clusters(work: Path) -> list[dict[str, Any]]:
    """The lines of clusters.jsonl: id of the candidate, its entries, pages and distances."""
    return list(read_jsonl(work / CLUSTERS / "clusters.jsonl"))


def _embed(work: Path, entries: Sequence[Entry], settings: ClusterSettings) -> NDArray[np.float32]:
    """Joined vectors of entries; those of images are cached by shard."""
    opened: list[Embedder] = []

    def embedder() -> Embedder:
        if not opened:
            opened.append(open_embedder(settings.embedder))
        return opened[0]

    rows: list[NDArray[np.float32]] = []
    with open_bar("embed", "image", len(entries)) as bar:
        for number, of_shard in groupby(entries, lambda entry: entry.shard):
            vectors = _image_vectors(work, number, settings.embedder, embedder)
            before = len(rows)
            rows += [vectors[entry.row] for entry in of_shard]
            bar.update(len(rows) - before)
    texts = embedder().embed_texts([entry.text for entry in entries])
    return join(texts, np.stack(rows), settings.text_weight, embedder().centres)


def _image_vectors(work: Path, number: int, spec: str, embedder: Callable[[], Embedder]) -> NDArray[np.float32]:
    """Vectors of the images of a shard, from the cache if it has them."""
    candidates = read_shard(work / ENTRIES, number)
    names = "".join(candidate.images[0].sha256 for candidate in candidates)
    key = hashlib.sha256(f"{spec}\x1f{names}".encode()).hexdigest()[:32]
    path = work / CLUSTERS / "vectors" / f"{key}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    vectors = embedder().embed_images([candidate.images[0].data for candidate in candidates])
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{key}.unfinished.npy")
    np.save(unfinished, vectors)
    unfinished.replace(path)
    return vectors


def _renumber(found: Clusters, usable: Sequence[int]) -> Clusters:
    """The clusters with the places of all entries for those of the usable ones."""
    clusters = (Cluster(tuple(usable[place] for place in one.members), one.distances) for one in found.found)
    return Clusters(tuple(clusters), {usable[place]: reason for place, reason in found.out.items()})


def _write_candidates(
    work: Path, stage: Stage, entries: Sequence[Entry], clusters: Sequence[Cluster]
) -> list[tuple[str, Cluster]]:
    """Write the clusters as shards of candidates; returns them with the ids of their candidates."""
    read = lru_cache(_SHARDS_IN_MEMORY)(lambda number: read_shard(work / ENTRIES, number))
    shown: list[tuple[str, Cluster]] = []
    for number, part in enumerate(_to_shards(clusters)):
        writer = CandidateWriter(stage.shard(number, "parquet"))
        try:
            for cluster in part:
                members = [read(entries[place].shard)[entries[place].row] for place in cluster.members]
                candidate = to_cluster_candidate(members)
                writer.add(candidate)
                shown.append((candidate.id, cluster))
            writer.close()
        except BaseException:
            writer.abort()
            raise
        stage.finish(number, len(part), len(part), [])
    return shown


def _to_shards(clusters: Sequence[Cluster]) -> Iterator[list[Cluster]]:
    images_a_shard = max(1, BYTES_A_SHARD // 1_000_000)  # of a megabyte each
    part: list[Cluster] = []
    for cluster in clusters:
        part.append(cluster)
        if len(part) >= DOCUMENTS_A_SHARD or sum(len(one.members) for one in part) >= images_a_shard:
            yield part
            part = []
    if part:
        yield part


def to_cluster_candidate(members: Sequence[Candidate]) -> Candidate:
    """The candidate of a cluster: each image with its text, and where each comes from, under which licence."""
    blocks: list[Block] = []
    notes: list[str | None] = []
    for number, member in enumerate(members, start=1):
        blocks += [number, cut_text(member.text, TEXT_CHARACTERS)]
        notes.append(", ".join(filter(None, (member.source.licence, member.source.document_url))))
    images = tuple(member.images[0] for member in members)
    digest = hashlib.sha256("\x1f".join(image.sha256 for image in images).encode()).hexdigest()[:24]
    dumps = sorted({member.source.dump for member in members if member.source.dump})
    return Candidate(
        f"cluster-{digest}", tuple(blocks), images, Source(None, show_image_licences(notes), ", ".join(dumps) or None)
    )


def _write_removed(folder: Path, entries: Sequence[Entry], out: dict[int, Reason]) -> None:
    """Write the entries that are in no cluster, a file for each reason."""
    shutil.rmtree(folder, ignore_errors=True)
    for reason in dict.fromkeys(name for name, _ in out.values()):
        rows = [Removed(entries[place].id, *why) for place, why in out.items() if why[0] == reason]
        write_jsonl(folder / f"{reason}.jsonl", map(asdict, rows))


def _to_line(entries: Sequence[Entry], cluster: Cluster, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "entries": [entries[place].id for place in cluster.members],
        "pages": [entries[place].page for place in cluster.members],
        "distances": list(cluster.distances),
    }


def _write_report(
    work: Path, entries: Sequence[Entry], clusters: Sequence[Cluster], out: dict[int, Reason], count: StageCount
) -> None:
    read = lru_cache(_SHARDS_IN_MEMORY)(lambda number: read_shard(work / ENTRIES, number))

    def show(place: int) -> tuple[str, bytes]:
        entry = entries[place]
        return cut_text(entry.text.partition("\n")[0], _CAPTION_CHARACTERS), read(entry.shard)[entry.row].images[0].data

    shown = [ShownCluster([show(place) for place in one.members], list(one.distances)) for one in clusters[:_SHOWN]]
    sizes = Counter(len(one.members) for one in clusters)
    by_reason: dict[str, list[tuple[str, str, bytes]]] = {}
    for place, (name, detail) in out.items():
        if len(by_reason.setdefault(name, [])) < 6:
            by_reason[name].append((detail, *show(place)))
    write_text(work / CLUSTERS / "report.html", show_cluster_report(shown, sizes, by_reason, count))
