"""Compute the paper's Table 1 and histograms of lengths from the published rows.

By default a word or punctuation mark counts as one token, and an image as 256 (one Ovis2 tile of 448 pixels).
`--tokenizer` counts text with a tokenizer file instead, `--count_as` images as a model family does.
"""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from mmcr_dataset.publish.image_tokens import Size
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.image_licences import licence_names
from mmcr_dataset.record.images import open_image
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.stage.stages import write_text

IMAGE_TOKENS = 256
NUM_BINS = 20
_ROWS_AT_ONCE = 100
_TOKENIZER_BYTES_MAX = 200_000_000
STATISTICS_NAME = "statistics.json"
_COLUMNS = ["conversations", "num_turns", "num_images", "source", "generation", "clip_similarity"]

# Paper, Table 1: MMCR-310k, for comparison.
PAPER_TABLE_1 = {
    "single": {
        "num_rows": 210_000,
        "tokens_mean": 1400,
        "tokens_max": 1800,
        "num_images": 210_000,
        "num_pairs": 840_000,
    },
    "multi": {
        "num_rows": 100_000,
        "tokens_mean": 3500,
        "tokens_max": 6000,
        "num_images": 270_000,
        "num_pairs": 870_000,
    },
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of one configuration.

    Attributes:
        num_rows: number of dialogues.
        num_images: number of images.
        num_pairs: number of question-answer pairs.
        tokens_mean: mean tokens of a dialogue, images included.
        tokens_max: maximum tokens of a dialogue.
        turns: number of dialogues by number of turns.
        images: share (0..1) of the dialogues by number of images.
        words_answer_mean: mean words of an answer.
        similarity_min: minimum similarity of an image, None if not computed.
        tokens_edges: bin edges of the histogram of tokens, one more than `tokens_counts`.
        tokens_counts: number of dialogues in each bin.
        writers: number of dialogues by writer and model.
        licences: number of dialogues by license; one whose images have several counts for each.
    """

    num_rows: int
    num_images: int
    num_pairs: int
    tokens_mean: float
    tokens_max: int
    turns: dict[str, int]
    images: dict[str, float]
    words_answer_mean: float
    similarity_min: float | None
    tokens_edges: list[float]
    tokens_counts: list[int]
    writers: dict[str, int]
    licences: dict[str, int]


def count_tokens(text: str) -> int:
    """Number of words and punctuation marks, an estimate without a tokenizer."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def load_token_counter(path: Path) -> Callable[[str], int]:
    """A token counter from a `tokenizer.json` file.

    Raises:
        ValueError: there is no such file, or it can't be read.
    """
    from tokenizers import Tokenizer

    if not path.is_file():
        raise ValueError(f"--tokenizer {path}: no such file; expected a tokenizer.json")
    if path.stat().st_size > _TOKENIZER_BYTES_MAX:
        raise ValueError(f"--tokenizer {path}: larger than {_TOKENIZER_BYTES_MAX:,} bytes, no tokenizer.json is")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise ValueError(f"--tokenizer {path}: not a tokenizer.json that can be read ({error})") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def describe(
    folder: Path,
    count: Callable[[str], int] = count_tokens,
    count_images: Callable[[Sequence[Size]], int] | None = None,
) -> dict[str, Statistics]:
    """Statistics of each configuration (`single`, `multi`) of a data set folder.

    Args:
        folder: a data set folder.
        count: counts the tokens of a text.
        count_images: counts the tokens of the images of a dialogue from their sizes, which are read from the images;
            None for `IMAGE_TOKENS` each.

    Raises:
        ValueError: the folder has no rows.
    """
    tallies = {"single": _Tally(count), "multi": _Tally(count)}
    for path in sorted(folder.rglob("*.parquet")):
        tally = tallies["multi" if path.parent.name == "multi" else "single"]
        columns = _COLUMNS if count_images is None else [*_COLUMNS, "images"]
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows_a_batch(file, _ROWS_AT_ONCE), columns=columns):
                for row in batch.to_pylist():
                    tally.add(_with_image_tokens(row, count_images))
    found = {name: tally.to_statistics() for name, tally in tallies.items() if tally.tokens}
    if not found:
        raise ValueError(f"{folder}: no rows; expected a folder written by `python -m mmcr_dataset build`")
    return found


def _with_image_tokens(row: dict[str, Any], count_images: Callable[[Sequence[Size]], int] | None) -> dict[str, Any]:
    images = row.pop("images", [])
    if count_images is None:
        return row | {"image_tokens": IMAGE_TOKENS * row["num_images"]}
    return row | {"image_tokens": count_images([open_image(image["bytes"]).size for image in images])}


class _Tally:
    """Sums over the rows of one configuration: a few numbers a row in memory, not the rows."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self.tokens, self._answers = array("q"), array("q")  # of each dialogue, words of each answer
        self._num_images = self._num_pairs = 0
        self._similarity_min: float | None = None
        self._turns, self._images, self._writers, self._licences = (Counter[str]() for _ in range(4))

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row."""
        texts = [entry["value"] for entry in row["conversations"]]
        self.tokens.append(sum(self._count(text.replace("<image>", "")) for text in texts) + row["image_tokens"])
        self._answers.extend(len(text.split()) for text in texts[1::2])
        self._num_images += row["num_images"]
        self._num_pairs += row["num_turns"]
        known = [value for value in row["clip_similarity"] if value is not None]
        self._similarity_min = (
            min(known, default=None) if self._similarity_min is None else min([self._similarity_min, *known])
        )
        self._turns[str(row["num_turns"])] += 1
        self._images[str(row["num_images"])] += 1
        self._writers[_writer(row["generation"])] += 1
        self._licences.update(sorted(set(licence_names(row["source"]["licence"]))))

    def to_statistics(self) -> Statistics:
        """The statistics of all rows."""
        tokens = np.array(self.tokens)
        counts, edges = np.histogram(tokens, bins=NUM_BINS)
        return Statistics(
            num_rows=len(tokens),
            num_images=self._num_images,
            num_pairs=self._num_pairs,
            tokens_mean=round(float(tokens.mean()), 1),
            tokens_max=int(tokens.max()),
            turns=dict(sorted(self._turns.items())),
            images={number: round(n / len(tokens), 4) for number, n in sorted(self._images.items())},
            words_answer_mean=round(float(np.mean(np.array(self._answers))), 1),
            similarity_min=None if self._similarity_min is None else round(self._similarity_min, 4),
            tokens_edges=[round(float(edge), 1) for edge in edges],
            tokens_counts=[int(n) for n in counts],
            writers=dict(self._writers.most_common()),
            licences=dict(self._licences.most_common()),
        )


def _writer(generation: dict[str, Any]) -> str:
    return " ".join(part for part in (generation["writer"] or "unknown", generation["model"]) if part)


def write_statistics(folder: Path, statistics: dict[str, Statistics]) -> None:
    """Write statistics.json, for the card and for reports."""
    values = {name: asdict(numbers) for name, numbers in statistics.items()}
    write_text(folder / STATISTICS_NAME, json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def load_statistics(folder: Path) -> dict[str, Statistics]:
    """Read statistics.json.

    Raises:
        ValueError: the folder has no statistics.json.
    """
    path = folder / STATISTICS_NAME
    if not path.is_file():
        raise ValueError(f"{path} is missing; run `python -m mmcr_dataset describe {folder}`")
    return {name: Statistics(**values) for name, values in json.loads(path.read_text("utf-8")).items()}


def show_table(statistics: dict[str, Statistics]) -> str:
    """Table 1 as Markdown, with the paper's numbers for comparison."""
    names = list(statistics)
    header = ["", *(column for name in names for column in (name, f"MMCR-310k {name}"))]
    rows: list[list[str]] = []
    for label, field in (
        ("dialogues", "num_rows"),
        ("images", "num_images"),
        ("question-answer pairs", "num_pairs"),
        ("tokens, mean", "tokens_mean"),
        ("tokens, max", "tokens_max"),
    ):
        both = [number for name in names for number in (getattr(statistics[name], field), PAPER_TABLE_1[name][field])]
        rows.append([label, *(f"{number:,}" for number in both)])
    shares = {"single": "1: 100 %", "multi": "2: 61.5 %, 3: 27.6 %, 4: 10.9 %"}
    turns = {"single": "4", "multi": "8"}
    images_row, turns_row = ["images a dialogue"], ["turns"]
    for name in names:
        ours = (f"{n}: {share * 100:.1f} %" for n, share in statistics[name].images.items())
        images_row += [", ".join(ours), shares[name]]
        turns_row += [", ".join(statistics[name].turns), turns[name]]
    return to_table(header, [*rows, images_row, turns_row], right=range(1, len(header)))


def show_histogram(statistics: Statistics, width: int = 40) -> str:
    """Histogram of tokens a dialogue as text, bars of at most `width` characters."""
    most = max(statistics.tokens_counts)
    lines = []
    for low, high, count in zip(
        statistics.tokens_edges, statistics.tokens_edges[1:], statistics.tokens_counts, strict=False
    ):
        lines.append(f"{low:7.0f} - {high:7.0f} {'█' * round(width * count / most):<{width}} {count}")
    return "\n".join(lines)
