"""The topics of the made-up wiki: words for its articles, and a painter for its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from PIL import ImageDraw

Colour = tuple[int, int, int]
Painter = Callable[[ImageDraw.ImageDraw, Random, int, int], None]  # draws, random numbers, width, height in pixels


@dataclass(frozen=True)
class Topic:
    """One topic.

    Attributes:
        noun: what an article is about.
        plural: its category.
        parts: parts of it, for sentences.
        acts: what is done with it.
        scene: what stands around it.
        sky: colour of the upper part of an image.
        ground: colour of the lower part.
        paint: draws one object of the topic.
    """

    noun: str
    plural: str
    parts: tuple[str, ...]
    acts: tuple[str, ...]
    scene: str
    sky: Colour
    ground: Colour
    paint: Painter


def _shade(random: Random, colour: Colour, spread: int = 40) -> Colour:
    red, green, blue = (max(0, min(255, part + random.randint(-spread, spread))) for part in colour)
    return red, green, blue


def _lighthouse(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    middle, half, top = width * random.uniform(0.3, 0.7), width * random.uniform(0.06, 0.12), height * 0.15
    stripe = _shade(random, (190, 50, 40))
    for number in range(6):
        y = top + number * height * 0.1
        colour = stripe if number % 2 else (240, 240, 235)
        draw.rectangle((middle - half, y, middle + half, y + height * 0.1), fill=colour)
    draw.ellipse((middle - half, top - half, middle + half, top + half), fill=_shade(random, (235, 205, 90)))


def _bridge(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    colour, arches = _shade(random, (120, 110, 100)), random.randint(2, 5)
    deck = height * random.uniform(0.45, 0.55)
    draw.rectangle((0, deck, width, deck + height * 0.08), fill=colour)
    for number in range(arches):
        left, right = width * number / arches, width * (number + 1) / arches
        draw.arc((left, deck, right, height * 0.95), 180, 360, fill=colour, width=max(4, height // 20))


def _boat(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    middle, water = width * random.uniform(0.35, 0.65), height * 0.68
    hull = [(middle - width * 0.25, water), (middle + width * 0.25, water)]
    draw.polygon(
        [*hull, (middle + width * 0.16, water + height * 0.12), (middle - width * 0.16, water + height * 0.12)],
        fill=_shade(random, (130, 70, 40)),
    )
    draw.polygon(
        [(middle, height * 0.15), (middle, water - 4), (middle + width * 0.22, water - 4)],
        fill=_shade(random, (235, 230, 220), 15),
    )


def _butterfly(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    x, y, wing = width / 2, height / 2, min(width, height) * random.uniform(0.25, 0.38)
    colour, spot = _shade(random, (230, 130, 40), 60), _shade(random, (60, 60, 160), 50)
    for side in (-1, 1):
        for up in (-1, 1):
            cx, cy = x + side * wing * 0.6, y + up * wing * 0.45
            size = wing * (0.6 if up < 0 else 0.45)
            draw.ellipse((cx - size, cy - size, cx + size, cy + size), fill=colour)
            draw.ellipse((cx - size / 3, cy - size / 3, cx + size / 3, cy + size / 3), fill=spot)
    draw.rectangle((x - 3, y - wing * 0.7, x + 3, y + wing * 0.7), fill=(40, 30, 25))


def _mushroom(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    for number in range(random.randint(1, 3)):
        x, size = width * (0.25 + 0.25 * number), height * random.uniform(0.18, 0.28)
        y = height * 0.55
        draw.rectangle((x - size * 0.2, y, x + size * 0.2, y + size * 1.2), fill=(230, 220, 200))
        draw.pieslice((x - size, y - size, x + size, y + size), 180, 360, fill=_shade(random, (150, 60, 40), 50))


def _mountain(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    for number in range(random.randint(2, 4)):
        x, top = width * (0.2 + 0.25 * number), height * random.uniform(0.12, 0.3)
        foot = height * 0.75
        draw.polygon(
            [(x - width * 0.3, foot), (x, top), (x + width * 0.3, foot)], fill=_shade(random, (95, 95, 110), 25)
        )
        snow = top + (foot - top) * 0.3
        draw.polygon([(x - width * 0.09, snow), (x, top), (x + width * 0.09, snow)], fill=(245, 245, 250))


def _clock(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    x, y, radius = width / 2, height / 2, min(width, height) * random.uniform(0.3, 0.42)
    draw.ellipse(
        (x - radius, y - radius, x + radius, y + radius),
        fill=(245, 242, 230),
        outline=_shade(random, (110, 80, 40)),
        width=8,
    )
    for length in (0.5, 0.8):
        dx, dy = random.uniform(-1, 1), random.uniform(-1, 1)
        norm = (dx * dx + dy * dy) ** 0.5 or 1.0
        draw.line((x, y, x + radius * length * dx / norm, y + radius * length * dy / norm), fill=(30, 30, 30), width=5)


def _fish(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    x, y, long = width * 0.45, height * random.uniform(0.4, 0.6), width * random.uniform(0.2, 0.32)
    colour = _shade(random, (220, 170, 60), 60)
    draw.polygon([(x + long * 0.8, y), (x + long * 1.4, y - long * 0.4), (x + long * 1.4, y + long * 0.4)], fill=colour)
    draw.ellipse((x - long, y - long * 0.5, x + long, y + long * 0.5), fill=colour)
    draw.ellipse((x - long * 0.7, y - long * 0.15, x - long * 0.5, y + long * 0.05), fill=(10, 10, 10))


def _kite(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    x, y, size = width * random.uniform(0.35, 0.65), height * 0.35, height * random.uniform(0.2, 0.3)
    first, second = _shade(random, (200, 40, 120), 60), _shade(random, (250, 220, 60), 40)
    draw.polygon([(x, y - size), (x + size * 0.7, y), (x, y + size)], fill=first)
    draw.polygon([(x, y - size), (x - size * 0.7, y), (x, y + size)], fill=second)
    draw.line((x, y + size, x - width * 0.2, height * 0.95), fill=(60, 60, 60), width=2)


def _fruit(draw: ImageDraw.ImageDraw, random: Random, width: int, height: int) -> None:
    colour = random.choice([(200, 40, 40), (230, 190, 60), (120, 170, 60), (230, 130, 40)])
    draw.ellipse(
        (width * 0.12, height * 0.6, width * 0.88, height * 0.95), fill=(250, 250, 250), outline=(150, 150, 150)
    )
    for number in range(random.randint(2, 5)):
        x, size = width * (0.25 + 0.13 * number), height * random.uniform(0.12, 0.17)
        y = height * random.uniform(0.55, 0.68)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=_shade(random, colour, 30), outline=(90, 60, 30))


TOPICS = (
    Topic(
        "lighthouse",
        "Lighthouses",
        ("lantern", "gallery", "keeper's house"),
        ("guides ships", "warns of the reef"),
        "a rocky coast",
        (150, 190, 225),
        (60, 90, 130),
        _lighthouse,
    ),
    Topic(
        "bridge",
        "Bridges",
        ("deck", "arches", "railing"),
        ("carries a road", "spans the river"),
        "a wide river",
        (190, 210, 220),
        (90, 130, 150),
        _bridge,
    ),
    Topic(
        "sailing boat",
        "Sailing boats",
        ("mast", "hull", "mainsail"),
        ("crosses the bay", "enters the harbour"),
        "an open bay",
        (170, 215, 240),
        (35, 85, 150),
        _boat,
    ),
    Topic(
        "butterfly",
        "Butterflies",
        ("forewings", "antennae", "eyespots"),
        ("visits thistles", "lays eggs on nettles"),
        "a summer meadow",
        (190, 220, 150),
        (110, 170, 80),
        _butterfly,
    ),
    Topic(
        "mushroom",
        "Mushrooms",
        ("cap", "gills", "stem"),
        ("grows under beeches", "feeds on fallen wood"),
        "a damp forest floor",
        (60, 80, 50),
        (70, 50, 30),
        _mushroom,
    ),
    Topic(
        "mountain",
        "Mountains",
        ("summit", "ridge", "glacier"),
        ("closes the valley", "is climbed from the hut"),
        "a high valley",
        (120, 165, 215),
        (90, 120, 80),
        _mountain,
    ),
    Topic(
        "clock",
        "Clocks",
        ("dial", "pendulum", "hands"),
        ("strikes the hours", "shows the tides"),
        "a panelled hall",
        (110, 80, 60),
        (80, 55, 40),
        _clock,
    ),
    Topic(
        "fish",
        "Fish",
        ("dorsal fin", "scales", "gill cover"),
        ("hunts at dusk", "spawns in gravel"),
        "a clear lake",
        (40, 120, 130),
        (25, 85, 100),
        _fish,
    ),
    Topic(
        "kite",
        "Kites",
        ("spars", "tail", "bridle"),
        ("flies in light wind", "carries a lantern at night"),
        "a windy dune",
        (130, 190, 250),
        (220, 200, 150),
        _kite,
    ),
    Topic(
        "fruit",
        "Fruit",
        ("skin", "flesh", "stone"),
        ("ripens in autumn", "is pressed to juice"),
        "an orchard table",
        (200, 180, 160),
        (140, 100, 70),
        _fruit,
    ),
)
