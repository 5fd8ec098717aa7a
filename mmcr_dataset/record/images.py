"""Image bytes: verify, decode, resize, hash. Pure functions; addresses are the business of collect/fetch.py.

A row keeps the original bytes. What a model sees is always made by `decode_rgb`: first frame, EXIF orientation
applied, CMYK / 16-bit / palette / alpha brought to 8-bit RGB.
"""

from __future__ import annotations

import base64
import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # what we let Pillow open; no vector, no PDF
BACKGROUND_RGB = (255, 255, 255)  # transparent pixels are shown on white
HEAD_BYTES = 1024  # enough to tell an image from a page
NEAR_DUPLICATE_BITS = 6  # perceptual hashes of 64 bits that differ in at most this many are one image


# Reasons that may be gone on another day: the next build asks again.
TRANSIENT = frozenset(
    {"timeout", "http_408", "http_429", "http_5xx", "broken_transfer", "unreachable", "host_given_up"}
)


class ImageError(Exception):
    """An image can't be used; `.reason` is a short name for counting, the message says the rest."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may be. Sides in pixels, sizes in bytes."""

    size_bytes_max: int = 20_000_000
    pixels_max: int = 50_000_000  # 150 MB as RGB; decompression bombs are larger
    side_min_px: int = 32  # smaller is a tracking pixel or an icon
    aspect_max: float = 20.0  # longer strips are banners and separators
    contrast_min: float = 2.0  # standard deviation of grey levels (0..255); below is a blank image

    def __post_init__(self) -> None:
        if min(self.size_bytes_max, self.pixels_max, self.side_min_px) < 1 or self.aspect_max < 1:
            raise ValueError(f"{self}: sizes and sides must be at least 1 and aspect_max at least 1.0")


ANY_SHAPE = ImageLimits(side_min_px=1, aspect_max=1e9)  # for images that are in use already: only bombs are refused


# How the files of FORMATS begin (WebP has its name after eight bytes), and everything Pillow raises on a broken one.
MAGIC_NUMBERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, RuntimeError, MemoryError, struct.error, zlib.error),
)


def check_kind(head: bytes) -> None:
    """Look at the first bytes: do they begin an image of ours?

    Raises:
        ImageError: vector_image, not_an_image.
    """
    if head.startswith(MAGIC_NUMBERS):
        return
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text or (text.startswith(b"<?xml") and b"svg" in text):
        raise ImageError("vector_image", "SVG has no pixels of its own")
    if text.startswith((b"<!doctype", b"<html")):
        raise ImageError("not_an_image", "an HTML page")
    raise ImageError("not_an_image", f"begins with {bytes(head[:8])!r}, expected one of {', '.join(FORMATS)}")


def open_image(data: bytes, limits: ImageLimits = ANY_SHAPE) -> Image.Image:
    """Open without decoding: checks kind, byte size and dimensions from the header.

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
            warnings.simplefilter("ignore")  # our own limit of pixels is checked below
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise ImageError("not_an_image", f"begins with {data[:8]!r} and goes on as no image does") from error
    except _PILLOW_ERRORS as error:
        raise ImageError("corrupt_image", f"a header that can't be read: {error}") from error
    width, height = image.size
    if width * height > limits.pixels_max:
        raise ImageError("too_many_pixels", f"{width}x{height}, limit {limits.pixels_max} pixels")
    if max(width, height) > limits.aspect_max * min(width, height):
        raise ImageError("extreme_aspect", f"{width}x{height}, limit {limits.aspect_max:g}:1")
    if min(width, height) < limits.side_min_px:
        raise ImageError("too_small", f"{width}x{height}, sides must have at least {limits.side_min_px} px")
    return image


def decode_rgb(data: bytes, limits: ImageLimits = ANY_SHAPE) -> Image.Image:
    """The image as 8-bit RGB, upright, first frame, transparent parts on white.

    Raises:
        ImageError: what `open_image` raises, or corrupt_image when the pixels can't be decoded.
    """
    image = open_image(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF blocks; the pixels decide
            image.seek(0)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # no second copy of 150 MB where there is nothing to turn
            return _to_rgb(image)
    except Image.DecompressionBombError as error:
        raise ImageError("too_many_pixels", str(error)) from error
    except _PILLOW_ERRORS as error:
        raise ImageError("corrupt_image", f"{image.format} that doesn't decode: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        values = np.asarray(image, dtype=np.float64)
        # convert("L") would clip everything above 255 to white
        top = 65535.0 if image.mode != "F" and values.max() > 255 else max(255.0, float(values.max()))
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (*BACKGROUND_RGB, 255))
        return Image.alpha_composite(background, image).convert("RGB")
    return image.convert("RGB")


def check_image(data: bytes, limits: ImageLimits = ImageLimits()) -> Image.Image:
    """Decode and look at the pixels too: what may enter the data set.

    Raises:
        ImageError: what `decode_rgb` raises, or blank_image when all pixels are nearly alike.
    """
    image = decode_rgb(data, limits)
    grey = np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    if float(grey.std()) < limits.contrast_min:
        raise ImageError("blank_image", f"grey levels vary by {float(grey.std()):.2f}, at least {limits.contrast_min}")
    return image


def perceptual_hash(image: Image.Image) -> str:
    """64-bit DCT hash (pHash) of a decoded image as 16 hex digits. Source: the imagehash library."""
    return str(imagehash.phash(image))


def hash_distance(first: str, second: str) -> int:
    """Number of bits (0..64) in which two perceptual hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def shrink(image: Image.Image, max_side_px: int) -> Image.Image:
    """The image with its longer side at most `max_side_px`, aspect kept; itself if it is small enough."""
    size = shrunk_size(image.size, max_side_px)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)


def shrunk_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Pixels of an image once its longer side is at most `max_side_px`."""
    scale = max_side_px / max(size)
    return size if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def to_data_url(data: bytes, max_side_px: int | None = None) -> str:
    """A `data:` URL for a chat endpoint: the original bytes of a small enough JPEG, PNG or WebP, else a JPEG of it."""
    opened = open_image(data)
    kind = (opened.format or "").lower()
    moves = getattr(opened, "is_animated", False)
    if kind in ("jpeg", "png", "webp") and not moves and (max_side_px is None or max(opened.size) <= max_side_px):
        return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    image = decode_rgb(data)
    buffer = io.BytesIO()
    shrink(image, max_side_px or max(image.size)).save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
