"""Plot of the topic distribution (paper Figure 3): an inner ring of domains, an outer ring of topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmcr_bench.select.topics import DOMAINS, Topic
from mmcr_dataset.record.plain_text import figure_text

SHARE_NAMED = 0.04  # smaller wedges have no room for the name of their domain
_POINTS_A_TURN = 900  # total font size of the labels around the ring: smaller on thin wedges, so that none overlap


def draw_topics(topics: Sequence[Topic], num_dialogues: Mapping[str, int], out: Path) -> None:
    """Write the plot: domains inside, topics outside, wedges proportional to the number of dialogues.

    Args:
        topics: the topics; those without a dialogue are omitted.
        num_dialogues: number of dialogues by synset.
        out: .png, .svg or .pdf file.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(
        (topic for topic in topics if num_dialogues.get(topic.synset)), key=lambda topic: DOMAINS.index(topic.domain)
    )
    domains = [name for name in DOMAINS if any(topic.domain == name for topic in shown)]
    colours = {name: mpl.colormaps["tab10"](place)[:3] for place, name in enumerate(DOMAINS)}
    figure = Figure(figsize=(8, 8))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    sizes = [sum(num_dialogues[topic.synset] for topic in shown if topic.domain == name) for name in domains]
    ring = {"linewidth": 1, "edgecolor": "white", "width": 0.35}
    inside = {"fontsize": 8, "ha": "center", "va": "center", "color": "white", "fontweight": "bold"}
    names = [name if size > SHARE_NAMED * sum(sizes) else "" for name, size in zip(domains, sizes, strict=True)]
    axes.pie(sizes, labels=names, radius=0.65, labeldistance=0.72, startangle=90,
             colors=[colours[name] for name in domains], wedgeprops=ring, textprops=inside)  # fmt: skip
    labels = [f"{figure_text(topic.label)} ({num_dialogues[topic.synset]})" for topic in shown]
    outside = [(*colours[topic.domain], 0.55) for topic in shown]
    counts = [num_dialogues[topic.synset] for topic in shown]
    _, texts = axes.pie(counts, labels=labels, radius=1.0, labeldistance=1.03, startangle=90, colors=outside,
                        rotatelabels=True, wedgeprops=ring)  # fmt: skip
    for text, count in zip(texts, counts, strict=True):
        text.set_fontsize(min(8.0, max(4.0, _POINTS_A_TURN * count / sum(counts))))
    figure.savefig(out, dpi=150, bbox_inches="tight")
