"""Settings of a build, each declared once: the flags of `python -m mmcr_dataset build`, their help and defaults.

Imports no heavy package, so that `--help` stays fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mmcr_dataset.collect.screen import Screen
from mmcr_dataset.collect.sources.column_map import ColumnMap
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.filters.keep import Keep
from mmcr_dataset.filters.rules import read_modes
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.mmdu.cluster_settings import ClusterSettings
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.engine import EngineSettings

arg = tyro.conf.arg


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of a build.

    Attributes:
        source: demo; a file or folder; or hub:ORG/NAME[@REVISION][:GLOB], streamed. The format is detected, or given
            as KIND:PLACE: omnicorpus, obelics, wit (Parquet), mmc4 (.jsonl, .gz, .zip), webdataset (.tar), wiki (folder
            with a MediaWiki export and its images), folder with images and .txt files.
        columns: columns of Parquet files of any other image-text set: text=COLUMN,image=COLUMN, also url=, licence= and
            id=; several as text=title+body. A set of the Hub in another format: hub:ORG/NAME@refs/convert/parquet.
        out: output folder; its name becomes the name of the data set. Stages are kept in a second folder, this
            name + .work.
        num_single: number of documents with one image to sample, or with --recipe mmdu of images to cluster; None for
            all.
        num_multi: number of documents with several images to sample, or of clusters; None for all.
        seed: random seed of the sampling.
        licence: license of the images and texts, where the source has none.
        matcher: model of the image-text similarity: none, labels, open_clip (ViT-L-14/openai) or
            open_clip:MODEL/PRETRAINED.
        similarity_min: similarity threshold: minimum cosine of each image and its text; X, or single=X,multi=Y.
        keep_rate: share of the dialogues of each kind to keep by similarity (a quantile), instead of a threshold; X, or
            single=X,multi=Y.
        keep_numbers: number of dialogues of each kind to keep, the best by similarity: single=N,multi=N (the paper:
            single=210000,multi=100000).
        image_shares: shares of the dialogues with several images by their number, in percent or any unit (the paper:
            2=61.5,3=27.6,4=10.9); what is short is said.
        rules: change what is done with a dialogue that violates a rule of the text: NAME=drop, NAME=count or NAME=off;
            the default is the paper's. May be repeated.
        evaluation_sets: decontamination: remove dialogues that show an image of this evaluation set; a folder,
            Parquet or VLMEvalKit TSV. May be repeated.
        estimate_only: estimate the cost of the writer and stop before it.
        screen: filters on documents before their images are fetched.
        fetch: how images are fetched.
        writer: how dialogues are written.
        engine: where the stages run.
        limits: size limits of an image.
        reencode: encode images anew that loaders show differently (16-bit, CMYK, palette, alpha, EXIF orientation,
            animation), as plain 8-bit RGB.
        clusters: how the images of `--recipe mmdu` are clustered.
    """

    source: Annotated[str, arg(metavar="[KIND:]PLACE")]
    out: Annotated[Path, arg(name="output_dir")]
    writer: WriterSettings
    columns: Annotated[str | None, arg(metavar="ROLE=COLUMN,...")] = None
    num_single: Annotated[int | None, arg(name="single", metavar="N")] = None
    num_multi: Annotated[int | None, arg(name="multi", metavar="N")] = None
    seed: int = 0
    licence: str | None = None
    matcher: Annotated[str, arg(name="filter")] = "open_clip"
    similarity_min: Annotated[float | str | None, arg(metavar="X")] = None
    keep_rate: Annotated[float | str | None, arg(metavar="X")] = None
    keep_numbers: Annotated[str | None, arg(name="keep", metavar="KIND=N,...")] = None
    image_shares: Annotated[str | None, arg(metavar="IMAGES=X,...")] = None
    rules: Annotated[tuple[str, ...], arg(name="rule", metavar="NAME=MODE"), tyro.conf.UseAppendAction] = ()
    evaluation_sets: Annotated[tuple[Path, ...], arg(name="evaluation_set"), tyro.conf.UseAppendAction] = ()
    estimate_only: Annotated[bool, arg(name="estimate")] = False
    screen: Screen = field(default_factory=Screen)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: tyro.conf.Suppress[ImageLimits] = field(default_factory=ImageLimits)
    reencode: bool = False
    clusters: ClusterSettings = field(default_factory=ClusterSettings)

    def __post_init__(self) -> None:
        for flag, number in (("--single", self.num_single), ("--multi", self.num_multi)):
            if number is not None and number < 0:
                raise ValueError(f"{flag} {number}: expected a number of documents, 0 or more")
        read_modes(self.rules, self.writer.recipe)
        if self.columns is not None:
            ColumnMap.read(self.columns)
        if self.keep and self.matcher == "none":
            raise ValueError(
                "--filter none computes no similarity: remove --similarity_min, --keep_rate, --keep and --image_shares"
            )
        if self.engine.name != "local" and self.writer.writer == "openai-batch":
            raise ValueError(
                f"--engine {self.engine.name}: the Batch API needs no ranks; --writer openai or --engine local"
            )
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--output_dir {self.out}: is a file, expected a folder")

    @property
    def keep(self) -> Keep:
        """What is kept by similarity."""
        return Keep.read(self.similarity_min, self.keep_rate, self.keep_numbers, self.image_shares)

    @property
    def work(self) -> Path:
        """Work folder of the stages, outside the data set folder so that it is never published."""
        return self.out.with_name(self.out.name + ".work")
