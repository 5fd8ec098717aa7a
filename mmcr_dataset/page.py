"""A self-contained HTML page: sections, tables, charts as SVG. Every text is escaped; no script, nothing fetched."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from mmcr_dataset.record.dialogue import Dialogue, Turn
from mmcr_dataset.record.images import ImageError, decode_rgb, shrink

_WIDTH, _HEIGHT = 640, 220  # of a chart, in its own units; it scales with the page
_IMAGE_PX = 480


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page: a heading and its body, which is HTML that the functions of this module made."""

    title: str
    body: str


def escape(text: object) -> str:
    """Any value as text that is shown literally."""
    return html.escape(str(text), quote=True)


def show_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page; links to the sections on top."""
    style = resources.files("mmcr_dataset").joinpath("page.css").read_text("utf-8")
    links = " ".join(f'<a href="#s{n}">{escape(section.title)}</a>' for n, section in enumerate(sections))
    bodies = "\n".join(
        f'<section id="s{n}"><h2>{escape(section.title)}</h2>\n{section.body}</section>'
        for n, section in enumerate(sections)
    )
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>\n{style}</style></head>\n'
        f"<body><header><h1>{escape(title)}</h1><p>{escape(lead)}</p><nav>{links}</nav></header>\n"
        f"<main>\n{bodies}\n</main></body></html>\n"
    )


def show_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A table; cells that are numbers stand to the right."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td class="number">{escape(f"{cell:,}")}</td>'
            if isinstance(cell, int | float)
            else f"<td>{escape(cell)}</td>"
            for cell in row
        )
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def show_text(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def show_bars(bars: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars, one a line: label, length (0 or more), note behind it."""
    most = max((length for _, length, _ in bars), default=0) or 1
    lines = [
        f'<div class="bar"><span>{escape(label)}</span><i style="width:{100 * length / most:.2f}%"></i>'
        f"<em>{escape(note)}</em></div>"
        for label, length, note in bars
    ]
    return f'<div class="bars">{"".join(lines)}</div>'


def show_histogram(
    edges: Sequence[float], counts: Sequence[int], unit: str, decimals: int = 0, mark: float | None = None
) -> str:
    """A histogram as SVG.

    Args:
        edges: of the bins, one value more than `counts`.
        counts: one a bin.
        unit: of the edges.
        decimals: digits shown of the edges.
        mark: a value at which a line stands.
    """
    most = max(counts, default=0) or 1
    step = _WIDTH / max(1, len(counts))
    shapes = []
    for index, count in enumerate(counts):
        left, width, height = index * step + 1, step - 2, count / most * (_HEIGHT - 50)
        title = f"{edges[index]:.{decimals}f} to {edges[index + 1]:.{decimals}f} {unit}: {count}"
        shapes.append(
            f'<rect x="{left:.1f}" y="{_HEIGHT - 30 - height:.1f}" width="{width:.1f}" height="{height:.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )
    if mark is not None and edges[0] <= mark <= edges[-1]:
        x = (mark - edges[0]) / ((edges[-1] - edges[0]) or 1) * _WIDTH
        shapes.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HEIGHT - 30}"/>')
    ends = (
        f'<text x="0" y="{_HEIGHT - 8}">{edges[0]:.{decimals}f}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 8}" text-anchor="end">{edges[-1]:.{decimals}f} {escape(unit)}</text>'
        f'<text x="0" y="20">{most} at most</text>'
    )
    return _svg(f"histogram of {unit}", "".join(shapes) + ends)


def show_line(points: Sequence[tuple[float, float]], x_name: str, y_name: str) -> str:
    """A line chart as SVG, from zero upwards on the y axis."""
    if not points:
        return show_text(f"No {y_name} recorded.")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    span, top = (max(xs) - min(xs)) or 1, max(ys) or 1
    path = " ".join(
        f"{(x - min(xs)) / span * (_WIDTH - 10) + 5:.1f},{_HEIGHT - 30 - y / top * (_HEIGHT - 60):.1f}"
        for x, y in points
    )
    labels = (
        f'<text x="5" y="20">{escape(y_name)}: {ys[0]:.3f} at first, {ys[-1]:.3f} at last</text>'
        f'<text x="5" y="{_HEIGHT - 8}">{xs[0]:g}</text>'
        f'<text x="{_WIDTH - 5}" y="{_HEIGHT - 8}" text-anchor="end">{escape(x_name)} {xs[-1]:g}</text>'
        f'<line x1="5" x2="{_WIDTH - 5}" y1="{_HEIGHT - 30}" y2="{_HEIGHT - 30}"/>'
    )
    return _svg(f"{y_name} by {x_name}", f'{labels}<polyline points="{path}"/>')


def _svg(name: str, body: str) -> str:
    return f'<svg role="img" aria-label="{escape(name)}" viewBox="0 0 {_WIDTH} {_HEIGHT}">{body}</svg>'


def show_dialogue(dialogue: Dialogue, replies: Sequence[Sequence[tuple[str, str]]] = ()) -> str:
    """A dialogue with its images where they are introduced.

    Args:
        dialogue: what to show.
        replies: for each turn what others answered, as (name, reply); shown below the reference.
    """
    turns = []
    for index, turn in enumerate(dialogue.turns):
        images = "".join(_show_image(dialogue, number) for number in turn.introduces)
        others = replies[index] if index < len(replies) else ()
        turns.append(_show_turn(turn, images, others))
    licence = dialogue.source.licence
    foot = f"<footer>{escape(licence)}</footer>" if licence else ""
    return f'<article class="dialogue">{"".join(turns)}{foot}</article>'


def show_images(images: Sequence[tuple[str, bytes]]) -> str:
    """Images side by side, each as (caption, bytes); one that doesn't decode is said to be so."""
    return f'<div class="images">{"".join(_show_figure(caption, data) for caption, data in images)}</div>'


def _show_turn(turn: Turn, images: str, others: Sequence[tuple[str, str]]) -> str:
    shown = f'<div class="images">{images}</div>' if images else ""
    answers = "".join(
        f'<div class="said reply"><b>{escape(name)}</b><p>{escape(reply)}</p></div>' for name, reply in others
    )
    name = "reference" if others else "assistant"
    return (
        f'<div class="said human">{shown}<p>{escape(turn.human_text)}</p></div>'
        f'<div class="said assistant"><b>{name}</b><p>{escape(turn.assistant)}</p></div>{answers}'
    )


def _show_image(dialogue: Dialogue, number: int) -> str:
    return _show_figure(f"Image_{number}", dialogue.images[number - 1].data)


def _show_figure(caption: str, data: bytes) -> str:
    try:
        image = shrink(decode_rgb(data), _IMAGE_PX)
    except ImageError as error:
        return f"<figure><p>{escape(error)}</p><figcaption>{escape(caption)}</figcaption></figure>"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    url = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
    return (
        f'<figure><img src="{url}" alt="{escape(caption)}" loading="lazy">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
