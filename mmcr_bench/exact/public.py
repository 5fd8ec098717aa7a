"""The public set of the controlled world: the settings that it is built from, and the checksums that it must have."""

from __future__ import annotations

import hashlib
import json
import logging
from importlib import resources
from pathlib import Path
from typing import TypedDict, cast

import PIL

from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.check_images import thumbnail_of
from mmcr_bench.exact.exact_set import PROGRAMS_NAME, read_exact
from mmcr_bench.exact.settings import ExactSettings
from mmcr_dataset.publish.croissant import file_sha256

log = logging.getLogger(__name__)

PUBLIC = ExactSettings(num_dialogues=1000, seed=2503, style="rich", sides=(2, 3))
_NAME = "public.json"


class Checksums(TypedDict):
    """What the public set is told by.

    Attributes:
        programs: sha256 of `exact.jsonl`: scenes, programs, answers, facts, guesses.
        words: sha256 of all questions and references, row by row in the order of their ids.
        images: sha256 of small copies of all images, in the same order.
        pillow: version of Pillow that painted them.
    """

    programs: str
    words: str
    images: str
    pillow: str


def checksums_of(folder: Path) -> Checksums:
    """The checksums of a set. Args: folder: written by `python -m mmcr_bench exact build`."""
    words, images = hashlib.sha256(), hashlib.sha256()
    dialogues = {item.dialogue.id: item.dialogue for item in read_exact(folder)}
    for id_ in sorted(dialogues):
        said = [[turn.human_text, turn.assistant] for turn in dialogues[id_].turns]
        words.update(json.dumps([id_, said]).encode())
        for image in dialogues[id_].images:
            images.update(thumbnail_of(image.data))
    return Checksums(
        programs=file_sha256(folder / PROGRAMS_NAME),
        words=words.hexdigest(),
        images=images.hexdigest(),
        pillow=PIL.__version__,
    )


def published() -> Checksums:
    """The checksums of the public set."""
    text = resources.files("mmcr_bench.exact").joinpath(_NAME).read_text("utf-8")
    return cast("Checksums", json.loads(text))


def build_public(out: Path) -> str:
    """Build the public set; returns what was built, in words.

    Args:
        out: the folder; must not exist.

    Raises:
        ValueError: the folder exists, or what was built is not the public set.
    """
    said = build_exact(out, PUBLIC)
    found, expected = checksums_of(out), published()
    wrong = [name for name in ("programs", "words") if found[name] != expected[name]]
    if wrong:
        raise ValueError(
            f"{out}: {' and '.join(wrong)} are not those of the public set, so scores on it are no scores on that; use "
            "the versions of constraints.txt, or name it as a set of your own"
        )
    if found["images"] != expected["images"]:
        log.warning(
            "%s: images were painted with Pillow %s, those published with %s: some pixels differ",
            out, found["pillow"], expected["pillow"],
        )  # fmt: skip
    return f"{said}; the public set"
