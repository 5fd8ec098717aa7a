"""The dataset card (README.md) of a bench: metadata for `load_dataset` and the Hub, and a description for readers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from mmcr_bench.judge.mmdu_rubric import MMDU_DIMENSIONS
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_bench.table_1 import measure_sizes, show_table_1
from mmcr_dataset.publish.markdown_table import escape_markdown, to_table
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.image_licences import licence_names
from mmcr_dataset.record.recipe import RecipeName

SPLIT = "test"


class About(NamedTuple):
    """What a card says of the bench of a recipe: its name, what it is, and its scores."""

    name: str
    text: str
    scores: str


ABOUT: Mapping[RecipeName, About] = {
    "mmcr": About(
        "MMCR-Bench",
        "Dialogues of several turns about one to four images.",
        "Integers from 1 to 10, reported times ten as means over the dialogues: "
        + ", ".join(dimension.title.lower() for dimension in DIMENSIONS),
    ),
    "mmdu": About(
        "MMDU bench",
        "Long dialogues about 2 to 20 related images of encyclopedia pages, after the recipe of MMDU (arXiv "
        "2406.11833). It is not MMDU's own set of 110 dialogues.",
        "Integers from 1 to 10, reported times ten as means over the turns: "
        + ", ".join(dimension.title.lower() for dimension in MMDU_DIMENSIONS)
        + ", overall",
    ),
}


def write_card(
    folder: Path, dialogues: Sequence[Dialogue], notes: Sequence[str] = (), recipe: RecipeName = "mmcr"
) -> None:
    """Write README.md into a bench folder that holds the shards of these dialogues; `notes` are its last lines."""
    text = "\n".join([show_card(dialogues, shards_sha256(folder), recipe), *notes])
    (folder / "README.md").write_text(text, encoding="utf-8")


def shards_sha256(folder: Path) -> str:
    """SHA-256 over the relative path and content of each shard of a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.parquet")):
        total.update(path.relative_to(folder).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def show_card(dialogues: Sequence[Dialogue], content_sha256: str, recipe: RecipeName = "mmcr") -> str:
    """The card as Markdown with the configurations `default`, `single` and `multi` (those that have rows).

    Each configuration contains the hash of the shards: `datasets` caches a local folder by its card alone, and would
    return stale rows for a folder that was regenerated.
    """
    sizes = measure_sizes(dialogues)
    configs = [("default", f"*/{SPLIT}-*.parquet")]
    configs += [(name, f"{name}/{SPLIT}-*.parquet") for name, size in sizes.items() if size.num_dialogues]
    about = ABOUT[recipe]
    lines = ["---", f"pretty_name: {about.name}", "language:", "- en", "task_categories:", "- image-text-to-text"]
    lines += ["size_categories:", "- n<1K", "configs:"]
    for name, pattern in configs:
        lines += [
            f"- config_name: {name}",
            f"  description: shards sha256 {content_sha256}",
            *(["  default: true"] if name == "default" else []),
            "  data_files:",
        ]
        lines += [f"  - split: {SPLIT}", f'    path: "{pattern}"']
    lines += ["---", "", f"# {about.name}", ""]
    lines += [
        f"{about.text} A model answers turn by turn with its own answers in the history; a judge compares its answers "
        "with the references.",
        "",
        show_table_1(sizes) if recipe == "mmcr" else _show_mmdu_sizes(dialogues),
        *_show_topics(dialogues),
        "",
        "## Scores",
        "",
        f"{about.scores}.",
        "",
        *_show_licences(dialogues, recipe),
        "## Not for training",
        "",
        "No dialogue of this bench, and none that shows one of its images, is in the data set it was drawn from.",
        "",
    ]
    return "\n".join(lines)


def _show_mmdu_sizes(dialogues: Sequence[Dialogue]) -> str:
    """The size beside that of MMDU's own set (its README; means of images and turns are not given there)."""
    images, turns = (
        [len(part) for part in parts] for parts in zip(*((d.images, d.turns) for d in dialogues), strict=True)
    )
    rows = [
        ["dialogues", f"{len(dialogues):,}", "110"],
        ["questions", f"{sum(turns):,}", "more than 1,600"],
        ["images a dialogue", f"{min(images)} to {max(images)}, mean {fmean(images):.1f}", "2 to 20"],
        ["turns a dialogue", f"{min(turns)} to {max(turns)}, mean {fmean(turns):.1f}", "up to 27"],
    ]
    return to_table(("", "this bench", "MMDU"), rows, right=(1, 2))


def _show_licences(dialogues: Sequence[Dialogue], recipe: RecipeName) -> list[str]:
    """The images' licences with their numbers; the row of a dialogue has licence, author and page of each image."""
    if recipe == "mmcr":
        return []
    names = Counter(name for one in dialogues for name in licence_names(one.source.licence))
    rows = [[escape_markdown(name), f"{count:,}"] for name, count in names.most_common()]
    text = (
        "Licence, author and page of each image stand in its row, in `source.licence`, as `Image_1: ...; Image_2: ...`."
    )
    return ["## Licences", "", text, "", to_table(("licence", "images"), rows, right=(1,)), ""]


def _show_topics(dialogues: Sequence[Dialogue]) -> list[str]:
    topics = {(dialogue.domain, dialogue.topic) for dialogue in dialogues if dialogue.topic is not None}
    return ["", f"Topics: {len(topics)} in {len({domain for domain, _ in topics})} domains."] if topics else []
