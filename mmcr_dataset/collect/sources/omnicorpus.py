"""OmniCorpus-CC and OBELICS rows: `images` and `texts` of equal length, one of the two null at each position.

Source: OpenGVLab/OmniCorpus-CC and OmniCorpus-CC-210M (arXiv 2406.08418): general_metadata, images, texts, metadata.
HuggingFaceM4/OBELICS (arXiv 2306.16527): images, texts, and metadata, general_metadata as JSON in a string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmcr_dataset.collect.document import Document, ImageAt, document_id
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed

PROBABILITIES = ("advertisement", "politics", "porn", "toxic", "unsafe", "fluency", "aesthetic")


def to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """Convert one row of OmniCorpus; `place` is its position, for messages."""
    general = row.get("general_metadata") or {}
    return to_interleaved(
        row.get("images"),
        row.get("texts"),
        place,
        Source(general.get("url"), licence),
        general.get("id"),
        read_probabilities(general, row.get("metadata") or []),
    )


def obelics_to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """Convert one row of OBELICS; `place` is its position, for messages.

    If `general_metadata` has no URL, the first image's `document_url` is used.
    """
    try:
        general = json.loads(row.get("general_metadata") or "{}")
        images = json.loads(row.get("metadata") or "[]")
    except (ValueError, TypeError, RecursionError) as error:
        return Removed(document_id(str(row)), "metadata_not_json", f"{place}: {error}")
    if not isinstance(general, dict) or not isinstance(images, list):
        return Removed(document_id(str(row)), "metadata_not_json", f"{place}: expected an object and a list")
    pages = (image.get("document_url") for image in images if isinstance(image, dict))
    url = general.get("url") or next((page for page in pages if page), None)
    return to_interleaved(row.get("images"), row.get("texts"), place, Source(url, licence))


def to_interleaved(
    images: list[str | None] | None,
    texts: list[str | None] | None,
    place: str,
    source: Source,
    row_id: str | None = None,
    probabilities: Mapping[str, float] | None = None,
) -> Document | Removed:
    """Merge two lists to a document.

    Args:
        images: URL of an image at each position, or None.
        texts: text at each position, or None.
        place: position of the row, for messages.
        source: provenance of the document.
        row_id: id of the document; None for a hash of its content.
        probabilities: classifier scores, by name.

    Raises:
        TypeError: the lists or their values have other types.
    """
    row_id = row_id or document_id(source.document_url or "", str(images), str(texts))
    if images is None or texts is None:
        return Removed(row_id, "null_columns", f"{place}: images or texts is null")
    if not isinstance(images, list) or not isinstance(texts, list):
        raise TypeError(f"images and texts are {type(images).__name__} and {type(texts).__name__}, expected lists")
    if len(images) != len(texts):
        return Removed(
            row_id, "unequal_lengths", f"{place}: {len(images)} images and {len(texts)} texts, expected as many"
        )
    if not all(value is None or isinstance(value, str) for value in (*images, *texts)):
        raise TypeError("images or texts have values that are not strings")
    blocks: list[str | ImageAt] = []
    for image, text in zip(images, texts, strict=True):
        if image is not None and text is not None:
            return Removed(row_id, "image_and_text_at_one_place", f"{place}: expected one of the two to be null")
        if image is not None:
            blocks.append(ImageAt(url=image))
        elif text is not None:
            blocks.append(text)
    return Document(row_id, tuple(blocks), source, probabilities or {})


def read_probabilities(general: Mapping[str, Any], images: list[Mapping[str, Any] | None]) -> dict[str, float]:
    """Classifier scores of a row by the names of `PROBABILITIES`, nulls omitted; the worst of its images counts."""
    found = {
        "politics": general.get("politics_prob"),
        "porn": general.get("porn_prob"),
        "toxic": general.get("toxic_prob"),
        "fluency": general.get("fluency_prob"),
    }
    if general.get("non_advertisement_prob") is not None:
        found["advertisement"] = 1.0 - general["non_advertisement_prob"]
    for name, worst in (("unsafe", max), ("aesthetic", min)):
        values = [image[f"{name}_prob"] for image in images if image and image.get(f"{name}_prob") is not None]
        if values:
            found[name] = worst(values)
    return {name: float(value) for name, value in found.items() if value is not None}
