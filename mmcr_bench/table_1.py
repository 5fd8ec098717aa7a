"""Size of a bench compared with the paper's (lower half of its Table 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Size:
    """Size of one kind of dialogues.

    Attributes:
        num_dialogues: number of dialogues.
        num_images: total number of images.
        num_pairs: total number of question-answer pairs.
        images: share (0..1) of the dialogues by number of images.
    """

    num_dialogues: int
    num_images: int
    num_pairs: int
    images: Mapping[str, float]


# Paper, Table 1, MMCR-Bench.
PAPER_BENCH = {
    "single": Size(400, 400, 1600, {"1": 1.0}),
    "multi": Size(200, 537, 1600, {"2": 0.505, "3": 0.305, "4": 0.19}),
}


def measure_sizes(dialogues: Sequence[Dialogue]) -> dict[str, Size]:
    """The size of both kinds, `single` and `multi`, including empty ones."""
    kinds = {
        "single": [dialogue for dialogue in dialogues if len(dialogue.images) == 1],
        "multi": [dialogue for dialogue in dialogues if len(dialogue.images) > 1],
    }
    return {name: _measure(these) for name, these in kinds.items()}


def _measure(dialogues: Sequence[Dialogue]) -> Size:
    counts = Counter(str(len(dialogue.images)) for dialogue in dialogues)
    return Size(
        num_dialogues=len(dialogues),
        num_images=sum(len(dialogue.images) for dialogue in dialogues),
        num_pairs=sum(len(dialogue.turns) for dialogue in dialogues),
        images={number: round(count / len(dialogues), 4) for number, count in sorted(counts.items())},
    )


def show_table_1(sizes: Mapping[str, Size]) -> str:
    """Both kinds and the paper's numbers as a Markdown table."""
    header = ["", *(column for name in sizes for column in (name, f"paper, {name}"))]
    both = [size for name in sizes for size in (sizes[name], PAPER_BENCH[name])]
    rows = [
        ["dialogues", *(f"{size.num_dialogues:,}" for size in both)],
        ["images", *(f"{size.num_images:,}" for size in both)],
        ["question-answer pairs", *(f"{size.num_pairs:,}" for size in both)],
        ["images a dialogue", *(_show_shares(size.images) for size in both)],
    ]
    return to_table(header, rows, right=range(1, len(header)))


def _show_shares(images: Mapping[str, float]) -> str:
    return ", ".join(f"{number}: {share * 100:.1f} %" for number, share in images.items()) or "-"
