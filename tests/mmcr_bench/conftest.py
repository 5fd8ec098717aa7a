"""Dialogues whose images really differ, for everything that compares images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb, perceptual_hash


def patchwork(seed: int, format: str = "PNG", quality: int = 75) -> bytes:
    """An image of 8 x 8 random grey fields: another seed has another perceptual hash, another format hasn't."""
    fields = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(fields).resize((64, 64), Image.Resampling.NEAREST).convert("RGB").save(
        buffer, format, quality=quality
    )
    return buffer.getvalue()


def patchwork_dialogue(
    name: str, images: list[bytes], topic: str | None = None, domain: str | None = None, hashed: bool = True
) -> Dialogue:
    """A dialogue of 4 turns (one image) or 8 (more), with or without stored hashes."""
    shown = tuple(DialogueImage(data, phash=perceptual_hash(decode_rgb(data)) if hashed else None) for data in images)
    turns = []
    for number in range(1, (4 if len(images) == 1 else 8) + 1):
        about = [number] if number <= len(images) else []
        turns.append(Turn(introduce(about, f"What is in picture {number} of {name}?"), f"Grey field number {number}."))
    return Dialogue(name, tuple(turns), shown, domain=domain, topic=topic)
