"""WIT rows: an image of a Wikipedia page with its captions and the text beside it, one document a row.

Source: WIT (arXiv 2103.01913; wikimedia/wit_base on the Hub, and the columns of its TSV, as Parquet): image_url,
page_url, page_title, caption_*, context_*. A row has no licence of the image; `caption_attribution_description` names
who made it and is kept beside `--licence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcr_dataset.collect.document import Document, ImageAt, document_id
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed

OPTIONAL = ("language", "section_title", "caption_*", "context_*", "mime_type")
_LANGUAGE = "en"
_ATTRIBUTION = "caption_attribution_description"
_AUTHOR_CHARACTERS_MAX = 200


def to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """Convert one row; `place` is its position, for messages."""
    url, page, title = (_text(row, name) for name in ("image_url", "page_url", "page_title"))
    row_id = document_id(page, url)
    if not url:
        return Removed(row_id, "no_image", f"{place}: image_url is empty")
    captions = [_text(row, f"caption_{name}_description") for name in ("reference", "alt_text")]
    caption = next(filter(None, captions), "") or _text(row, _ATTRIBUTION)
    about = [_text(row, f"context_{name}_description") for name in ("section", "page")]
    author = _text(row, _ATTRIBUTION)[:_AUTHOR_CHARACTERS_MAX]
    shown = "; ".join(filter(None, (licence, author))) or None
    texts = [f"{title}: {caption}".strip(": "), next(filter(None, about), "")]
    return Document(row_id, (ImageAt(url=url), *(text for text in texts if text)), Source(page or None, shown))


def base_to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """Convert one row of wikimedia/wit_base, whose `wit_features` has an entry for each language: the English one."""
    features = row.get("wit_features")
    if isinstance(features, Mapping):  # a structure of lists, as `datasets` writes it
        names, lists = list(features), [value or [] for value in features.values()]
        entries: list[Any] = [dict(zip(names, one, strict=True)) for one in zip(*lists, strict=True)]
    else:
        entries = list(features or [])
    english = next((entry for entry in entries if entry.get("language") == _LANGUAGE), None)
    if english is None:
        found = ", ".join(str(entry.get("language")) for entry in entries[:5])
        return Removed(document_id(str(row.get("image_url"))), "not_english", f"{place}: captions in {found or 'none'}")
    return to_document({**row, **english}, place, licence)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return " ".join(value.split()) if isinstance(value, str) else ""
