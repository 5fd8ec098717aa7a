"""Draw the bench from a data set: candidates -> draw -> bench folder -> decontamination of the data set.

The order is crash-safe: the bench is complete on disk before a row is removed from the data set, and running the same
command again with `overwrite` draws the same dialogues and completes an interrupted build.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mmcr_bench.bench_folder import write_bench_folder
from mmcr_bench.select.candidates import load_by_id, read_candidates, read_ids
from mmcr_bench.select.draw import Shortage, draw_bench, find_contaminated
from mmcr_bench.select.topics import Tagging
from mmcr_bench.select.topics_of_rows import write_topics
from mmcr_bench.table_1 import Size, measure_sizes, show_table_1
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.remove import find_taken_out, remove_rows
from mmcr_dataset.record.recipe import RecipeName
from mmcr_dataset.stage.takedowns import Takedowns, load_takedowns

REPORT_NAME = "bench.json"


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What was drawn and what was removed from the data set.

    Attributes:
        sizes: size of the bench, `single` and `multi`.
        num_candidates: dialogues to draw from.
        num_sharing: dialogues removed because they show a drawn image (contamination).
        num_left: dialogues left in the data set.
        num_undecodable: dialogues excluded because an image can't be decoded.
        num_without_topic: dialogues excluded because they have no topic while others have one.
        num_orphaned: dialogues of the replaced bench that are in neither folder now.
        shortages: topics with fewer dialogues than requested.
    """

    sizes: Mapping[str, Size]
    num_candidates: int
    num_sharing: int
    num_left: int
    num_undecodable: int
    num_without_topic: int
    num_orphaned: int
    shortages: tuple[Shortage, ...]

    def show(self) -> str:
        """The report as lines of text."""
        num_single, num_multi = (self.sizes[kind].num_dialogues for kind in ("single", "multi"))
        lines = [
            f"drawn      {num_single} single + {num_multi} multi of {self.num_candidates} dialogues",
            f"removed    {num_single + num_multi} drawn and {self.num_sharing} that show a drawn image, "
            f"{self.num_left} are left in the data set",
        ]
        for count, why in (
            (self.num_undecodable, "with an image that can't be decoded"),
            (self.num_without_topic, "without a topic, where others have one"),
        ):
            if count:
                lines.append(f"not drawn  {count} {why}")
        if self.num_orphaned:
            lines.append(
                f"replaced   {self.num_orphaned} dialogues of the former bench are in neither folder now; to restore "
                "them, delete their lines from removed.jsonl in the data set and NAME.removed.jsonl beside it, and "
                "rebuild it"
            )
        lines += [f"short      {shortage.show()}" for shortage in self.shortages]
        return "\n".join([*lines, "", show_table_1(self.sizes)])


def build_bench(
    dataset: Path,
    out: Path,
    num_single: int,
    num_multi: int,
    seed: int = 0,
    *,
    overwrite: bool = False,
    tagging: Tagging | None = None,
    recipe: RecipeName = "mmcr",
) -> BenchReport:
    """Draw a bench from a data set folder into another folder and remove it from the data set.

    Args:
        dataset: a folder written by `python -m mmcr_dataset build`.
        out: folder of the bench, split `test`.
        num_single: single-image dialogues per topic.
        num_multi: multi-image dialogues per topic.
        seed: seed of the draw.
        overwrite: replace an existing bench in `out`; its dialogues are candidates again.
        tagging: topics and labels of the dialogues; None uses those of the rows.
        recipe: whose card and files are written.

    Raises:
        ValueError: there is no data set, `out` exists, nothing can be drawn, or nothing would be left to train on.
    """
    folders = _check_folders(dataset, out, overwrite)
    candidates, num_undecodable = read_candidates(folders)
    taken_out = _find_taken_out(folders)
    candidates = [candidate for candidate in candidates if candidate.id not in taken_out]
    if tagging is not None:
        topics = {id_: topic.label for id_, topic in tagging.topics.items()}
        candidates = [replace(candidate, topic=topics.get(candidate.id)) for candidate in candidates]
    drawn = draw_bench(candidates, num_single, num_multi, seed)
    why_by_id = dict.fromkeys(drawn.ids, f"drawn for {out.name}")
    why_by_id |= dict.fromkeys(find_contaminated(candidates, drawn.ids), f"shows an image of {out.name}")
    in_dataset = read_ids(dataset)
    left = in_dataset - why_by_id.keys()
    if not left:
        raise ValueError(
            f"{dataset}: the draw and the dialogues that share its images are all {len(in_dataset)} dialogues, "
            "nothing would be left to train on; lower --single and --multi, or build a larger data set"
        )
    dialogues = load_by_id(folders, drawn.ids)
    if tagging is not None:
        dialogues = [tagging.tag(dialogue) for dialogue in dialogues]
    report = BenchReport(
        sizes=measure_sizes(dialogues),
        num_candidates=len(candidates),
        num_sharing=len(why_by_id) - len(drawn.ids),
        num_left=len(left),
        num_undecodable=num_undecodable,
        num_without_topic=drawn.num_without_topic,
        num_orphaned=len({candidate.id for candidate in candidates} - in_dataset - set(drawn.ids)),
        shortages=drawn.shortages,
    )
    asked = {"dataset": dataset.name, "seed": seed, "single": num_single, "multi": num_multi}
    found = {"asked": asked, "found": asdict(report)}
    write_bench_folder(dialogues, out, REPORT_NAME, found, recipe=recipe)
    remove_rows(dataset, {id_: why for id_, why in why_by_id.items() if id_ in in_dataset})
    refresh_card(dataset)
    if tagging is not None:
        write_topics(dataset, tagging)
    return report


def _find_taken_out(folders: list[Path]) -> set[str]:
    """Ids of the rows that were taken down, in the data set or in the bench that is replaced."""
    entries = [entry for folder in folders for entry in load_takedowns(folder).without_draws().entries]
    return {row_id for folder in folders for row_id in find_taken_out(folder, Takedowns(entries))}


def _check_folders(dataset: Path, out: Path, overwrite: bool) -> list[Path]:
    """The folders to draw from; raises ValueError if the data set is missing or `out` exists."""
    if not any(dataset.rglob("*.parquet")):
        raise ValueError(
            f"{dataset}: no data set found; build one with `python -m mmcr_dataset build --output_dir {dataset}`"
        )
    if not out.exists():
        return [dataset]
    if not (out / REPORT_NAME).is_file():
        raise ValueError(
            f"{out}: exists and is not a bench ({REPORT_NAME} is missing); name another folder with --output_dir"
        )
    if not overwrite:
        raise ValueError(
            f"{out}: already holds a bench; name another folder with --output_dir, or replace it with --overwrite"
        )
    return [dataset, out]
