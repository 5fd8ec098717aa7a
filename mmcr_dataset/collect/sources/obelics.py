"""OBELICS rows: the two lists of OmniCorpus; both metadata columns are JSON in a string.

Source: HuggingFaceM4/OBELICS (arXiv 2306.16527): images, texts, metadata, general_metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmcr_dataset.collect.document import Document, document_id
from mmcr_dataset.collect.sources.omnicorpus import to_interleaved
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed


def to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """One row as a document, or why it is none; `place` names the row in messages.

    Where `general_metadata` has no address of the page, the first image's `document_url` is it.
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
