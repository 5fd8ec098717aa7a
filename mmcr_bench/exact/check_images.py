"""Whether an image shows the scene that its answers are computed from: it is painted again and compared.

Compared are small copies, so that another version of Pillow, which smooths an edge or compresses in another way, is no
fault, and another colour, shape, digit, bar or photograph in any cell is one.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from mmcr_bench.exact.paint import paint_image
from mmcr_bench.exact.settings import MAX_IMAGES

_SIZE = 48  # pixels of a side of a small copy
_MOST = 24  # levels of 255 between a small copy and that of the painted scene


def thumbnail_of(data: bytes) -> bytes:
    """The pixels of an image file, 48 by 48 RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return _small_copy(image)


def _small_copy(image: Image.Image) -> bytes:
    return image.convert("RGB").resize((_SIZE, _SIZE), Image.Resampling.BOX).tobytes()


def check_images(line: Mapping[str, Any], thumbnails: Sequence[bytes]) -> Iterator[str]:
    """A fault for each image of a row that doesn't show its scene.

    Args:
        line: the row's line of `exact.jsonl`.
        thumbnails: of its images.
    """
    for number, (scene, thumbnail) in enumerate(zip(line["scenes"], thumbnails, strict=False)):
        # a question by itself has its images numbered anew: which they were is not known
        places = range(MAX_IMAGES) if line["role"] == "alone" else (number,)
        found = min(_difference(line, scene, place, thumbnail) for place in places)
        if found > _MOST:
            yield f"image {number + 1}: does not show its scene (painted again it differs by {found} of 255)"


def _difference(line: Mapping[str, Any], scene: Sequence[Sequence[int]], place: int, thumbnail: bytes) -> int:
    """The largest difference between a small copy and that of a scene painted as a dialogue's image."""
    cells = tuple(map(tuple, scene))
    painted = _paint_small(cells, line["domain"], line["side"], (*line["seed"], 1, place), line["style"])
    one, other = (np.frombuffer(pixels, np.uint8).astype(np.int16) for pixels in (painted, thumbnail))
    return int(np.abs(one - other).max())


@functools.lru_cache(maxsize=256)  # the rows of a dialogue show the same images
def _paint_small(
    scene: tuple[tuple[int, ...], ...], domain: str, side: int, seed: tuple[int, ...], style: str
) -> bytes:
    """The small copy of a painted scene."""
    return _small_copy(paint_image(np.array(scene), domain, side, np.random.default_rng(seed), style))
