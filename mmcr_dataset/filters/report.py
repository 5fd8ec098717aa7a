"""HTML report of a build: funnel, removed rows by reason, histogram of similarity, pairs at the threshold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.filters.clip_match import texts_about
from mmcr_dataset.filters.keep import kind_of
from mmcr_dataset.pages.render import PAGES, render_page
from mmcr_dataset.record.plain_text import cut_text
from mmcr_dataset.stage.stages import ENTRIES, REMOVED, REMOVED_IMAGES, StageCount, read_jsonl
from mmcr_dataset.stage.work_folder import read_dialogues, read_similarities, read_thresholds

NUM_EXAMPLES = 6  # pairs on each side of the threshold
_NUM_BINS = 40
_ROWS_A_REASON = 3
_TEXT_CHARACTERS = 600


def show_report(work: Path, counts: Sequence[StageCount]) -> str:
    """Render the report of a build.

    Args:
        work: the work folder.
        counts: counts of each stage.
    """
    scores = {row_id: values for row_id, values in read_similarities(work).items() if values}
    of_kinds = [
        (kind, least, {id_: values for id_, values in scores.items() if kind_of(len(values)) == kind})
        for kind, least in read_thresholds(work).items()
    ]
    return render_page(
        PAGES / "build.html",
        title=work.name.removesuffix(".work"),
        lead="Documents kept and removed by each stage, with reasons.",
        funnel=_to_funnel(counts),
        counted=[[count.stage, rule, f"{n:,}"] for count in counts for rule, n in count.counted.items()],
        removed=[_to_removed(work, count) for count in counts if count.removed],
        similarities=[
            (kind, _to_similarity(found, least), _to_examples(work, found, least))
            for kind, least, found in of_kinds
            if found
        ],
    )


def _to_funnel(counts: Sequence[StageCount]) -> list[tuple[str, int, str]]:
    bars = [("documents", counts[0].num_in, f"{counts[0].num_in:,}")]
    for count in counts:
        share = count.num_kept / count.num_in if count.num_in else 0.0
        bars.append((f"after {count.stage}", count.num_kept, f"{count.num_kept:,} ({share:.1%} of its input)"))
    return bars


def _to_removed(work: Path, count: StageCount) -> dict[str, Any]:
    rows = [
        [reason, row["id"], _cut_text(row["detail"])]
        for reason in count.removed
        for row in islice(read_jsonl(_removed_folder(work, count.stage) / f"{reason}.jsonl"), _ROWS_A_REASON)
    ]
    shares = [[reason, number, f"{number / count.num_in:.2%}"] for reason, number in count.removed.items()]
    return {"name": count.stage, "shares": shares, "rows": rows}


def _removed_folder(work: Path, stage: str) -> Path:
    if stage == "cluster":
        return work / REMOVED_IMAGES
    of_images = stage == "collect" and (work / ENTRIES).is_dir()
    return (work / ENTRIES if of_images else work) / REMOVED[stage]


def _to_similarity(scores: Mapping[str, Sequence[float]], least: float | None) -> dict[str, Any]:
    worst = np.array([min(values) for values in scores.values()])
    counts, edges = np.histogram(worst, bins=_NUM_BINS)
    quantiles = [0.05, 0.25, 0.5, 0.75, 0.95]
    return {
        "summary": "No threshold was set." if least is None else _show_threshold(worst, least),
        "counts": counts.tolist(),
        "edges": edges.tolist(),
        "threshold": least,
        "quantiles": [f"{quantile:.0%} are below" for quantile in quantiles],
        "shares": [f"{value:.3f}" for value in np.quantile(worst, quantiles)],
    }


def _show_threshold(worst: NDArray[np.float64], least: float) -> str:
    """One sentence; `worst`: similarity of each dialogue's worst image, shape (dialogues,)."""
    kept = int((worst >= least).sum())
    return f"Threshold {least:.3f}: {kept:,} of {len(worst):,} dialogues ({kept / len(worst):.1%}) are at or above it."


def _to_examples(
    work: Path, scores: Mapping[str, Sequence[float]], least: float | None
) -> Iterator[tuple[str, bytes, str]]:
    """Yield (caption, image, text) of pairs on both sides of the threshold."""
    worst = sorted((min(values), row_id) for row_id, values in scores.items())
    cut = sum(value < least for value, _ in worst) if least is not None else NUM_EXAMPLES
    wanted = worst[max(0, cut - NUM_EXAMPLES) : cut + NUM_EXAMPLES]
    ids = {row_id for _, row_id in wanted}
    found = {dialogue.id: dialogue for dialogue in read_dialogues(work, "generate", ids)}
    for value, row_id in wanted:
        number = scores[row_id].index(value) + 1
        text = " ".join(texts_about(found[row_id], number))
        verdict = "" if least is None else (", kept" if value >= least else ", removed")
        caption = f"{value:.3f}{verdict}: image {number} of {row_id}"
        yield caption, found[row_id].images[number - 1].data, _cut_text(text)


def _cut_text(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS else cut_text(text, _TEXT_CHARACTERS) + " ..."
