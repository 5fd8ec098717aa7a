"""Decoding is bounded by the largest image allowed, and by strips gives what decoding at once gives."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from mmcr_dataset.record import images
from mmcr_dataset.record.images import decode_rgb


def small_strips(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, image.height, 7):
        yield 0, top, image.width, min(image.height, top + 7)


@pytest.mark.parametrize("mode", ["I;16", "F", "RGBA", "LA"])
def test_strips_give_the_same_pixels(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 255, (60, 70, 4), dtype=np.uint8)
    pixels = {"I;16": values[..., 0].astype(np.uint16) * 200, "F": values[..., 0] / 2.5, "LA": values[..., :2]}
    kind = {"F": np.float32, "I;16": np.uint16}.get(mode, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.get(mode, values).astype(kind)).save(buffer, "TIFF" if mode == "F" else "PNG")
    whole = np.asarray(decode_rgb(buffer.getvalue()))
    monkeypatch.setattr(images, "_strips", small_strips)
    assert np.array_equal(np.asarray(decode_rgb(buffer.getvalue())), whole)


MEASURE = """
import io, resource, sys
import numpy as np
from PIL import Image
from mmcr_dataset.record.images import decode_rgb
buffer = io.BytesIO()
Image.new(sys.argv[1], (7000, 7000), 1000 if sys.argv[1] == "I;16" else 100).save(buffer, "PNG")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
def peak_mb(name):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name))
before = peak_mb("VmRSS")
decode_rgb(buffer.getvalue())
print(peak_mb("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "most_mb"), [("I;16", 300), ("L", 300), ("RGB", 300), ("LA", 450), ("RGBA", 450)])
def test_largest_image_in_bounded_memory(mode: str, most_mb: int) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, mode], capture_output=True, text=True, check=True)
    assert float(done.stdout) < most_mb
