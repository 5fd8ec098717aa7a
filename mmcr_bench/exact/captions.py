"""Caption rows: what an image shows, thing by thing, as first lessons of a small model."""

from __future__ import annotations

import numpy as np

from mmcr_bench.exact.plan import Frame
from mmcr_bench.exact.scene import draw_scene
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.tell_items import licence_of, paint_images
from mmcr_dataset.record.dialogue import Dialogue, Generation, Source, Turn, introduce


def caption_row(rng: np.random.Generator, frame: Frame, seed: tuple[int, ...], style: str, telling: str) -> Dialogue:
    """A dialogue of one turn that describes an image.

    Args:
        rng: random numbers.
        frame: domain, side and split.
        seed: numbers that seed the painting; they make the id.
        style: plain or rich.
        telling: `captions` lists the things in reading order; `places` names each place, in random order.
    """
    scene = draw_scene(rng, frame.domain, frame.side, frame.held_out)
    values = [attribute.values for attribute in frame.domain.attributes]
    things = {
        name: f"{values[0][cell[0]]} {values[1][cell[1]]}"
        for name, cell in zip(frame.domain.cells[frame.side], scene, strict=True)
        if cell[0] >= 0
    }
    if telling == "captions":
        question, answer = "What does Image_1 show?", ", ".join(things.values())
    else:
        names = [list(things)[place] for place in rng.permutation(len(things))]
        question = "What does Image_1 show at each place?"
        answer = ", ".join(f"{name}: {things[name]}" for name in names)
    script = Script(frame.domain, frame.side, scene[None], (0,))
    return Dialogue(
        id=f"world-{'-'.join(map(str, seed))}-{telling}",
        turns=(Turn(introduce([1], question), answer),),
        images=paint_images(script, seed, style),
        domain=frame.domain.name,
        topic=telling,
        source=Source(licence=licence_of(frame.domain.name)),
        generation=Generation(writer="world"),
    )
