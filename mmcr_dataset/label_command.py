"""The command `python -m mmcr_dataset label`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from mmcr_dataset.filters.label import Pair

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Label:
    """Mark image-text pairs by hand: hallucination rate before and after the similarity filter, precision and recall.

    Attributes:
        work: the .work folder of a build with --filter.
        pairs: number of pairs to sample.
        seed: random seed of the sampling.
        kind: pairs of dialogues with one image (single), with several (multi), or all.
        person: name of who marks, where several do: letters, digits, - and _. Each has a file of marks of their own.
        serve: mark on a page of this machine instead of in the terminal.
        port: of the page; 0 for any free one.
    """

    work: Positional[Path]
    pairs: int = 50
    seed: int = 0
    kind: Literal["all", "single", "multi"] = "all"
    person: str = ""
    serve: bool = False
    port: int = 0

    def __post_init__(self) -> None:
        if self.person and not re.fullmatch(r"[\w-]{1,40}", self.person):
            raise ValueError(f"--person {self.person!r}: expected a name of letters, digits, - and _, at most 40")

    def run(self) -> None:
        """Ask for marks, and print rates, agreement, precision and recall with their intervals.

        Raises:
            ValueError: the build has no similarity threshold, or no pair is marked.
        """
        from mmcr_dataset.filters import label
        from mmcr_dataset.filters.label_rates import show_rates

        threshold, pairs = self._draw()
        self._ask(pairs)
        people, keys = label.read_people(self.work), {pair.key for pair in pairs}
        for name, labels in people.items():
            others = len(labels.keys() - keys)
            if others:
                log.warning(
                    "%s: %d marks are of pairs that are not in this sample (another --pairs, --seed or --kind, or "
                    "built again); they stay in the file and are not counted",
                    label.labels_path(self.work, name),
                    others,
                )
        people = {name: {key: one for key, one in labels.items() if key in keys} for name, labels in people.items()}
        people = {name: labels for name, labels in people.items() if labels}
        if not people:
            raise ValueError(f"{self.work}: no pair has a label yet; run the same command again and answer y or n")
        print(f"\n{show_rates(pairs, people, threshold)}")
        nearby = sorted(pair.similarity for pair in pairs)
        thresholds = sorted({threshold, *(nearby[len(nearby) * n // 4] for n in range(1, 4))})
        mine = people.get(self.person, {})
        if mine:
            print(f"\n{label.show_quality(label.measure_filter(pairs, mine, thresholds), len(mine))}")

    def _draw(self) -> tuple[float, Sequence[Pair]]:
        """The threshold of the filter, and the sampled pairs."""
        from mmcr_dataset.filters.keep import kind_of
        from mmcr_dataset.filters.label import draw_pairs
        from mmcr_dataset.stage.work_folder import read_similarities, read_thresholds

        known = {kind: one for kind, one in read_thresholds(self.work).items() if one is not None}
        least = {kind: one for kind, one in known.items() if self.kind in ("all", kind)}
        if not least:
            raise ValueError(
                f"{self.work}: the build had no similarity threshold; give it --similarity_min or --keep_rate"
            )
        if len(set(least.values())) > 1:
            raise ValueError(f"{self.work}: thresholds differ by kind ({least}); give --kind single or --kind multi")
        threshold = next(iter(least.values()))
        similarities = {
            id_: values for id_, values in read_similarities(self.work).items() if kind_of(len(values)) in least
        }
        return threshold, draw_pairs(similarities, threshold, self.pairs, self.seed)

    def _ask(self, pairs: Sequence[Pair]) -> None:
        """Ask for the missing marks, on a page or in the terminal."""
        from mmcr_dataset.filters import label
        from mmcr_dataset.filters.label_page import LabelPage, serve_page
        from mmcr_dataset.stage.stages import write_text
        from mmcr_dataset.stage.work_folder import read_dialogues

        path = label.labels_path(self.work, self.person)
        dialogues = read_dialogues(self.work, "generate", {pair.id for pair in pairs})
        if self.serve:
            page = LabelPage(path, pairs, label.to_shown(pairs, dialogues), self.person)
            serve_page(page, self.port, lambda url: print(f"mark at {url}; marks go to {path}", flush=True))
            return
        shown = self.work / "label.html"
        write_text(shown, label.show_pairs(pairs, dialogues))
        print(f"open {shown} beside this terminal; answers go to {path}")
        label.ask_labels(path, pairs, input)
