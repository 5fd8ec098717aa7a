"""A `datasets` builder over a work folder: the rows of the published folder without writing it.

    open_builder(Path("mmcr-310k.work"), "single").as_streaming_dataset("train")

datasets 4 rejects loading scripts, but not builder classes that are used directly, as here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from datasets import ArrowBasedBuilder, BuilderConfig, DatasetInfo, Split, SplitGenerator

from mmcr_dataset.publish.parquet import ROWS_A_GROUP, arrow_schema, row_features
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.stage.stages import Stage
from mmcr_dataset.stage.takedowns import load_takedowns
from mmcr_dataset.stage.work_folder import read_dialogues


@dataclass
class WorkConfig(BuilderConfig):  # type: ignore[misc]  # datasets is not typed
    """Configuration of the builder.

    Attributes:
        work: the OUT.work folder of a finished build.
        content: hash of the kept rows, part of the cache key.
    """

    work: str = ""
    content: str = ""


class DialogueBuilder(ArrowBasedBuilder):  # type: ignore[misc]
    """Builder of the kept dialogues of a work folder, all or of one configuration."""

    BUILDER_CONFIG_CLASS = WorkConfig
    BUILDER_CONFIGS: ClassVar[list[WorkConfig]] = [WorkConfig(name=name) for name in ("default", "single", "multi")]
    DEFAULT_CONFIG_NAME = "default"

    def _info(self) -> DatasetInfo:
        return DatasetInfo(features=row_features())

    def _split_generators(self, dl_manager: Any) -> list[SplitGenerator]:  # noqa: ANN401
        return [SplitGenerator(Split.TRAIN, gen_kwargs={"works": [self.config.work]})]

    def _generate_tables(self, works: list[str]) -> Iterator[tuple[int, pa.Table]]:
        for work in map(Path, works):
            taken_out = load_takedowns(work.with_name(work.name.removesuffix(".work")))
            dialogues = read_dialogues(work, "filter")
            rows = (one for one in dialogues if self._takes(one) and taken_out.reason_of(one) is None)
            number = 0
            while group := list(islice(rows, ROWS_A_GROUP)):
                yield number, to_columns(group, arrow_schema())
                number += 1

    def _takes(self, dialogue: Dialogue) -> bool:
        return self.config.name in ("default", "multi" if len(dialogue.images) > 1 else "single")


def open_builder(work: Path, config: str = "default", cache_dir: Path | None = None) -> DialogueBuilder:
    """Open a builder for a work folder.

    Args:
        work: the OUT.work folder of a finished build.
        config: `default`, `single` or `multi`.
        cache_dir: folder for the Arrow files of `download_and_prepare`; None for the library's default.

    Raises:
        ValueError: the folder is not the work folder of a finished build, or there is no such configuration.
    """
    names = [known.name for known in DialogueBuilder.BUILDER_CONFIGS]
    if config not in names:
        raise ValueError(f"configuration {config!r}: expected one of {', '.join(names)}")
    content = Stage.open(work, "filter").content_hash()
    taken_out = load_takedowns(work.with_name(work.name.removesuffix(".work")))
    content += taken_out.fingerprint() if taken_out else ""
    place = str(cache_dir) if cache_dir is not None else None
    return DialogueBuilder(cache_dir=place, config_name=config, work=str(work.resolve()), content=content)
