"""The keeper's commands of python -m mmcr_bench review: what changes a review, each with a reason in its log."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

ReviewFile = Annotated[Path, arg(metavar="REVIEW")]


@dataclass(frozen=True)
class ReviewDrop:
    """Take an item out of the bench for good; the reason stands on the card.

    Attributes:
        review: SQLite file of the review.
        item: name of the item.
        reason: why.
    """

    review: Positional[ReviewFile]
    item: Positional[str]
    reason: str

    def run(self) -> None:
        """Drop it.

        Raises:
            ValueError: there is no such item, it is dropped already, or the reason is empty.
        """
        from mmcr_bench.review.commands import open_review
        from mmcr_bench.review.rounds import Event

        log = open_review(self.review)
        version = log.items()[self.item].version if self.item in log.items() else 1
        log.append(Event("dropped", self.item, version, _who(), time.time(), note=self.reason))
        print(f"{self.item} dropped: {self.reason.strip()}")


@dataclass(frozen=True)
class ReviewAdjudicate:
    """Decide on the flag of an item that one expert alone set: it stands, or is dismissed. Without ITEM: list them.

    Attributes:
        review: SQLite file of the review.
        item: name of the item.
        dismiss: the flag is mistaken, the item passes; without it the flag stands and the item is rewritten.
        reason: why.
    """

    review: Positional[ReviewFile]
    item: Positional[str | None] = None
    dismiss: bool = False
    reason: str = ""

    def run(self) -> None:
        """Store the decision, or print the items that wait for one.

        Raises:
            ValueError: the item has no lone flag, or the reason is empty.
        """
        from mmcr_bench.review.commands import open_review
        from mmcr_bench.review.progress import to_decision

        log = open_review(self.review)
        if self.item is not None:
            log.append(to_decision(log, self.item, _who(), self.dismiss, self.reason))
            print(f"{self.item}: the flag {'is dismissed' if self.dismiss else 'stands'}")
            return
        lone = [item for item in log.items().values() if item.has_lone_flag(log.num_experts)]
        for item in lone:
            (mark,) = (mark for mark in item.marks.values() if mark.flags)
            print(f"{item.name} version {item.version}: {', '.join(mark.flags)}; {mark.note or 'no note'}")
        print(f"{len(lone)} lone flags wait for a decision")


@dataclass(frozen=True)
class ReviewRemove:
    """Take an expert off the panel. The marks stay; a successor gets the items that the expert hasn't marked.

    Attributes:
        review: SQLite file of the review.
        name: name of the expert.
        reason: why; it stands in the keepers' log.
        successor: expert who takes over.
    """

    review: Positional[ReviewFile]
    name: Positional[str]
    reason: str
    successor: str | None = None

    def run(self) -> None:
        """Remove the expert.

        Raises:
            ValueError: the name or the successor is no expert, or the reason is empty.
        """
        from mmcr_bench.review.commands import open_accounts

        open_accounts(self.review).remove(self.name, _who(), self.reason, self.successor)
        print(f"{self.name} is off the panel" + (f"; {self.successor} takes over" if self.successor else ""))


@dataclass(frozen=True)
class ReviewCalibrate:
    """Hide dialogues with a planted error among the items; `agreement` tells who finds them. They leave with `freeze`.

    Attributes:
        review: SQLite file of the review.
        dataset: folder that the dialogues are drawn from; it is not changed.
        number: number of calibration items.
        seed: seed of the draw.
    """

    review: Positional[ReviewFile]
    dataset: Positional[Annotated[Path, arg(metavar="DATASET")]]
    number: int = 20
    seed: int = 0

    def run(self) -> None:
        """Open them and print their number.

        Raises:
            ValueError: no dialogue of the data set is free.
        """
        from mmcr_bench.review.calibration import add_calibration
        from mmcr_bench.review.commands import open_accounts, open_review

        opened = add_calibration(open_review(self.review), self.dataset, self.number, self.seed)
        if not opened:
            raise ValueError(f"{self.dataset}: no dialogue is left that shares no image with the review; name another")
        open_accounts(self.review).note(_who(), "calibration", str(opened), f"drawn from {self.dataset.name}")
        short = "" if opened == self.number else f" of {self.number}: the data set has no more free dialogues"
        print(f"{opened} calibration items added{short}")


@dataclass(frozen=True)
class ReviewLogOf:
    """Print what keepers did: when, who, what, to whom, why.

    Attributes:
        review: SQLite file of the review.
    """

    review: Positional[ReviewFile]

    def run(self) -> None:
        """Print one line an act, oldest first."""
        from mmcr_bench.review.commands import open_accounts, open_review
        from mmcr_bench.review.progress import to_acts

        for act in to_acts(open_review(self.review), open_accounts(self.review)):
            at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(act.at))
            print(f"{at} {act.actor}: {act.action} {act.subject}" + (f" ({act.detail})" if act.detail else ""))


def _who() -> str:
    """The account of this machine that ran a command, as the log shows it."""
    try:
        return f"command line ({getpass.getuser()})"
    except (KeyError, OSError):  # no such user id
        return "command line"
