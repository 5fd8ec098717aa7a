"""A drawn dialogue to items: its tellings, its pairs, its images."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from mmcr_bench.exact.exact_set import Asked, ExactItem
from mmcr_bench.exact.facts import facts_of
from mmcr_bench.exact.paint import paint
from mmcr_bench.exact.program import Program
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.tellings import ask_for_short_answers, images_needed, linked_text, resolved_program, resolved_text
from mmcr_bench.exact.wording import answer_text
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Generation, Source, Turn, introduce

LICENCE = "CC0-1.0"
Guesses = Mapping[str, float]


@dataclass(frozen=True)
class Telling:
    """A drawn dialogue with what its items share.

    Attributes:
        id: id of the linked dialogue.
        seed: numbers that seed it.
        style: plain or rich.
        script: the dialogue.
        images: the PNG file of each image.
        guesses: of each turn.
        images_show: see `ExactSettings`.
    """

    id: str
    seed: tuple[int, ...]
    style: str
    script: Script
    images: tuple[DialogueImage, ...]
    guesses: tuple[Guesses, ...]
    images_show: str = "scene"

    def with_script(self, script: Script, guesses: tuple[Guesses, ...]) -> Telling:
        """The other half of a pair: images are painted again where their scene differs."""
        are_same = [np.array_equal(old, new) for old, new in zip(self.script.scenes, script.scenes, strict=True)]
        images = [
            image if same or self.images_show != "scene" else paint_image(script, number, self.seed, self.style)
            for number, (image, same) in enumerate(zip(self.images, are_same, strict=True))
        ]
        return replace(self, script=script, images=tuple(images), guesses=guesses)

    def linked(self, role: str = "linked") -> ExactItem:
        """The dialogue as it is asked; `role` history or image for the other half of a pair."""
        turns = range(len(self.script.turns))
        texts = [linked_text(self.script, turn) for turn in turns]
        programs = [self.script.turns[turn].program for turn in turns]
        return self._item(role, texts, programs, list(turns), list(range(len(self.images))))

    def resolved(self) -> ExactItem:
        """The same dialogue with all references resolved."""
        turns = range(len(self.script.turns))
        texts = [resolved_text(self.script, turn) for turn in turns]
        programs = [resolved_program(self.script, self.script.turns[turn].program) for turn in turns]
        return self._item("resolved", texts, programs, list(turns), list(range(len(self.images))))

    def alone(self, turn: int) -> ExactItem:
        """One question by itself, references resolved, with the images that it needs, numbered anew."""
        needed = images_needed(self.script, turn)
        number = {old + 1: new + 1 for new, old in enumerate(needed)}
        text = resolved_text(self.script, turn)
        text = re.sub(r"Image_(\d+)", lambda found: f"Image_{number.get(int(found[1]), 1)}", text)
        return self._item("alone", [text], [("lit", self.script.answers[turn])], [turn], needed)

    def singles(self) -> Iterator[ExactItem]:
        """Every question by itself; questions whose answer stands in their own words left out."""
        for turn, asked in enumerate(self.script.turns):
            if asked.op not in ("which", "gone"):
                item = self.alone(turn)
                yield replace(item, dialogue=replace(item.dialogue, id=f"{item.dialogue.id}-{turn}"))

    def _item(
        self, role: str, texts: Sequence[str], programs: Sequence[Program], turns: Sequence[int], images: Sequence[int]
    ) -> ExactItem:
        script = self.script
        shown_at = tuple(0 if role == "alone" else script.shown_at[image] for image in images)
        asked = [self._asked(turn, program) for turn, program in zip(turns, programs, strict=True)]
        human = [
            introduce([number + 1 for number, at in enumerate(shown_at) if at == place], text)
            for place, text in enumerate(ask_for_short_answers(texts))
        ]
        references = [answer_text(script.domain, script.side, one.type, one.answer) for one in asked]
        dialogue = Dialogue(
            id=self.id if role == "linked" else f"{self.id}-{role}",
            turns=tuple(Turn(*exchange) for exchange in zip(human, references, strict=True)),
            images=tuple(self.images[image] for image in images),
            domain=script.domain.name,
            topic=asked[-1].op,
            source=Source(licence=licence_of(script.domain.name)),
            generation=Generation(writer="world"),
        )
        return ExactItem(
            dialogue=dialogue,
            group=self.id,
            role=role,
            domain=script.domain.name,
            style=self.style,
            side=script.side,
            scenes=script.scenes[list(images)],
            shown_at=shown_at,
            turns=tuple(asked),
            seed=self.seed,
        )

    def _asked(self, turn: int, program: Program) -> Asked:
        one = self.script.turns[turn]
        facts, guesses = facts_of(self.script, turn), self.guesses[turn]
        answer = self.script.answers[turn]
        return Asked(one.op, one.type, answer, program, one.slots, one.wording, one.far, facts, guesses)


def licence_of(domain: str) -> str:
    """The licence of a domain's rows: sheets show photographs with licences of their own."""
    if domain != "sheets":
        return LICENCE
    from mmcr_bench.exact.paint_photos import photo_licences

    return f"{LICENCE}; photographs: {photo_licences()}"


def paint_image(script: Script, image: int, seed: Sequence[int], style: str) -> DialogueImage:
    """The PNG file of an image; the same seed and scene give the same bytes."""
    rng = np.random.default_rng([*seed, 1, image])
    return DialogueImage(paint(script.scenes[image], script.domain.name, script.side, rng, style))


def paint_images(script: Script, seed: Sequence[int], style: str, show: str = "scene") -> tuple[DialogueImage, ...]:
    """The PNG files of all images of a dialogue.

    Args:
        script: the dialogue with the scenes to paint.
        seed: numbers that seed the dialogue.
        style: plain or rich.
        show: `grey` leaves nothing of the scenes, for probes.
    """
    images = tuple(paint_image(script, image, seed, style) for image in range(len(script.scenes)))
    return tuple(_to_grey(image) for image in images) if show == "grey" else images


def _to_grey(image: DialogueImage) -> DialogueImage:
    """An image of the same size and one colour."""
    with Image.open(io.BytesIO(image.data)) as opened:
        grey = Image.new("RGB", opened.size, (128, 128, 128))
    file = io.BytesIO()
    grey.save(file, "PNG")
    return DialogueImage(file.getvalue())
