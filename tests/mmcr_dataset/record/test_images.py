"""Image bytes: every broken kind has its reason, every odd kind becomes 8-bit RGB."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmcr_dataset.record.images import (
    NEAR_DUPLICATE_BITS,
    ImageError,
    ImageLimits,
    check_image,
    decode_rgb,
    hash_distance,
    perceptual_hash,
    shrink,
    to_data_url,
)
from tests.conftest import image_bytes


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


GRADIENT = Image.fromarray(np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty_file"),
        (b"<!DOCTYPE html><html></html>", "not_an_image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "vector_image"),
        (b'<?xml version="1.0"?>\n<svg/>', "vector_image"),
        (b"%PDF-1.4 nothing", "not_an_image"),
        (image_bytes(1, format="JPEG")[:-400], "corrupt_image"),
        (encoded(Image.new("RGB", (1, 1))), "too_small"),
        (encoded(Image.new("RGB", (2000, 40))), "extreme_aspect"),
        (encoded(Image.new("RGB", (100, 100), "white")), "blank_image"),
        (encoded(Image.new("1", (9000, 9000))), "too_many_pixels"),
    ],
)
def test_check_image_unusable_names_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError) as raised:
        check_image(data)
    assert raised.value.reason == reason


def huge_header(format: str) -> bytes:
    """An image of a few bytes that says it has 60,000 x 60,000 pixels."""
    if format == "GIF":
        return b"GIF89a" + struct.pack("<HH", 60000, 60000) + b"\0\0\0," + bytes(4) + b"\1\0\1\0\0\2\2D\1\0;"
    if format == "BMP":
        return b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(99)
    data = bytearray(encoded(GRADIENT, format))
    if format == "PNG":
        data[16:24] = struct.pack(">II", 60000, 60000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_check_image_header_that_promises_gigabytes_is_refused_unread(format: str) -> None:
    with pytest.raises(ImageError, match="too_many_pixels"):
        check_image(huge_header(format))


def test_check_image_text_that_unpacks_to_gigabytes_is_refused() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("note", "a" * 80_000_000, zip=True)
    with pytest.raises(ImageError, match="corrupt_image"):
        check_image(encoded(GRADIENT, pnginfo=info))


def test_check_image_page_after_or_inside_an_image_changes_nothing() -> None:
    page = b"<html><script>alert(1)</script><svg></svg>"
    assert check_image(image_bytes(1) + page).size == (96, 72)
    assert check_image(encoded(GRADIENT, "JPEG", comment=page)).size == (64, 64)


@pytest.mark.parametrize(
    "head", [b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0", b"\0\0\1\0", b"\x7fELF", b"PK\3\4", b"ID3", b"\0" * 9]
)
def test_check_image_what_pillow_could_open_but_we_do_not_want(head: bytes) -> None:
    with pytest.raises(ImageError, match="not_an_image"):
        check_image(head + bytes(5000))


@pytest.mark.parametrize("format", ["WEBP", "PNG", "GIF"])
def test_check_image_animation_is_its_first_frame_and_is_sent_as_a_still(format: str) -> None:
    frames = [decode_rgb(image_bytes(seed)) for seed in (1, 2, 3)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    assert hash_distance(perceptual_hash(check_image(data)), perceptual_hash(frames[0])) <= NEAR_DUPLICATE_BITS
    assert to_data_url(data).startswith("data:image/jpeg;")


@pytest.mark.parametrize("orientation", range(10))
def test_decode_rgb_any_orientation_is_upright_or_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    size = decode_rgb(encoded(GRADIENT.resize((64, 40)), "JPEG", exif=exif)).size
    assert size == ((40, 64) if orientation in (5, 6, 7, 8) else (64, 40))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_check_image_damaged_at_random_ends_in_an_image_or_a_reason(format: str) -> None:
    whole = encoded(decode_rgb(image_bytes(1)), format)
    rng = np.random.default_rng(7)
    for number in range(150):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400 if number % 2 else len(data)), rng.integers(1, 12)):
            data[at] = rng.integers(256)
        with contextlib.suppress(ImageError):  # any other exception would end a build
            assert check_image(bytes(data[: rng.integers(20, len(data) + 1)])).mode == "L"


def test_check_image_too_many_bytes_names_both_numbers() -> None:
    data = image_bytes(1)
    with pytest.raises(ImageError, match=rf"too_many_bytes: {len(data)} bytes, limit 100"):
        check_image(data, ImageLimits(size_bytes_max=100))


def test_decode_rgb_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = Image.fromarray(np.tile(np.linspace(0, 65535, 64, dtype=np.uint16), (64, 1)))
    grey = np.asarray(decode_rgb(encoded(deep)))[0, :, 0]
    assert grey[0] == 0
    assert 120 <= grey[32] <= 135
    assert grey[-1] == 255


def test_decode_rgb_alpha_is_shown_on_white() -> None:
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert decode_rgb(encoded(clear)).getpixel((5, 5)) == (255, 255, 255)


def test_decode_rgb_palette_with_transparency_keeps_its_colours() -> None:
    image = Image.new("P", (64, 64), 1)
    image.putpalette([0, 0, 0, 10, 200, 30] + [0] * 762)
    assert decode_rgb(encoded(image, transparency=0)).getpixel((5, 5)) == (10, 200, 30)


def test_decode_rgb_exif_orientation_turns_the_image_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_rgb(encoded(GRADIENT.resize((64, 40)), "JPEG", exif=exif)).size == (40, 64)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "LA"])
def test_decode_rgb_any_mode_becomes_rgb(mode: str) -> None:
    image = GRADIENT.convert("RGB").convert("L").convert(mode) if mode == "LA" else GRADIENT.convert(mode)
    assert decode_rgb(encoded(image, "TIFF")).mode == "RGB"


def test_decode_rgb_animation_shows_its_first_frame() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_rgb(data).getpixel((5, 5)) == (255, 0, 0)


def test_perceptual_hash_survives_reencoding_and_tells_others_apart() -> None:
    photos = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    first = decode_rgb((photos / "chelsea.png").read_bytes())
    again = decode_rgb(encoded(shrink(first, 200), "JPEG", quality=50))
    other = decode_rgb((photos / "coffee.png").read_bytes())
    assert hash_distance(perceptual_hash(first), perceptual_hash(again)) <= NEAR_DUPLICATE_BITS
    assert hash_distance(perceptual_hash(first), perceptual_hash(other)) > NEAR_DUPLICATE_BITS


def test_data_url_small_png_keeps_its_bytes_and_large_ones_shrink() -> None:
    data = image_bytes(3, (200, 100))
    assert base64.b64decode(to_data_url(data).removeprefix("data:image/png;base64,")) == data
    small = base64.b64decode(to_data_url(data, max_side_px=50).removeprefix("data:image/jpeg;base64,"))
    assert decode_rgb(small).size == (50, 25)


EXPECTED_REASONS = {  # what the keeper of the broken corpus expects, as the reason we count it under
    "truncated_jpeg": "corrupt_image",
    "one_pixel": "too_small",
    "svg": "vector_image",
    "extreme_aspect": "extreme_aspect",
    "blank_image": "blank_image",
    "empty_file": "empty_file",
    "html_named_jpg": "not_an_image",
    "html_page": "not_an_image",
}
EXPECTED_GOOD = ("cmyk_jpeg", "png_16bit", "webp_alpha", "palette_transparent_png", "grey_jpeg", "animated_gif")


def broken_images(corpus: Path) -> dict[str, bytes]:
    """Defect -> bytes of the image of that document, read from the folder behind the addresses."""
    import pyarrow.parquet as pq

    rows = pq.read_table(corpus / "corpus_broken.parquet").to_pylist()
    notes = [json.loads(line) for line in (corpus / "provenance_broken.jsonl").read_text("utf-8").splitlines()]
    found: dict[str, bytes] = {}
    for row, note in zip(rows, notes, strict=True):
        for url in row["images"] or []:
            path = corpus / "images" / (url or "").rpartition("/")[2]
            if url and path.is_file():
                found.setdefault(note["defect"], path.read_bytes())
    return found


def test_check_image_real_broken_files_end_as_expected(corpus: Path) -> None:
    images = broken_images(corpus)
    for defect, reason in EXPECTED_REASONS.items():
        with pytest.raises(ImageError) as raised:
            check_image(images[defect])
        assert raised.value.reason == reason, defect
    for defect in EXPECTED_GOOD:
        assert perceptual_hash(check_image(images[defect])) == perceptual_hash(decode_rgb(images[defect])), defect
