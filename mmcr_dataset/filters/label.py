"""Precision and recall of the similarity filter, from hand-labelled image-text pairs.

Stratified sampling: half of the pairs near the threshold, the rest clearly below and clearly above. Labels are weighted
by inverse sampling probability, so the results estimate the whole set.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.filters.clip_match import texts_about
from mmcr_dataset.pages.render import PAGES, render_page
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.stage.stages import read_jsonl

LABELS_NAME = "labels.jsonl"
NEAR_SHARE = 0.2  # share of all pairs, by rank, that are near the threshold
_NUM_RESAMPLES = 2000
_Scored = tuple[float, str, int]  # similarity, id of the dialogue, number of the image


@dataclass(frozen=True, slots=True)
class Pair:
    """An image (number from 1) of a dialogue, its similarity and its sampling weight.

    `lowest` is the lowest similarity of the dialogue, by which the filter keeps it; None for that of this image.
    """

    id: str
    number: int
    similarity: float
    weight: float
    lowest: float | None = None

    @property
    def worst(self) -> float:
        """The lowest similarity of the dialogue."""
        return self.similarity if self.lowest is None else self.lowest

    @property
    def key(self) -> str:
        """Key of the pair in `labels.jsonl`."""
        return f"{self.id} {self.number}"


@dataclass(frozen=True, slots=True)
class FilterQuality:
    """Quality of the filter at one threshold; shares 0..1.

    Attributes:
        threshold: minimum similarity.
        precision: (value, low, high) with the 95 % bootstrap interval; None if undefined.
        recall: likewise.
        kept: share of the pairs that are kept.
    """

    threshold: float
    precision: tuple[float, float, float] | None
    recall: tuple[float, float, float] | None
    kept: float


def draw_pairs(
    similarities: Mapping[str, Sequence[float]], threshold: float, num_pairs: int, seed: int = 0
) -> list[Pair]:
    """Sample pairs to label, shuffled: half near the threshold, the rest equally below and above.

    Args:
        similarities: of each image, by id of the dialogue.
        threshold: minimum similarity of the filter.
        num_pairs: number of pairs to sample.
        seed: random seed of the sampling.

    Raises:
        ValueError: there are no similarities, or fewer pairs are asked for than there are parts of the sample.
    """
    if num_pairs < 4:
        raise ValueError(f"--pairs {num_pairs}: expected at least 4, to sample near, below and above the threshold")
    pairs = sorted((s, row_id, n) for row_id, row in similarities.items() for n, s in enumerate(row, start=1))
    if not pairs:
        raise ValueError("no similarity was measured: build with --filter labels or open_clip")
    cut = sum(similarity < threshold for similarity, _, _ in pairs)
    reach = len(pairs) if len(pairs) <= num_pairs else max(num_pairs // 4, round(len(pairs) * NEAR_SHARE / 2))
    strata = _strata(pairs, cut, reach, num_pairs)
    while strata[0][1] > len(strata[0][0]) < len(pairs):  # of a small set, or with the threshold at its edge
        reach += 1
        strata = _strata(pairs, cut, reach, num_pairs)
    rng = random.Random(seed)  # noqa: S311  (a sample, not a secret)
    drawn: list[Pair] = []
    for stratum, count in strata:
        sample = rng.sample(stratum, min(count, len(stratum)))
        weight = len(stratum) / len(sample)
        drawn += [Pair(row_id, n, s, weight, min(similarities[row_id])) for s, row_id, n in sample]
    rng.shuffle(drawn)
    return drawn


def _strata(pairs: list[_Scored], cut: int, reach: int, num_pairs: int) -> list[tuple[list[_Scored], int]]:
    """The pairs near the threshold, those below and those above, each with how many are drawn."""
    low, high = max(0, cut - reach), min(len(pairs), cut + reach)
    far = [(part, min(len(part), num_pairs // 4)) for part in (pairs[:low], pairs[high:]) if part]
    return [(pairs[low:high], num_pairs - sum(count for _, count in far)), *far]


def show_pairs(pairs: Sequence[Pair], dialogues: Iterable[Dialogue]) -> str:
    """An HTML page of the numbered pairs, without their similarity, which would bias the labels."""
    shown = to_shown(pairs, dialogues)
    lead = "Does the text fit the image?"
    return render_page(PAGES / "pairs.html", title="Pairs to label", lead=lead, pairs=shown)


def to_shown(pairs: Sequence[Pair], dialogues: Iterable[Dialogue]) -> list[tuple[bytes, str]]:
    """Image file and text of each pair.

    Args:
        pairs: the sampled pairs.
        dialogues: those of the pairs, in any order.
    """
    found = {dialogue.id: dialogue for dialogue in dialogues}
    return [(found[p.id].images[p.number - 1].data, "\n".join(texts_about(found[p.id], p.number))) for p in pairs]


def ask_labels(path: Path, pairs: Sequence[Pair], ask: Callable[[str], str]) -> dict[str, bool]:
    """Prompt for the missing labels; each one is written before the next prompt.

    Args:
        path: labels.jsonl, appended to; the last line of a pair counts.
        pairs: pairs to label, in order.
        ask: shows a prompt and returns the answer; EOFError ends the session.

    Returns:
        Labels by key of the pair: True if the text matches the image.
    """
    labels = read_labels(path)
    keys = [pair.key for pair in pairs]
    place = 0
    while place < len(keys):
        if keys[place] in labels:
            place += 1
            continue
        try:
            answer = ask(f"pair {place + 1} of {len(keys)}: does the text fit the image? [y/n, u undo, q quit] ")
        except EOFError:
            break
        word = answer.strip().lower()
        if word == "q":
            break
        if word in ("y", "n"):
            labels[keys[place]] = word == "y"
            append_label(path, keys[place], word == "y")
            place += 1
        elif word == "u" and place > 0:
            place -= 1
            labels.pop(keys[place])
            append_label(path, keys[place], None)
    return labels


def append_label(path: Path, key: str, fits: bool | None) -> None:
    """Add a mark to a file of labels, on disk when this returns. Args: fits: None takes an earlier mark back."""
    with path.open("ab+") as file:
        if file.tell():  # a kill may have left a line without its end
            file.seek(-1, os.SEEK_END)
            file.write(b"" if file.read(1) == b"\n" else b"\n")
        file.write((json.dumps({"pair": key, "fits": fits}) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def labels_path(work: Path, person: str = "") -> Path:
    """File of the labels of a person; `labels.jsonl` without a name."""
    return work / (f"labels-{person}.jsonl" if person else LABELS_NAME)


def read_people(work: Path) -> dict[str, dict[str, bool]]:
    """The labels of everybody who marked pairs of a work folder, by name."""
    paths = sorted(work.glob("labels*.jsonl"))
    found = {path.stem.removeprefix("labels").removeprefix("-"): read_labels(path) for path in paths}
    return {name: labels for name, labels in found.items() if labels}


def read_labels(path: Path) -> dict[str, bool]:
    """Labels by key of the pair, without undone ones."""
    labels: dict[str, bool | None] = {}
    if path.is_file():
        labels = {row["pair"]: row["fits"] for row in read_jsonl(path, "fix or remove the line")}
    return {key: fits for key, fits in labels.items() if fits is not None}


def measure_filter(
    pairs: Sequence[Pair], labels: Mapping[str, bool], thresholds: Sequence[float], seed: int = 0
) -> list[FilterQuality]:
    """Estimate precision and recall over all pairs at several thresholds.

    Args:
        pairs: the sampled pairs.
        labels: by key of the pair.
        thresholds: minimum similarities.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: no pair has a label.
    """
    labelled = [pair for pair in pairs if pair.key in labels]
    if not labelled:
        raise ValueError("no pair has a label yet")
    similarity = np.array([pair.similarity for pair in labelled])
    fits = np.array([labels[pair.key] for pair in labelled])
    weight = np.array([pair.weight for pair in labelled])
    resampled = np.random.default_rng(seed).integers(len(labelled), size=(_NUM_RESAMPLES, len(labelled)))
    found = []
    for threshold in thresholds:
        kept = similarity >= threshold
        found.append(
            FilterQuality(
                threshold,
                _share(fits & kept, kept, weight, resampled),
                _share(fits & kept, fits, weight, resampled),
                float(weight[kept].sum() / weight.sum()),
            )
        )
    return found


def _share(
    part: NDArray[np.bool_], whole: NDArray[np.bool_], weight: NDArray[np.float64], resampled: NDArray[np.int64]
) -> tuple[float, float, float] | None:
    """Weighted share of `part` in `whole` with its 95 % interval, None if `whole` is empty.

    Args:
        part: shape (pairs,), a subset of `whole`.
        whole: shape (pairs,).
        weight: shape (pairs,).
        resampled: indices of bootstrap samples, shape (resamples, pairs).
    """
    if not whole.any():
        return None
    total = (weight * whole)[resampled].sum(axis=1)
    shares = (weight * part)[resampled].sum(axis=1)[total > 0] / total[total > 0]
    low, high = np.quantile(shares, [0.025, 0.975])
    return float((weight * part).sum() / (weight * whole).sum()), float(low), float(high)


def show_quality(found: Sequence[FilterQuality], num_labels: int) -> str:
    """The results as a text table."""
    lines = [
        f"{num_labels} labels; shares of all pairs, 95 % intervals",
        "threshold   kept  precision            recall",
    ]
    lines += [
        f"{q.threshold:9.3f} {q.kept:6.1%}  {_show_share(q.precision):<20} {_show_share(q.recall)}".rstrip()
        for q in found
    ]
    return "\n".join(lines)


def _show_share(share: tuple[float, float, float] | None) -> str:
    return "not defined" if share is None else f"{share[0]:.2f} [{share[1]:.2f}, {share[2]:.2f}]"
