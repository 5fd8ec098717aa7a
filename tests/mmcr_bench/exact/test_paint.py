"""Painted scenes: colours stay apart after jitter, every value can be read from the pixels, same seed same bytes."""

from __future__ import annotations

import io
import itertools
import random

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mmcr_bench.exact import paint_photos
from mmcr_bench.exact.paint import paint
from mmcr_bench.exact.paint_chart import AXIS_MAX, layout_of
from mmcr_bench.exact.paint_style import OUTLINE, STYLES, scaled
from mmcr_bench.exact.scene import COLOURS, DOMAINS

SHADE = 0.92  # the darkest part of a shaded object
MIN_DISTANCE = 70.0  # Euclidean, in RGB
GRIDS = ("shapes", "sheets", "numerals")
NAMES = list(COLOURS)


def scene_of(domain: str, num_cells: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.stack(
        [rng.integers(len(attribute.values), size=num_cells) for attribute in DOMAINS[domain].attributes], 1
    )


def decoded(png: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image).astype(np.int64)


def colour_words(scene: NDArray[np.int64], domain: str) -> list[str]:
    place = [attribute.type for attribute in DOMAINS[domain].attributes].index("colour")
    return [DOMAINS[domain].attributes[place].values[row[place]] for row in scene]


@pytest.mark.parametrize("style", STYLES)
def test_colours_stay_apart_at_both_ends_of_the_jitter(style: str) -> None:
    low, high = STYLES[style].brightness
    factors = np.linspace(low * SHADE, high, 15)
    reach = {name: np.array([scaled(colour, factor) for factor in factors]) for name, colour in COLOURS.items()}
    for a, b in itertools.combinations(reach, 2):
        gaps = np.linalg.norm(reach[a][:, None] - reach[b][None], axis=-1)
        assert gaps.min() > MIN_DISTANCE, f"{a} and {b}: {gaps.min():.0f}"


def saturated_share(pixels: NDArray[np.int64]) -> dict[str, int]:
    """For each colour, the number of pixels that are a brightness of it and of no other colour."""
    flat = pixels.reshape(-1, 3)
    gaps = []
    for colour in COLOURS.values():
        factors = np.linspace(0.78, 1.12, 18)
        shades = np.array([scaled(colour, factor) for factor in factors])
        gaps.append(np.linalg.norm(flat[:, None] - shades[None], axis=-1).min(1))
    nearest, gap = np.argmin(gaps, 0), np.min(gaps, 0)
    return {name: int(((nearest == place) & (gap < 30)).sum()) for place, name in enumerate(NAMES)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("domain", ["shapes", "numerals"])
def test_a_cells_colour_is_the_only_one_in_its_pixels(domain: str, side: int, style: str) -> None:
    rng = np.random.default_rng(side)
    px = STYLES[style].cell_px[side]
    for _ in range(2):
        scene = scene_of(domain, side * side, rng)
        pixels = decoded(paint(scene, domain, side, rng, style))
        assert pixels.shape == (side * px, side * px, 3)
        for place, name in enumerate(colour_words(scene, domain)):
            top, left = place // side * px, place % side * px
            counts = saturated_share(pixels[top : top + px, left : left + px])
            others = {other: counts[other] for other in counts if other not in (name, "black")}  # the outline is dark
            assert counts[name] > 0.04 * px * px, (name, counts)
            assert all(count < 0.1 * counts[name] for count in others.values()), (name, counts)


@pytest.mark.parametrize("style", STYLES)
def test_a_photographs_border_has_its_colour_on_all_sides(style: str) -> None:
    rng = np.random.default_rng(5)
    px = STYLES[style].cell_px[3]
    for _ in range(4):
        scene = scene_of("sheets", 9, rng)
        pixels = decoded(paint(scene, "sheets", 3, rng, style))
        for place, name in enumerate(colour_words(scene, "sheets")):
            top, left, depth = place // 3 * px, place % 3 * px, round(px * 0.1)
            middle = px // 2
            for y, x in ((depth, middle), (px - 1 - depth, middle), (middle, depth), (middle, px - 1 - depth)):
                counts = saturated_share(pixels[top + y, left + x][None])
                assert counts[name] == 1, (place, name, pixels[top + y, left + x])


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("num_bars", [3, 4, 5, 6])
def test_bars_end_exactly_at_the_axis_line_of_their_value(num_bars: int, style: str) -> None:
    rng = np.random.default_rng(num_bars)
    layout = layout_of(num_bars, STYLES[style])
    values = [int(word) for word in next(a.values for a in DOMAINS["charts"].attributes if a.type != "colour")]
    assert max(values) < AXIS_MAX
    for _ in range(8):
        scene = scene_of("charts", num_bars, rng)
        pixels = decoded(paint(scene, "charts", num_bars, rng, style))
        assert pixels.shape[:2] == layout.size[::-1]
        heights = [int(DOMAINS["charts"].attributes[1].values[row[1]]) for row in scene]
        for place, (value, name) in enumerate(zip(heights, colour_words(scene, "charts"), strict=True)):
            left, _, right, _ = layout.box_of(place, value)
            column = pixels[:, (left + right) // 2]
            top = next(y for y in range(layout.size[1]) if tuple(column[y]) == OUTLINE)
            gap_column = pixels[:, left - 2]  # beside the bar: only the axis lines are here
            ground = np.median(gap_column[: layout.y_of(AXIS_MAX)].sum(-1))
            lines = [y for y in range(layout.size[1]) if gap_column[y].sum() < ground - 90]
            assert top in lines, (value, top, lines)
            assert lines.index(top) == AXIS_MAX - value, (value, top, lines)
            assert saturated_share(pixels[top + 2 : top + 4, left + 3 : right - 2])[name] > 0


def test_shapes_differ_in_their_outline_whatever_their_colour() -> None:
    """Each shape of the plain style is nearest to its own mean dark outline, which a linear layer can read."""
    values = DOMAINS["shapes"].attributes[1].values
    rng = np.random.default_rng(0)

    def dark(shape: int) -> NDArray[np.float64]:
        colour = int(rng.integers(len(NAMES) - 1))  # a black object is all outline
        scene = np.array([[colour, shape]] * 4)
        return (decoded(paint(scene, "shapes", 2, rng, "plain"))[:32, :32].sum(-1) < 200).astype(np.float64)

    means = np.stack([np.mean([dark(shape) for _ in range(30)], 0) for shape in range(len(values))])
    right = [int(np.argmin(((means - dark(shape)) ** 2).sum((1, 2)))) == shape for shape in [*range(4)] * 25]
    assert np.mean(right) > 0.97


@pytest.mark.parametrize("style", STYLES)
def test_digits_of_one_colour_look_different(style: str) -> None:
    """Each digit is nearest to its own mean, in black, the colour whose outline can't be told from the digit."""
    rng = np.random.default_rng(1)
    black, px = NAMES.index("black"), STYLES[style].cell_px[2]

    def dark(digit: int) -> NDArray[np.float64]:
        pixels = decoded(paint(np.array([[black, digit]] * 4), "numerals", 2, rng, style))
        mask = pixels[:px, :px].sum(-1) < 200
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return np.asarray(Image.fromarray(box).resize((16, 24))).astype(np.float64)

    num_digits = len(DOMAINS["numerals"].attributes[1].values)
    means = np.stack([np.mean([dark(digit) for _ in range(5)], 0) for digit in range(num_digits)])
    right = [int(np.argmin(((means - dark(d)) ** 2).sum((1, 2)))) == d for d in [*range(num_digits)] * 2]
    assert np.mean(right) == 1.0


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("domain", [*GRIDS, "charts"])
def test_same_seed_same_bytes_and_no_global_random_state(domain: str, style: str) -> None:
    scene = scene_of(domain, 4, np.random.default_rng(3))
    np.random.seed(0)
    random.seed(0)
    before = np.random.get_state()[1].copy(), random.getstate()
    first, second, third = (
        paint(scene, domain, 4 if domain == "charts" else 2, np.random.default_rng(s), style) for s in (7, 7, 8)
    )
    assert first == second != third
    assert (np.random.get_state()[1] == before[0]).all()
    assert random.getstate() == before[1]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("domain", GRIDS)
def test_an_empty_cell_shows_the_ground(domain: str, style: str) -> None:
    scene = scene_of(domain, 4, np.random.default_rng(3))
    scene[3] = -1
    px = STYLES[style].cell_px[2]
    pixels = decoded(paint(scene, domain, 2, np.random.default_rng(0), style))[px + 4 :, px + 4 :]
    assert pixels.min() > 100


def test_sizes() -> None:
    rng = np.random.default_rng(0)
    assert decoded(paint(scene_of("shapes", 4, rng), "shapes", 2, rng, "plain")).shape == (64, 64, 3)
    for domain, sides in {**dict.fromkeys(GRIDS, (2, 3)), "charts": (3, 4, 5, 6)}.items():
        for side in sides:
            scene = scene_of(domain, side if domain == "charts" else side * side, rng)
            assert min(decoded(paint(scene, domain, side, rng, "rich")).shape[:2]) >= 336


def test_unknown_names_are_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scene = scene_of("sheets", 4, rng)
    with pytest.raises(ValueError, match="'fancy'; expected plain or rich"):
        paint(scene, "sheets", 2, rng, "fancy")
    with pytest.raises(ValueError, match=r"'maps'; expected one of .*charts"):
        paint(scene, "maps", 2, rng, "plain")
    paint_photos._photo.cache_clear()
    monkeypatch.setattr(paint_photos, "photo_path", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[demo\]'"):
        paint(scene, "sheets", 2, rng, "plain")


def test_every_class_of_sheets_has_crops_inside_its_photographs() -> None:
    attribute = next(a for a in DOMAINS["sheets"].attributes if a.type != "colour")
    assert set(attribute.values) == set(paint_photos.CROPS)
    for crops in paint_photos.CROPS.values():
        for name, (left, top, right, bottom) in crops:
            width, height = paint_photos._photo(name).size
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
    assert "CC0-1.0" in paint_photos.photo_licences()


@pytest.mark.parametrize("style", STYLES)
def test_photographs_of_a_class_look_like_no_other_class(style: str) -> None:
    """The nearest of other tiles, at 12 x 12 pixels, is one of the same class."""
    rng = np.random.default_rng(2)
    px, classes = STYLES[style].cell_px[2], DOMAINS["sheets"].attributes[0].values

    def tiles(number: int) -> list[NDArray[np.float64]]:
        pixels = decoded(paint(np.array([[number, 0]] * 4), "sheets", 2, rng, style)).astype(np.uint8)
        border, found = round(px * 0.2), []
        for place in range(4):
            top, left = place // 2 * px + border, place % 2 * px + border
            inside = Image.fromarray(pixels[top : top + px - 2 * border, left : left + px - 2 * border])
            found.append(np.asarray(inside.resize((12, 12))).astype(np.float64))
        return found

    gallery = [(number, one) for number in range(len(classes)) for _ in range(6) for one in tiles(number)]
    for number in range(len(classes)):
        for asked in tiles(number):
            distances = [float(((one - asked) ** 2).sum()) for _, one in gallery]
            assert gallery[int(np.argmin(distances))][0] == number
