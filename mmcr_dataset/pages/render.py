"""Self-contained HTML pages from Jinja templates: values escaped, images embedded, no scripts, no external requests."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmcr_dataset.record.images import ImageError, decode_rgb, shrink

PAGES = Path(__file__).parent  # frame.html and page.css of every page, the macros of parts.html
_IMAGE_PX = 480  # longer side of an embedded image


def render_page(template: Path, **values: object) -> str:
    """Render a template to a page.

    Args:
        template: a file that extends `frame.html` and imports its macros from `parts.html`.
        **values: variables of the template.
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
    """`url`: a downscaled JPEG of an image file as a data URL; or `error`: why it can't be decoded."""
    try:
        image = shrink(decode_rgb(data), _IMAGE_PX)
    except ImageError as error:
        return {"error": str(error)}
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return {"url": f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"}
