"""Verify, decode, resize and hash image files. Pure functions; collect/web fetches images.

A row keeps the original file. Model input always comes from `decode_rgb`: first frame, EXIF orientation applied,
CMYK / 16-bit / palette / alpha converted to 8-bit RGB.
"""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # formats that Pillow may open; no vector formats, no PDF
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
BACKGROUND_RGB = (255, 255, 255)  # behind transparent pixels
HEAD_BYTES = 1024  # enough to detect the file type
NEAR_DUPLICATE_BITS = 6  # maximum Hamming distance of the 64-bit perceptual hashes

_ORIENTATION = 0x0112  # EXIF tag
# The viewer saves each image as JPEG, else as PNG (dataset-viewer, `image` in
# libs/libcommon/src/libcommon/viewer_utils/features.py), and fails for the whole page where neither takes the mode.
VIEWER_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B"})

# Transient failures: the next build retries them.
TRANSIENT = frozenset(
    {"timeout", "http_408", "http_429", "http_5xx", "broken_transfer", "unreachable", "host_given_up", "robots_unknown"}
)


class ImageError(Exception):
    """An image can't be used: `.reason` is a short name for counting, `.detail` the message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits on the size and content of an image."""

    size_bytes_max: int = 20_000_000
    pixels_max: int = 50_000_000  # 150 MB as RGB; decompression bombs are larger
    side_min_px: int = 32  # smaller is a tracking pixel or an icon
    aspect_max: float = 20.0  # longer strips are banners and separators
    contrast_min: float = 2.0  # standard deviation of grey levels (0..255); below is a blank image
    reencode: bool = False  # images that loaders show differently are encoded anew as plain 8-bit RGB

    def __post_init__(self) -> None:
        if min(self.size_bytes_max, self.pixels_max, self.side_min_px) < 1 or self.aspect_max < 1:
            raise ValueError(f"{self}: sizes and sides must be at least 1 and aspect_max at least 1.0")


ANY_SHAPE = ImageLimits(side_min_px=1, aspect_max=1e9)  # for accepted images: only decompression bombs are rejected

# Magic numbers of FORMATS (WebP: RIFF), and the exceptions that Pillow raises for corrupt files.
MAGIC_NUMBERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, RuntimeError, MemoryError, struct.error, zlib.error),
)


def check_kind(head: bytes) -> None:
    """Check the magic number.

    Args:
        head: the first bytes of the file, up to `HEAD_BYTES`.

    Raises:
        ImageError: vector_image, not_an_image.
    """
    if head.startswith(MAGIC_NUMBERS):
        return
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text or (text.startswith(b"<?xml") and b"svg" in text):
        raise ImageError("vector_image", "SVG is not a raster image")
    if text.startswith((b"<!doctype", b"<html")):
        raise ImageError("not_an_image", "an HTML page")
    raise ImageError("not_an_image", f"begins with {bytes(head[:8])!r}, expected one of {', '.join(FORMATS)}")


def open_image(data: bytes, limits: ImageLimits = ANY_SHAPE) -> Image.Image:
    """Open without decoding: checks format, file size and dimensions from the header.

    Raises:
        ImageError: empty_file, too_many_bytes, not_an_image, vector_image, corrupt_image, too_many_pixels,
            too_small, extreme_aspect.
    """
    if not data:
        raise ImageError("empty_file", "0 bytes")
    if len(data) > limits.size_bytes_max:
        raise ImageError("too_many_bytes", f"{len(data)} bytes, limit {limits.size_bytes_max}")
    check_kind(data[:HEAD_BYTES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own pixel limit is checked below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise ImageError("not_an_image", f"begins with {data[:8]!r}, but the rest is not of that format") from error
    except _PILLOW_ERRORS as error:
        raise ImageError("corrupt_image", f"unreadable header: {error}") from error
    width, height = image.size
    if width * height > limits.pixels_max:
        raise ImageError("too_many_pixels", f"{width}x{height}, limit {limits.pixels_max} pixels")
    if max(width, height) > limits.aspect_max * min(width, height):
        raise ImageError("extreme_aspect", f"{width}x{height}, limit {limits.aspect_max:g}:1")
    if min(width, height) < limits.side_min_px:
        raise ImageError("too_small", f"{width}x{height}, sides must have at least {limits.side_min_px} px")
    return image


def decode_rgb(data: bytes, limits: ImageLimits = ANY_SHAPE) -> Image.Image:
    """Decode to 8-bit RGB: first frame, EXIF orientation applied, transparency on white.

    Raises:
        ImageError: as `open_image`, or corrupt_image if the pixels can't be decoded.
    """
    return _load_rgb(open_image(data, limits))


def _load_rgb(image: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of invalid EXIF blocks
            image.seek(0)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # avoids a copy of up to 150 MB
            return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except _PILLOW_ERRORS as error:
        raise ImageError("corrupt_image", f"{image.format} can't be decoded: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        return _grey_to_rgb(image)
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        flat = Image.new("RGB", image.size)
        for box in _strips(image):
            strip = image.crop(box).convert("RGBA")
            background = Image.new("RGBA", strip.size, (*BACKGROUND_RGB, 255))
            flat.paste(Image.alpha_composite(background, strip).convert("RGB"), box[:2])
        return flat
    return image.convert("RGB")


def check_mode(data: bytes, limits: ImageLimits = ANY_SHAPE) -> None:
    """Check that the Hub's viewer can show an image.

    Raises:
        ImageError: as `open_image`, or unsupported_mode.
    """
    _check_mode(open_image(data, limits))


def _check_mode(image: Image.Image) -> Image.Image:
    if image.mode not in VIEWER_MODES:
        raise ImageError(
            "unsupported_mode", f"mode {image.mode}, which neither JPEG nor PNG holds; --reencode converts it"
        )
    return image


def _grey_to_rgb(image: Image.Image) -> Image.Image:
    """An image of more than 8 bits a pixel; convert("L") would clip everything above 255 to white."""
    highest = max(float(np.asarray(image.crop(box)).max()) for box in _strips(image))
    if image.mode == "F":
        top = 1.0 if 0 < highest <= 1 else max(255.0, highest)
    else:
        top = 65535.0 if highest > 255 else 255.0
    grey = Image.new("L", image.size)
    for box in _strips(image):
        values = np.asarray(image.crop(box), dtype=np.float64)
        grey.paste(Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)), box[:2])
    image.close()
    return grey.convert("RGB")


def _strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of up to a million pixels that make up an image, so that no copy of all of it is needed."""
    width, height = image.size
    rows = max(1, 1_000_000 // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def check_image(data: bytes, limits: ImageLimits = ImageLimits()) -> Image.Image:
    """Decode an image for the data set, and reject blank ones; returns it in grey, for `perceptual_hash`.

    Raises:
        ImageError: as `decode_rgb`; unsupported_mode if the Hub's viewer can't show it; or blank_image if the pixels
            have nearly no contrast.
    """
    grey = _load_rgb(_check_mode(open_image(data, limits))).convert("L")
    contrast = float(np.asarray(grey.resize((64, 64), Image.Resampling.BOX), dtype=np.float32).std())
    if contrast < limits.contrast_min:
        raise ImageError("blank_image", f"standard deviation {contrast:.2f}, expected at least {limits.contrast_min}")
    return grey


def reencode(data: bytes, limits: ImageLimits = ANY_SHAPE) -> bytes:
    """The file itself if every loader sees the same 8-bit pixels in it, else those of `decode_rgb` as JPEG or PNG.

    Not the same in every loader: orientation in EXIF, transparency, palettes, CMYK, more than 8 bits, animation.

    Raises:
        ImageError: as `decode_rgb`.
    """
    opened = open_image(data, limits)
    oriented = opened.getexif().get(_ORIENTATION, 1) != 1
    plain = opened.mode in ("RGB", "L") and "transparency" not in opened.info
    if plain and not oriented and opened.format in ("JPEG", "PNG", "WEBP") and getattr(opened, "n_frames", 1) == 1:
        return data
    buffer = io.BytesIO()
    image = decode_rgb(data, limits)
    if opened.format == "JPEG":
        image.save(buffer, "JPEG", quality=95, subsampling=0, exif=b"")
    else:
        image.info.clear()
        image.save(buffer, "PNG")
    return buffer.getvalue()


def perceptual_hash(image: Image.Image) -> str:
    """64-bit perceptual hash (pHash, by imagehash) of a decoded image, in colour or grey, as 16 hex digits."""
    return str(imagehash.phash(image))


def hash_distance(first: str, second: str) -> int:
    """Hamming distance (0..64) of two perceptual hashes."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def shrink(image: Image.Image, max_side_px: int) -> Image.Image:
    """Downscale the image to a longer side of at most `max_side_px`, aspect ratio kept."""
    size = shrunk_size(image.size, max_side_px)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def shrunk_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """(width, height) of an image after `shrink`."""
    scale = max_side_px / max(size)
    return size if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def to_data_url(data: bytes, max_side_px: int | None = None) -> str:
    """A `data:` URL for a chat endpoint: the original file if it is a small enough JPEG, PNG or WebP, else a JPEG."""
    opened = open_image(data)
    kind = (opened.format or "").lower()
    is_animated = getattr(opened, "is_animated", False)
    if kind in ("jpeg", "png", "webp") and not is_animated and (max_side_px is None or max(opened.size) <= max_side_px):
        return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    image = decode_rgb(data)
    buffer = io.BytesIO()
    shrink(image, max_side_px or max(image.size)).save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
