"""What the filters did, to look at: the funnel by reason, the distribution of similarity, pairs at the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.collect.work_folder import read_dialogues, read_similarities, read_threshold
from mmcr_dataset.filters.clip_match import texts_about
from mmcr_dataset.page import (
    Section,
    show_bars,
    show_histogram,
    show_images,
    show_page,
    show_table,
    show_text,
)
from mmcr_dataset.stage.stages import STAGES, StageCount, read_jsonl

NUM_EXAMPLES = 6  # pairs on each side of the threshold
_NUM_BINS = 40
_ROWS_A_REASON = 3
_TEXT_CHARACTERS = 600


def show_report(work: Path, counts: Sequence[StageCount]) -> str:
    """The page of a build.

    Args:
        work: its work folder.
        counts: what each stage did.
    """
    scores = {row_id: values for row_id, values in read_similarities(work).items() if values}
    least = read_threshold(work)
    sections = [Section("Funnel", _show_funnel(counts))]
    sections += [Section(f"Removed by {count.stage}", _show_removed(work, count)) for count in counts if count.removed]
    if scores:
        sections.append(Section("Similarity of image and text", _show_similarity(scores, least)))
        sections.append(Section("At the threshold", _show_examples(work, scores, least)))
    return show_page(work.name.removesuffix(".work"), "What became of the documents, and why.", sections)


def _show_funnel(counts: Sequence[StageCount]) -> str:
    bars = [("documents", float(counts[0].num_in), f"{counts[0].num_in:,}")]
    for count in counts:
        share = count.num_kept / count.num_in if count.num_in else 0.0
        bars.append((f"after {count.stage}", float(count.num_kept), f"{count.num_kept:,} ({share:.1%} of its input)"))
    return show_bars(bars)


def _show_removed(work: Path, count: StageCount) -> str:
    shares = [[reason, number, f"{number / count.num_in:.2%}"] for reason, number in count.removed.items()]
    folder = work / f"{STAGES[count.stage][0]}_removed"
    rows = [
        [reason, row["id"], _cut_text(row["detail"])]
        for reason in count.removed
        for row in islice(read_jsonl(folder / f"{reason}.jsonl"), _ROWS_A_REASON)
    ]
    return show_table(["reason", "rows", "share of the input"], shares) + show_table(["reason", "id", "detail"], rows)


def _show_similarity(scores: Mapping[str, Sequence[float]], least: float | None) -> str:
    worst = np.array([min(values) for values in scores.values()])
    counts, edges = np.histogram(worst, bins=_NUM_BINS)
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    table = show_table(
        [f"{quantile:.0%} are below" for quantile in quantiles],
        [[f"{value:.3f}" for value in np.quantile(worst, quantiles)]],
    )
    said = "No threshold was asked for." if least is None else _show_cut(worst, least)
    chart = show_histogram(edges.tolist(), counts.tolist(), "cosine of a dialogue's worst image", 2, least)
    return show_text(said) + chart + table


def _show_cut(worst: NDArray[np.float64], least: float) -> str:
    kept = int((worst >= least).sum())
    return (
        f"At least {least:.3f} was asked for: {kept:,} of {len(worst):,} dialogues ({kept / len(worst):.1%}) reach it."
    )


def _show_examples(work: Path, scores: Mapping[str, Sequence[float]], least: float | None) -> str:
    worst = sorted((min(values), row_id) for row_id, values in scores.items())
    cut = sum(value < least for value, _ in worst) if least is not None else NUM_EXAMPLES
    wanted = worst[max(0, cut - NUM_EXAMPLES) : cut + NUM_EXAMPLES]
    ids = {row_id for _, row_id in wanted}
    found = {dialogue.id: dialogue for dialogue in read_dialogues(work, "generate", ids)}
    parts = []
    for value, row_id in wanted:
        number = scores[row_id].index(value) + 1
        text = " ".join(texts_about(found[row_id], number))
        verdict = "" if least is None else (", kept" if value >= least else ", removed")
        caption = f"{value:.3f}{verdict}: image {number} of {row_id}"
        parts.append(show_images([(caption, found[row_id].images[number - 1].data)]) + show_text(_cut_text(text)))
    return "".join(parts)


def _cut_text(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS].rpartition(" ")[0] + " ..."
