"""What an experiment is: arms that train one model on different data, everything else alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: its folder.
        label: as tables and figures show it.
        flags: of train.py; what this arm has that others don't.
        x: where it stands on the horizontal axis, None where arms have no order.
        places: its data sets.
        caps: rows of each data set, 0 for all, None while that isn't known.
    """

    name: str
    label: str
    places: Sequence[str]
    caps: Sequence[int | None]
    flags: Sequence[str] = ()
    x: float | None = None

    @property
    def train_flags(self) -> list[str]:
        """All of it as flags of train.py."""
        caps = ["ROWS" if cap is None else str(cap) for cap in self.caps]
        return ["--data", *self.places, "--data_caps", *caps, *self.flags]


@dataclass(frozen=True)
class Experiment:
    """Arms to compare.

    Attributes:
        title: of the figure.
        arms: in the order of the table; the model before training is no arm, it is always there.
        x_label: of the horizontal axis, empty where arms have no order.
        base_x: where the model before training stands on that axis, None for a line only.
        against: name of the arm that the others are compared with, beside the model before training.
        notes: what the reader of the table must know, such as what is equal in all arms.
        paper: name of an arm, or `base` -> a model of the paper whose public scores stand beside it.
    """

    title: str
    arms: Sequence[Arm]
    x_label: str = ""
    base_x: float | None = None
    against: str | None = None
    notes: Sequence[str] = ()
    paper: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if not names:
            raise ValueError("no arm to train; name at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two arms are called {', '.join(twice)}; name each value or data set once")
