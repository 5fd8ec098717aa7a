"""Picture bytes: verify, decode, resize, hash. Pure functions; addresses are the business of collect/fetch.py.

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
HEAD_BYTES = 1024  # enough to tell a picture from a page
NEAR_DUPLICATE_BITS = 6  # perceptual hashes of 64 bits that differ in at most this many are one picture


# Reasons that may be gone on another day: the next build asks again.
TRANSIENT = frozenset(
    {"timeout", "http_408", "http_429", "http_5xx", "broken_transfer", "unreachable", "host_given_up"}
)


class PictureError(Exception):
    """A picture can't be used; `.reason` is a short name for counting, the message says the rest."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a picture may be. Sides in pixels, sizes in bytes."""

    size_bytes_max: int = 20_000_000
    pixels_max: int = 50_000_000  # 150 MB as RGB; decompression bombs are larger
    side_min_px: int = 32  # smaller is a tracking pixel or an icon
    aspect_max: float = 20.0  # longer strips are banners and separators
    contrast_min: float = 2.0  # standard deviation of grey levels (0..255); below is a blank picture

    def __post_init__(self) -> None:
        if min(self.size_bytes_max, self.pixels_max, self.side_min_px) < 1 or self.aspect_max < 1:
            raise ValueError(f"{self}: sizes and sides must be at least 1 and aspect_max at least 1.0")


ANY_SHAPE = PictureLimits(side_min_px=1, aspect_max=1e9)  # for pictures that are in use already: only bombs are refused


# How the files of FORMATS begin (WebP has its name after eight bytes), and everything Pillow raises on a broken one.
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PILLOW_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError),
    *(AssertionError, RuntimeError, MemoryError, struct.error, zlib.error),
)


def check_kind(head: bytes) -> None:
    """Look at the first bytes: do they begin a picture of ours?

    Raises:
        PictureError: vector_picture, not_a_picture.
    """
    if head.startswith(_MAGIC):
        return
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text or (text.startswith(b"<?xml") and b"svg" in text):
        raise PictureError("vector_picture", "SVG has no pixels of its own")
    if text.startswith((b"<!doctype", b"<html")):
        raise PictureError("not_a_picture", "an HTML page")
    raise PictureError("not_a_picture", f"begins with {bytes(head[:8])!r}, expected one of {', '.join(FORMATS)}")


def open_picture(data: bytes, limits: PictureLimits = ANY_SHAPE) -> Image.Image:
    """Open without decoding: checks kind, byte size and dimensions from the header.

    Raises:
        PictureError: empty_file, too_many_bytes, not_a_picture, vector_picture, corrupt_picture, too_many_pixels,
            too_small, extreme_aspect.
    """
    if not data:
        raise PictureError("empty_file", "0 bytes")
    if len(data) > limits.size_bytes_max:
        raise PictureError("too_many_bytes", f"{len(data)} bytes, limit {limits.size_bytes_max}")
    check_kind(data[:HEAD_BYTES])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit of pixels is checked below
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", str(error)) from error
    except UnidentifiedImageError as error:
        raise PictureError("not_a_picture", f"begins with {data[:8]!r} and goes on as no picture does") from error
    except _PILLOW_ERRORS as error:
        raise PictureError("corrupt_picture", f"a header that can't be read: {error}") from error
    width, height = picture.size
    if width * height > limits.pixels_max:
        raise PictureError("too_many_pixels", f"{width}x{height}, limit {limits.pixels_max} pixels")
    if max(width, height) > limits.aspect_max * min(width, height):
        raise PictureError("extreme_aspect", f"{width}x{height}, limit {limits.aspect_max:g}:1")
    if min(width, height) < limits.side_min_px:
        raise PictureError("too_small", f"{width}x{height}, sides must have at least {limits.side_min_px} px")
    return picture


def decode_rgb(data: bytes, limits: PictureLimits = ANY_SHAPE) -> Image.Image:
    """The picture as 8-bit RGB, upright, first frame, transparent parts on white.

    Raises:
        PictureError: what `open_picture` raises, or corrupt_picture when the pixels can't be decoded.
    """
    picture = open_picture(data, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF blocks; the pixels decide
            picture.seek(0)
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)  # no second copy of 150 MB where there is nothing to turn
            return _to_rgb(picture)
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", str(error)) from error
    except _PILLOW_ERRORS as error:
        raise PictureError("corrupt_picture", f"{picture.format} that doesn't decode: {error}") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        values = np.asarray(picture, dtype=np.float64)
        # convert("L") would clip everything above 255 to white
        top = 65535.0 if picture.mode != "F" and values.max() > 255 else max(255.0, float(values.max()))
        return Image.fromarray(np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)).convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
        background = Image.new("RGBA", picture.size, (*BACKGROUND_RGB, 255))
        return Image.alpha_composite(background, picture).convert("RGB")
    return picture.convert("RGB")


def check_picture(data: bytes, limits: PictureLimits = PictureLimits()) -> Image.Image:
    """Decode and look at the pixels too: what may enter the data set.

    Raises:
        PictureError: what `decode_rgb` raises, or blank_picture when all pixels are nearly alike.
    """
    picture = decode_rgb(data, limits)
    grey = np.asarray(picture.convert("L").resize((64, 64), Image.Resampling.BOX), dtype=np.float32)
    if float(grey.std()) < limits.contrast_min:
        raise PictureError(
            "blank_picture", f"grey levels vary by {float(grey.std()):.2f}, at least {limits.contrast_min}"
        )
    return picture


def perceptual_hash(picture: Image.Image) -> str:
    """64-bit DCT hash (pHash) of a decoded picture as 16 hex digits. Source: the imagehash library."""
    return str(imagehash.phash(picture))


def hash_distance(first: str, second: str) -> int:
    """Number of bits (0..64) in which two perceptual hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()


def shrink(picture: Image.Image, max_side_px: int) -> Image.Image:
    """The picture with its longer side at most `max_side_px`, aspect kept; itself if it is small enough."""
    size = shrunk_size(picture.size, max_side_px)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def shrunk_size(size: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """Pixels of a picture once its longer side is at most `max_side_px`."""
    scale = max_side_px / max(size)
    return size if scale >= 1 else (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def to_data_url(data: bytes, max_side_px: int | None = None) -> str:
    """A `data:` URL for a chat endpoint: the original bytes of a small enough JPEG, PNG or WebP, else a JPEG of it."""
    opened = open_picture(data)
    kind = (opened.format or "").lower()
    moves = getattr(opened, "is_animated", False)
    if kind in ("jpeg", "png", "webp") and not moves and (max_side_px is None or max(opened.size) <= max_side_px):
        return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    picture = decode_rgb(data)
    buffer = io.BytesIO()
    shrink(picture, max_side_px or max(picture.size)).save(buffer, "JPEG", quality=92)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
