"""An accepted image opens in `datasets` and in the Hub's viewer; with `reencode` all loaders see the same pixels."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from datasets import Image as ImageFeature
from PIL import Image, ImageCms, ImageOps

from mmcr_dataset.record.images import VIEWER_MODES, ImageError, check_image, decode_rgb, reencode

RGB = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype="uint8"))


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def with_bad_checksum(png: bytes, kind: bytes) -> bytes:
    at = png.index(kind)
    size = struct.unpack(">I", png[at - 4 : at])[0]
    crc = at + 4 + size
    return png[:crc] + struct.pack(">I", zlib.crc32(png[at:crc]) ^ 1) + png[crc + 4 :]


def oriented() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(RGB, "JPEG", exif=exif)


def lab() -> Image.Image:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    changed = ImageCms.profileToProfile(RGB, *profiles, outputMode="LAB")
    assert changed is not None
    return changed


GREY_16 = Image.fromarray(np.linspace(0, 60000, 4800, dtype="uint16").reshape(60, 80))
PNG = encoded(RGB)
FILES = {
    "lab": encoded(lab(), "TIFF"),
    "float": encoded(Image.fromarray(np.linspace(0, 1, 4800, dtype="float32").reshape(60, 80)), "TIFF"),
    "int32": encoded(Image.fromarray(np.arange(4800, dtype="int32").reshape(60, 80) * 9), "TIFF"),
    "grey 16 tiff": encoded(GREY_16, "TIFF"),
    "grey 16": encoded(GREY_16),
    "cmyk": encoded(RGB.convert("CMYK"), "JPEG"),
    "cmyk tiff": encoded(RGB.convert("CMYK"), "TIFF"),
    "ycbcr tiff": encoded(RGB.convert("YCbCr"), "TIFF"),
    "palette": encoded(RGB.convert("P")),
    "alpha": encoded(RGB.convert("RGBA")),
    "one bit": encoded(RGB.convert("1")),
    "gif": encoded(RGB, "GIF"),
    "bmp": encoded(RGB, "BMP"),
    "oriented": oriented(),
    "plain": PNG,
    **{f"checksum of {kind.decode()}": with_bad_checksum(PNG, kind) for kind in (b"IHDR", b"IDAT", b"IEND")},
    "checksum of gAMA": with_bad_checksum(
        PNG[:33] + struct.pack(">I", 4) + b"gAMA" + struct.pack(">I", 45455) + b"\0\0\0\0" + PNG[33:], b"gAMA"
    ),
}


def reason_refused(data: bytes) -> str | None:
    try:
        check_image(data)
    except ImageError as error:
        return error.reason
    return None


def viewer_saves(image: Image.Image) -> bool:
    for format in ("JPEG", "PNG"):
        try:
            image.save(io.BytesIO(), format)
        except OSError:
            continue
        return True
    return False


@pytest.mark.parametrize("name", FILES)
def test_what_is_accepted_opens_in_datasets_and_in_the_viewer(name: str) -> None:
    data = FILES[name]
    reason = reason_refused(data)
    if reason is not None:
        assert reason in ("unsupported_mode", "corrupt_image", "not_an_image")
        return
    loaded = ImageFeature().decode_example({"bytes": data, "path": None})
    assert loaded.size == decode_rgb(data).size
    assert viewer_saves(loaded)


@pytest.mark.parametrize("name", ["lab", "float"])
def test_a_mode_that_the_viewer_cannot_save_is_refused_by_name(name: str) -> None:
    with pytest.raises(ImageError, match="unsupported_mode"):
        check_image(FILES[name])


def test_every_mode_of_the_list_is_one_that_the_viewer_saves() -> None:
    for mode in VIEWER_MODES:
        assert viewer_saves(Image.new(mode, (40, 40))), mode


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("checksum")])
def test_reencoded_images_look_the_same_in_every_loader(name: str) -> None:
    data = reencode(FILES[name])
    opened = Image.open(io.BytesIO(data))
    assert opened.mode in ("RGB", "L")
    assert opened.getexif().get(0x0112, 1) == 1
    plain = np.asarray(opened.convert("RGB"))
    assert np.array_equal(plain, np.asarray(ImageOps.exif_transpose(opened).convert("RGB")))
    assert np.array_equal(plain, np.asarray(decode_rgb(data)))
    assert np.abs(plain.astype(int) - np.asarray(decode_rgb(FILES[name])).astype(int)).mean() < 4
    check_image(data)
    assert reencode(data) == data
    assert (data == FILES[name]) == (name == "plain")
