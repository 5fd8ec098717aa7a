"""The settings of a build, each declared once: the flags of `python -m mmcr_dataset build`, their help and defaults.

Light: nothing heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mmcr_dataset.collect.screen import Screen
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.engine import EngineSettings

arg = tyro.conf.arg


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """A build: documents to dialogues to a data set folder.

    Attributes:
        source: demo; a file or folder; or hub:ORG/NAME[@REVISION][:GLOB], read in pieces. The kind is seen from the
            files, or written before as KIND:PLACE: omnicorpus, obelics (Parquet), mmc4 (.jsonl, .gz, .zip),
            webdataset (.tar), folder (images with .txt files beside them).
        out: folder of the data set; its name is the data set's name. Stages go to its neighbour, the name + .work.
        num_single: documents of one image to take; None for all.
        num_multi: documents of several images to take; None for all.
        seed: of the draw.
        licence: license of the images and texts, where the source does not say.
        matcher: similarity of image and text by none, labels, open_clip (which is ViT-L-14/openai) or
            open_clip:MODEL/PRETRAINED.
        similarity_min: least cosine of each image and its text.
        keep_rate: share of the dialogues to keep by similarity, instead of a threshold.
        evaluation_sets: decontamination: leave out dialogues that show an image of it; a folder, Parquet or
            VLMEvalKit TSV.
        estimate_only: say what the writer would cost, and stop before it.
        screen: what a document must be before its images are fetched.
        fetch: how images are fetched.
        writer: who writes the dialogues, and how.
        engine: where the writer runs.
        limits: what an image may be.
    """

    source: Annotated[str, arg(metavar="[KIND:]PLACE")]
    out: Annotated[Path, arg(name="output_dir")]
    writer: WriterSettings
    num_single: Annotated[int | None, arg(name="single", metavar="N")] = None
    num_multi: Annotated[int | None, arg(name="multi", metavar="N")] = None
    seed: int = 0
    licence: str | None = None
    matcher: Annotated[str, arg(name="filter")] = "open_clip"
    similarity_min: Annotated[float | None, arg(metavar="X")] = None
    keep_rate: Annotated[float | None, arg(metavar="X")] = None
    evaluation_sets: Annotated[tuple[Path, ...], arg(name="evaluation_set"), tyro.conf.UseAppendAction] = ()
    estimate_only: Annotated[bool, arg(name="estimate")] = False
    screen: Screen = field(default_factory=Screen)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: tyro.conf.Suppress[ImageLimits] = field(default_factory=ImageLimits)

    def __post_init__(self) -> None:
        for flag, number in (("--single", self.num_single), ("--multi", self.num_multi)):
            if number is not None and number < 0:
                raise ValueError(f"{flag} {number}: expected a number of documents, 0 or more")
        if self.keep_rate is not None and not 0 < self.keep_rate <= 1:
            raise ValueError(f"--keep_rate {self.keep_rate}: expected a share above 0 and at most 1")
        if self.similarity_min is not None and self.keep_rate is not None:
            raise ValueError("--similarity_min and --keep_rate: give one of them")
        if self.matcher == "none" and (self.similarity_min is not None or self.keep_rate is not None):
            raise ValueError("--filter none measures nothing: leave --similarity_min and --keep_rate out")
        if self.engine.name != "local" and self.writer.writer != "openai":
            raise ValueError(f"--engine {self.engine.name}: goes with --writer openai, got {self.writer.writer}")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--output_dir {self.out}: a file is in the way")

    @property
    def work(self) -> Path:
        """Folder of the stages, beside the data set so that publishing can't pick it up."""
        return self.out.with_name(self.out.name + ".work")
