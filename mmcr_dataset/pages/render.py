"""HTML pages from Jinja templates. Every value is escaped, images are embedded, no script, nothing is fetched."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmcr_dataset.record.images import ImageError, decode_rgb, shrink

PAGES = Path(__file__).parent  # frame.html and page.css of every page, the macros of parts.html
_IMAGE_PX = 480  # longer side of an embedded image


def render_page(template: Path, **values: object) -> str:
    """The page of a template.

    Args:
        template: a file that extends `frame.html` and imports its macros from `parts.html`.
        values: what the template names.
    """
    templates = Environment(
        loader=FileSystemLoader([template.parent, PAGES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["embed"] = to_embedded
    style = (PAGES / "page.css").read_text("utf-8")
    return templates.get_template(template.name).render(values, titles=[], style=style)


def to_embedded(data: bytes) -> dict[str, str]:
    """An image's bytes as `url`, a small JPEG in a data URL; or `error`, why it can't be decoded."""
    try:
        image = shrink(decode_rgb(data), _IMAGE_PX)
    except ImageError as error:
        return {"error": str(error)}
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return {"url": f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"}
