from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training.test_train import settings
from training.ovis2_tiling import choose_grid, with_original_tiling
from training.train import train

# Width, height -> rows, columns as the authors' own code gives them with tiles of 448 px, at most nine.
ORIGINAL_GRIDS = {
    (448, 448): (1, 1), (896, 448): (1, 2), (448, 896): (2, 1), (1344, 448): (1, 3), (1000, 700): (2, 3),
    (640, 480): (2, 2), (1920, 1080): (2, 4), (700, 1000): (3, 2), (300, 300): (1, 1), (1200, 400): (1, 3),
    (4000, 3000): (3, 3), (333, 777): (2, 1), (997, 1003): (3, 3),
}  # fmt: skip


@pytest.mark.parametrize("size", ORIGINAL_GRIDS)
def test_choose_grid_is_the_authors(size: tuple[int, int]) -> None:
    assert choose_grid(*size, side_px=448, max_tiles=9) == ORIGINAL_GRIDS[size]
    assert choose_grid(*size, side_px=448, max_tiles=1) == (1, 1)


@pytest.fixture
def tiling(build_family: Callable[..., tuple[Any, Any]]) -> Any:
    """The tiny Ovis2's processor (tiles of 56 px, 4 tokens each) with the authors' tiling."""
    return with_original_tiling(build_family("ovis2")[1], tiles_single=4, tiles_multi=1)


def test_tile_keeps_the_aspect_and_is_filled_up_with_zeros(tiling: Any) -> None:
    tiling.image_processor.tiles_single = 1
    pixels = tiling.image_processor.preprocess([[Image.new("RGB", (112, 56), (255, 0, 0))]])["pixel_values"]
    assert pixels.shape == (1, 3, 56, 56)
    assert not pixels[0, :, :14].any()
    assert not pixels[0, :, 42:].any()
    mean, deviation = (np.array(v) for v in (tiling.image_processor.image_mean, tiling.image_processor.image_std))
    expected = (np.array([1, 0, 0]) - mean) / deviation
    assert np.allclose(pixels[0, :, 14:42].numpy(), expected[:, None, None], atol=1e-6)


def test_tiles_are_the_whole_picture_then_its_cells_row_by_row(tiling: Any) -> None:
    picture = Image.new("RGB", (112, 112))
    for place, colour in (((0, 0), "red"), ((56, 0), "lime"), ((0, 56), "blue"), ((56, 56), "white")):
        picture.paste(colour, (*place, place[0] + 56, place[1] + 56))
    out = tiling.image_processor.preprocess([[picture]])
    assert out["grids"].tolist() == [[2, 2]]
    brightest = [tuple(channel > 0 for channel in tile[:, 28, 28].tolist()) for tile in out["pixel_values"][1:]]
    assert brightest == [(True, False, False), (False, True, False), (False, False, True), (True, True, True)]


def test_text_of_a_wide_picture_has_its_cells_in_one_row(tiling: Any) -> None:
    wide = Image.new("RGB", (112, 56))
    ids = tiling(text=["<image>"], images=[[wide]], return_tensors="pt")["input_ids"][0]
    tokens = [token for token in tiling.tokenizer.convert_ids_to_tokens(ids.tolist()) if token != "<IMG_ATOM>"]
    assert tokens == ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_END>"]


def test_several_pictures_get_one_tile_each_unless_more_are_allowed(tiling: Any) -> None:
    pictures = [[Image.new("RGB", (112, 56)), Image.new("RGB", (60, 200))]]
    assert tiling.image_processor.preprocess(pictures)["grids"].tolist() == [[1, 1], [1, 1]]
    tiling.image_processor.tiles_multi = 4
    assert tiling.image_processor.preprocess(pictures)["grids"].tolist() == [[1, 2], [4, 1]]


def test_train_with_original_tiling_saves_the_checkpoints_own_processor(data_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoProcessor

    final = train(settings(data_folder, tmp_path / "o", picture_tiling="original", max_steps=1))
    assert type(AutoProcessor.from_pretrained(final).image_processor).__name__ == "Ovis2ImageProcessor"


def test_original_tiling_of_another_family_is_refused(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--picture_tiling original is Ovis2's, tiny:smolvlm is a smolvlm"):
        train(settings(data_folder, tmp_path / "o", model="tiny:smolvlm", picture_tiling="original"))
