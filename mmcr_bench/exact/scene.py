"""What there is in an image of the controlled world: domains, their attributes and cells, and the draw of a scene.

A scene is an int array [cell, attribute] of value numbers; -1 stands for an empty cell.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
EMPTY = -1
CELLS_LARGE = 9  # an image with so many cells leaves more to ask, so that less may be guessed

COLOURS = {  # name -> RGB
    "red": (214, 40, 40),
    "green": (40, 150, 60),
    "blue": (40, 70, 215),
    "yellow": (245, 205, 30),
    "purple": (140, 50, 170),
    "black": (25, 25, 25),
}
_HELD_OUT_OF_256 = 26  # one scene in ten
_HELD_OUT_STEP = 5  # combinations (v, v + step) of the two attributes are held out


@dataclass(frozen=True)
class Attribute:
    """An attribute of the things in an image.

    Attributes:
        name: as questions call it, `border colour`.
        type: type of an answer that is one of its values, `colour`.
        values: the values as they are answered.
        singulars: a thing with each value, `red object`, `cross`.
        plurals: several things with each value.
    """

    name: str
    type: str
    values: tuple[str, ...]
    singulars: tuple[str, ...]
    plurals: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Domain:
    """A kind of image.

    Attributes:
        name: its name in flags and files.
        noun: what stands in a cell.
        attributes: the two attributes, in the order of a scene's last axis.
        cells: side of the grid (charts: number of bars) -> names of the cells in reading order.
        fill: side -> share of the cells that are not empty.
    """

    name: str
    noun: str
    attributes: tuple[Attribute, Attribute]
    cells: Mapping[int, tuple[str, ...]]
    fill: Mapping[int, float]

    def object_at(self, side: int, cell: int) -> str:
        """`the object at the top left`; of a chart `the first bar`."""
        name = self.cells[side][cell]
        return f"the {name}" if name.endswith(self.noun) else f"the {self.noun} at the {name}"

    def one_at(self, side: int, cell: int) -> str:
        """`the one at the top left`; of a chart `the first bar`."""
        name = self.cells[side][cell]
        return f"the {name}" if name.endswith(self.noun) else f"the one at the {name}"


def _attribute(name: str, type_: str, values: tuple[str, ...], singular: str, plural: str) -> Attribute:
    """An attribute whose things are called by patterns: `{} object`, `{} objects`."""
    singulars = tuple(singular.format(value) for value in values)
    return Attribute(name, type_, values, singulars, tuple(plural.format(value) for value in values))


_GRID = {
    2: ("top left", "top right", "bottom left", "bottom right"),
    3: (
        *("top left", "top middle", "top right", "middle left", "centre", "middle right"),
        *("bottom left", "bottom middle", "bottom right"),
    ),
}
_BARS = tuple(f"{ordinal} bar" for ordinal in ("first", "second", "third", "fourth", "fifth", "sixth"))
_COLOUR_NAMES = tuple(COLOURS)
_CLASSES = ("cat", "coin", "cup", "motorcycle", "person", "rocket")
_CLASS_PLURALS = ("cats", "coins", "cups", "motorcycles", "people", "rockets")

_DOMAINS = (
    Domain(
        "shapes",
        "object",
        (
            _attribute("colour", "colour", _COLOUR_NAMES, "{} object", "{} objects"),
            Attribute(
                *("shape", "shape", ("circle", "square", "triangle", "cross")),
                ("circle", "square", "triangle", "cross"),
                ("circles", "squares", "triangles", "crosses"),
            ),
        ),
        _GRID,
        {2: 1.0, 3: 7 / 9},
    ),
    Domain(
        "sheets",
        "photo",
        (
            Attribute(
                *("subject", "class", _CLASSES),
                tuple(f"photo of a {name}" for name in _CLASSES),
                tuple(f"photos of {name}" for name in _CLASS_PLURALS),
            ),
            _attribute("border colour", "colour", _COLOUR_NAMES, "photo with a {} border", "photos with a {} border"),
        ),
        _GRID,
        {2: 1.0, 3: 1.0},
    ),
    Domain(
        "numerals",
        "numeral",
        (
            _attribute("colour", "colour", _COLOUR_NAMES, "{} numeral", "{} numerals"),
            _attribute(
                "value",
                "digit",
                ("2", "3", "4", "5", "7", "8"),
                "numeral with the value {}",
                "numerals with the value {}",
            ),
        ),
        _GRID,
        {2: 1.0, 3: 7 / 9},
    ),
    Domain(
        "charts",
        "bar",
        (
            _attribute("colour", "colour", _COLOUR_NAMES, "{} bar", "{} bars"),
            _attribute("height", "height", ("2", "3", "5", "6", "8", "9"), "bar of height {}", "bars of height {}"),
        ),
        {number: _BARS[:number] for number in (3, 4, 5, 6)},
        dict.fromkeys((3, 4, 5, 6), 1.0),
    ),
)
DOMAINS: dict[str, Domain] = {domain.name: domain for domain in _DOMAINS}


def num_answers(domain: Domain, side: int, type_: str, num_shown: int) -> int | None:
    """How many answers of a type there are: names of images among `num_shown` images; None for numbers."""
    if type_ == "number":
        return None
    sizes = {attribute.type: len(attribute.values) for attribute in domain.attributes}
    return {"yesno": 2, "image": num_shown, "cell": len(domain.cells[side]), **sizes}[type_]


def is_held_out(scene: NDArray[np.integer]) -> bool:
    """Whether a scene belongs to the test split: one in ten does, by the hash of the scene alone."""
    return hashlib.sha256(np.ascontiguousarray(scene, dtype=np.int8).tobytes()).digest()[0] < _HELD_OUT_OF_256


@functools.cache
def held_out_combinations(domain: Domain) -> frozenset[tuple[int, int]]:
    """Pairs of values that no training scene shows in one cell: one for every value of the second attribute."""
    first, second = (len(attribute.values) for attribute in domain.attributes)
    return frozenset(((value + _HELD_OUT_STEP) % first, value) for value in range(second))


def has_held_out_combination(domain: Domain, scene: NDArray[np.integer]) -> bool:
    """Whether a cell of the scene shows a held-out combination."""
    return any((int(a), int(b)) in held_out_combinations(domain) for a, b in scene)


def draw_scene(
    rng: np.random.Generator, domain: Domain, side: int, held_out: bool, fill: float | None = None
) -> IntArray:
    """A scene with independent, uniform attributes.

    Args:
        rng: random numbers.
        domain: the kind of image.
        side: side of the grid; of charts the number of bars.
        held_out: True draws a held-out scene; False one of the others, without a held-out combination.
        fill: share of the cells that are not empty; None for the domain's own.
    """
    num_cells = len(domain.cells[side])
    num_empty = round((1 - (domain.fill[side] if fill is None else fill)) * num_cells)
    first, second = (len(attribute.values) for attribute in domain.attributes)
    while True:
        scene = np.empty((num_cells, 2), dtype=np.int64)
        scene[:, 0] = rng.integers(first, size=num_cells)
        scene[:, 1] = rng.integers(second, size=num_cells)
        if not held_out:
            _draw_second_again(rng, held_out_combinations(domain), second, scene)
        scene[rng.permutation(num_cells)[:num_empty]] = EMPTY
        if is_held_out(scene) == held_out:
            return scene


def _draw_second_again(
    rng: np.random.Generator, held: frozenset[tuple[int, int]], num_values: int, scene: IntArray
) -> None:
    """Draw the second attribute again where a cell has a held-out combination; both attributes stay uniform."""
    for cell in scene:
        while (int(cell[0]), int(cell[1])) in held:
            cell[1] = rng.integers(num_values)
