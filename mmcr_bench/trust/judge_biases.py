"""A battery for nine biases of multimodal judges: does a judge look at question, image and reply together?

The biases and both measures are those of MM-JudgeBias (arXiv 2604.18164, sections 3 and 4), on the dialogues of the
bench: the reference is the reply that is judged, and is withheld as a reference. Then question or images are taken
away or exchanged, which must lower the score, or changed in a way that means nothing, which must not.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, pstdev

from PIL import Image, ImageDraw, ImageEnhance

from mmcr_bench.judge.detection import Mean, mean_of
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.judge.rubric import SCORE_MAX, SCORE_MIN
from mmcr_bench.trust.fitness import show_unread
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb

_WITHHELD = "(no reference is given: judge by the question and the images)"
_NO_QUESTION = "(no question)"
_MIN_SPREAD = 0.5  # of the scores of different dialogues, below which a judge says the same of everything

Change = Callable[[Dialogue, Dialogue], Dialogue | None]  # of a dialogue, with the help of another one


@dataclass(frozen=True, slots=True)
class JudgeBias:
    """One bias.

    Attributes:
        name: its name in the paper.
        what: what is done to the dialogue.
        change: does it; None where the dialogue does not allow it.
        lowers: the score must fall (bias deviation), else it must stay (bias conformity).
        needs_images: only for a judge that sees the images.
    """

    name: str
    what: str
    change: Change
    lowers: bool
    needs_images: bool


@dataclass(frozen=True, slots=True)
class BiasResult:
    """A judge and one bias.

    Attributes:
        bias: the bias.
        value: deviation or conformity, 0..1, the higher the better; None where nothing was read.
        change: mean change of the overall score, in points of 10.
        num_read: dialogues with both verdicts.
        num_asked: dialogues asked.
    """

    bias: JudgeBias
    value: Mean | None
    change: float | None
    num_read: int
    num_asked: int


@dataclass(frozen=True, slots=True)
class BiasReport:
    """The whole battery.

    Attributes:
        judge: name of the judge.
        results: one a bias that applies.
        skipped: biases that do not apply, with the reason.
        spread: standard deviation of the scores of the unchanged dialogues: a judge that always says the same has 0.
        unread: verdicts that could not be read, in words.
    """

    judge: str
    results: tuple[BiasResult, ...]
    skipped: Mapping[str, str]
    spread: float
    unread: str

    def show(self) -> str:
        """The table, with what was left out."""
        rows = []
        for one in self.results:
            value, change = "unread", "-"
            if one.value is not None and one.change is not None:
                ends = one.value.interval(0.0, 1.0)
                value, change = f"{one.value.value:.2f} [{ends.low:.2f}, {ends.high:.2f}]", f"{one.change:+.2f}"
            wanted = "falls (BD)" if one.bias.lowers else "stays (BC)"
            rows.append([one.bias.name, one.bias.what, wanted, value, change, f"{one.num_read} of {one.num_asked}"])
        lines = [f"judge {self.judge}: 1 is a judge without the bias", ""]
        lines.append(to_table(["bias", "what was done", "the score", "measured", "points", "read"], rows))
        lines += [f"\n{name}: not asked, {why}" for name, why in self.skipped.items()]
        if self.spread < _MIN_SPREAD:
            lines.append(
                f"\nthe scores of different dialogues hardly differ (SD {self.spread:.2f} of 10): a judge that says "
                "the same of everything `stays` everywhere"
            )
        return "\n".join([*lines, f"\nunread verdicts, left out: {self.unread}"])


def measure_biases(judge: Judge, dialogues: Sequence[Dialogue]) -> BiasReport:
    """Judge the dialogues as they are, and changed in every way that applies.

    Raises:
        ValueError: the judge is the offline one, there are fewer than two dialogues, or nothing could be read.
    """
    if judge.is_offline:
        raise ValueError("the offline judge compares words with references; name a judge at an endpoint")
    asked, skipped = make_biased(judge, dialogues)
    judgements = judge.score([one for _, _, one in asked], [dialogues[number].references for _, number, _ in asked])
    overall: dict[str, dict[int, float]] = {}
    num_asked: dict[str, int] = {}
    unread: dict[str, int] = {}
    for (name, number, _), judgement in zip(asked, judgements, strict=True):
        num_asked[name] = num_asked.get(name, 0) + 1
        if judgement.scores is None:
            reason = judgement.reason or "no_verdict"
            unread[reason] = unread.get(reason, 0) + 1
        else:
            overall.setdefault(name, {})[number] = judgement.scores["overall"]
    base = overall.get("", {})
    if not base:
        raise ValueError(f"{judge.name}: no verdict on the unchanged dialogues is readable ({show_unread(unread)})")
    results = tuple(
        _result(bias, base, overall.get(bias.name, {}), num_asked[bias.name])
        for bias in BIASES
        if bias.name in num_asked
    )
    return BiasReport(judge.name, results, skipped, pstdev(base.values()), show_unread(unread))


def make_biased(judge: Judge, dialogues: Sequence[Dialogue]) -> tuple[list[tuple[str, int, Dialogue]], dict[str, str]]:
    """What is judged: (bias, number of the dialogue, changed dialogue); the bias of unchanged ones is "".

    Returns:
        the dialogues, and why biases are left out, by name.

    Raises:
        ValueError: fewer than two dialogues.
    """
    if len(dialogues) < 2:
        raise ValueError(f"{len(dialogues)} dialogues: at least two are needed, whose questions and images are swapped")
    asked = [("", number, _withheld(dialogue)) for number, dialogue in enumerate(dialogues)]
    skipped: dict[str, str] = {}
    settings = judge.describe()
    members = settings.get("panel")
    sees = all(one.get("images") for one in members) if isinstance(members, list) else bool(settings.get("images"))
    for bias in BIASES:
        if bias.needs_images and not sees:
            skipped[bias.name] = "the judge sees no images (?images=yes)"
            continue
        made = list(_changed(bias, dialogues))
        asked += made
        if not made:
            skipped[bias.name] = "no dialogue allows it"
    return asked, skipped


def _changed(bias: JudgeBias, dialogues: Sequence[Dialogue]) -> Iterator[tuple[str, int, Dialogue]]:
    for number, dialogue in enumerate(dialogues):
        others = [dialogues[(number + step) % len(dialogues)] for step in range(1, len(dialogues))]
        changed = next((one for other in others if (one := bias.change(dialogue, other)) is not None), None)
        if changed is not None:
            yield bias.name, number, _withheld(changed)


def _result(bias: JudgeBias, base: Mapping[int, float], changed: Mapping[int, float], num_asked: int) -> BiasResult:
    pairs = [(base[number], changed[number]) for number in sorted(base.keys() & changed.keys())]
    measure = _deviation if bias.lowers else _conformity
    values = [value for before, after in pairs if (value := measure(before, after)) is not None]
    change = fmean(after - before for before, after in pairs) if pairs else None
    return BiasResult(bias, mean_of(values) if values else None, change, len(pairs), num_asked)


def _deviation(before: float, after: float) -> float | None:
    """How much of what a score could fall it fell; None for the lowest score, which can't."""
    return None if before <= SCORE_MIN else max(0.0, before - after) / (before - SCORE_MIN)


def _conformity(before: float, after: float) -> float:
    """1 less the change, as a share of the largest that was possible."""
    return 1 - abs(before - after) / max(before - SCORE_MIN, SCORE_MAX - before)


def _withheld(dialogue: Dialogue) -> Dialogue:
    return replace(dialogue, turns=tuple(replace(turn, assistant=_WITHHELD) for turn in dialogue.turns))


def _with_questions(dialogue: Dialogue, texts: Sequence[str]) -> Dialogue:
    """Other questions; the images stay where they are shown."""
    turns = [
        replace(turn, human=introduce(turn.introduces, text)) for turn, text in zip(dialogue.turns, texts, strict=True)
    ]
    return replace(dialogue, turns=tuple(turns))


def _with_images(dialogue: Dialogue, paint: Callable[[Image.Image], Image.Image]) -> Dialogue:
    return replace(dialogue, images=tuple(_repainted(image, paint) for image in dialogue.images))


def _repainted(image: DialogueImage, paint: Callable[[Image.Image], Image.Image]) -> DialogueImage:
    buffer = io.BytesIO()
    paint(decode_rgb(image.data)).save(buffer, "PNG")
    return DialogueImage(buffer.getvalue())


def _no_images(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    return _with_images(dialogue, lambda image: Image.new("RGB", image.size))


def _no_questions(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    return _with_questions(dialogue, [_NO_QUESTION] * len(dialogue.turns))


def _only_replies(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    return _no_questions(_no_images(dialogue, other), other)


def _other_questions(dialogue: Dialogue, other: Dialogue) -> Dialogue | None:
    texts = [turn.human_text for turn in other.turns]
    if len(texts) != len(dialogue.turns) or texts == [turn.human_text for turn in dialogue.turns]:
        return None
    return _with_questions(dialogue, texts)


def _other_images(dialogue: Dialogue, other: Dialogue) -> Dialogue | None:
    own = {image.sha256 for image in dialogue.images}
    if len(other.images) != len(dialogue.images) or own & {image.sha256 for image in other.images}:
        return None
    return replace(dialogue, images=other.images)


def _described(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    """The first question with a description of what is seen: the dialogue's own first answer."""
    first, *rest = dialogue.turns
    text = f"{first.human_text}\n(Description of the image: {first.assistant})"
    return _with_questions(dialogue, [text, *(turn.human_text for turn in rest)])


def _one_image_more(dialogue: Dialogue, other: Dialogue) -> Dialogue | None:
    """An image of another dialogue, shown at the last turn, which nobody speaks of."""
    if not other.images or other.images[0].sha256 in {image.sha256 for image in dialogue.images}:
        return None
    *rest, last = dialogue.turns
    number = len(dialogue.images) + 1
    human: tuple[Block, ...] = introduce((*last.introduces, number), last.human_text)
    return replace(dialogue, turns=(*rest, Turn(human, last.assistant)), images=(*dialogue.images, other.images[0]))


def _slightly_changed(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    """A little brighter, and nine tenths of the size: nothing that an answer could depend on."""

    def paint(image: Image.Image) -> Image.Image:
        width, height = (max(1, round(0.9 * side)) for side in image.size)
        return ImageEnhance.Brightness(image).enhance(1.1).resize((width, height))

    return _with_images(dialogue, paint)


def _with_words_in_images(dialogue: Dialogue, other: Dialogue) -> Dialogue:
    """The longest words of the question that an image comes with, written into its corner."""
    words = {number: turn.human_text for turn in dialogue.turns for number in turn.introduces}
    images = []
    for number, image in enumerate(dialogue.images, start=1):
        longest = sorted(set(words[number].split()), key=lambda word: (-len(word), word))[:3]
        images.append(_repainted(image, partial(_written, text=" ".join(longest))))
    return replace(dialogue, images=tuple(images))


def _written(image: Image.Image, text: str) -> Image.Image:
    size = max(8, min(image.size) // 16)
    shown = text.encode("ascii", "replace").decode()  # Pillow's own font
    ImageDraw.Draw(image).text((2, 2), shown, fill="white", stroke_width=1, stroke_fill="black", font_size=size)
    return image


BIASES = (
    JudgeBias("text dominance", "images black", _no_images, True, True),
    JudgeBias("image dominance", "no questions", _no_questions, True, False),
    JudgeBias("response dominance", "images black, no questions", _only_replies, True, True),
    JudgeBias("instruction misalignment", "questions of another dialogue", _other_questions, True, False),
    JudgeBias("image misalignment", "images of another dialogue", _other_images, True, True),
    JudgeBias("detail description", "a description in the first question", _described, False, False),
    JudgeBias("unnecessary image", "one more image, not spoken of", _one_image_more, False, True),
    JudgeBias("visual transformation", "brighter and smaller", _slightly_changed, False, True),
    JudgeBias("texture insertion", "words of the question in the image", _with_words_in_images, False, True),
)
