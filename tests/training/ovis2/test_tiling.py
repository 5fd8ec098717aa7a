from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.training.test_train import settings
from training.ovis2.tiling import choose_grid, with_original_tiling
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


def test_tiles_are_the_whole_image_then_its_cells_row_by_row(tiling: Any) -> None:
    image = Image.new("RGB", (112, 112))
    for place, colour in (((0, 0), "red"), ((56, 0), "lime"), ((0, 56), "blue"), ((56, 56), "white")):
        image.paste(colour, (*place, place[0] + 56, place[1] + 56))
    out = tiling.image_processor.preprocess([[image]])
    assert out["grids"].tolist() == [[2, 2]]
    brightest = [tuple(channel > 0 for channel in tile[:, 28, 28].tolist()) for tile in out["pixel_values"][1:]]
    assert brightest == [(True, False, False), (False, True, False), (False, False, True), (True, True, True)]


def test_text_of_a_wide_image_has_its_cells_in_one_row(tiling: Any) -> None:
    wide = Image.new("RGB", (112, 56))
    ids = tiling(text=["<image>"], images=[[wide]], return_tensors="pt")["input_ids"][0]
    tokens = [token for token in tiling.tokenizer.convert_ids_to_tokens(ids.tolist()) if token != "<IMG_ATOM>"]
    assert tokens == ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_END>"]


def test_several_images_get_one_tile_each_unless_more_are_allowed(tiling: Any) -> None:
    images = [[Image.new("RGB", (112, 56)), Image.new("RGB", (60, 200))]]
    assert tiling.image_processor.preprocess(images)["grids"].tolist() == [[1, 1], [1, 1]]
    tiling.image_processor.tiles_multi = 4
    assert tiling.image_processor.preprocess(images)["grids"].tolist() == [[1, 2], [4, 1]]


def test_train_with_original_tiling_saves_the_checkpoints_own_processor(data_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoProcessor

    final = train(settings(data_folder, tmp_path / "o", image_tiling="original", max_steps=1))
    assert type(AutoProcessor.from_pretrained(final).image_processor).__name__ == "Ovis2ImageProcessor"


def test_original_tiling_of_another_family_is_refused(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--image_tiling original is for Ovis2, tiny:smolvlm is a smolvlm"):
        train(settings(data_folder, tmp_path / "o", model="tiny:smolvlm", image_tiling="original"))


def tiles_step_by_step(image: Image.Image, side: int, most: int) -> tuple[tuple[int, int], list[Any]]:
    """The authors' algorithm told slowly: the grid, and every tile as numbers (3, side, side).

    Source: AIDC-AI/Ovis at 58b0ad6, preprocess_image; on 56 images of the corpus its tiles are ours to the bit.
    """
    width, height = image.size
    shown = {}
    for rows in range(1, most + 1):
        for columns in range(1, most // rows + 1):
            kept = 0.0
            for row in range(rows):
                for column in range(columns):
                    tall = height // rows if row < rows - 1 else height - height // rows * (rows - 1)
                    wide = width // columns if column < columns - 1 else width - width // columns * (columns - 1)
                    scale = min(1.0, side / max(tall, wide))
                    kept += tall * scale * wide * scale
            shown[rows, columns] = kept / (width * height)
    enough = [grid for grid in shown if shown[grid] > 0.9]
    if enough:
        fewest = min(rows * columns for rows, columns in enough)
        rows, columns = max((grid for grid in enough if grid[0] * grid[1] == fewest), key=lambda grid: shown[grid])
    else:
        rows, columns = max(shown, key=lambda grid: (shown[grid], -grid[0] * grid[1]))
    cuts = [image]
    for row in range(rows) if rows * columns > 1 else ():
        for column in range(columns):
            right = width if column + 1 == columns else width // columns * (column + 1)
            lower = height if row + 1 == rows else height // rows * (row + 1)
            cuts.append(image.crop((width // columns * column, height // rows * row, right, lower)))
    return (rows, columns), [tile_step_by_step(cut, side) for cut in cuts]


def tile_step_by_step(cut: Image.Image, side: int) -> Any:
    """Its longer side as long as the tile, in the middle of zeros."""
    wide, tall = cut.size
    size = (side, int(tall / wide * side)) if wide > tall else (int(wide / tall * side), side)
    values = np.asarray(cut.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    values = (values - np.array(CLIP_MEAN)) / np.array(CLIP_DEVIATION)
    tile = np.zeros((side, side, 3))
    left, upper = (side - size[0]) // 2, (side - size[1]) // 2
    tile[upper : upper + size[1], left : left + size[0]] = values
    return tile.transpose(2, 0, 1)


CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.mark.parametrize(
    "size", [None, (448, 448), (1000, 700), (1920, 1080), (700, 1000), (1200, 400), (333, 777), (997, 1003), (2400, 90)]
)
def test_tiles_of_real_images_are_those_of_the_authors_algorithm(size: tuple[int, int] | None, corpus: Path) -> None:
    from mmcr_dataset.record.images import decode_rgb
    from training.ovis2.tiling import OriginalTiling

    tiling = OriginalTiling(size={"height": 448, "width": 448}, image_mean=CLIP_MEAN, image_std=CLIP_DEVIATION)
    tiling.tiles_single, tiling.tiles_multi = 9, 1
    for path in sorted((corpus / "images").glob("*.jpg"))[::150]:
        image = decode_rgb(path.read_bytes())
        image = image if size is None else image.resize(size)
        grid, tiles = tiles_step_by_step(image, 448, 9)
        out = tiling.preprocess([[image]])
        assert out["grids"].tolist() == [list(grid)]
        assert np.abs(out["pixel_values"].numpy() - np.stack(tiles)).max() < 1e-5
