"""An experiment: arms that train one model on different data, with all other settings equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Arm:
    """One training condition.

    Attributes:
        name: name of its folder.
        label: label in tables and figures.
        places: its data sets.
        caps: maximum rows of each data set, 0 for all, None if not known yet.
        flags: its own flags of train.py.
        x: position on the x axis, None if arms have no order.
    """

    name: str
    label: str
    places: Sequence[str]
    caps: Sequence[int | None]
    flags: Sequence[str] = ()
    x: float | None = None

    @property
    def train_flags(self) -> list[str]:
        """Data sets, caps and own flags as flags of train.py."""
        caps = ["ROWS" if cap is None else str(cap) for cap in self.caps]
        return ["--data", *self.places, "--data_caps", *caps, *self.flags]


@dataclass(frozen=True)
class Experiment:
    """Arms to compare.

    Attributes:
        title: title of the figure.
        arms: in the order of the table; the model before training is an implicit baseline.
        x_label: label of the x axis, empty if arms have no order.
        base_x: position of the model before training on that axis, None for a line only.
        against: name of a second baseline, an arm that the others are compared with.
        notes: notes on the table, such as what is equal in all arms.
        paper: name of an arm, or `base` -> a model of the paper whose scores are shown with it.
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
            raise ValueError("no arm to train; give at least one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"duplicate arms {', '.join(twice)}; give each value or data set once")
