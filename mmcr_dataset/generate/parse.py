"""Parse a reply text to a dialogue, or give the reason why it can't be parsed. Pure functions.

A reply has one block a turn, in the paper's format (Figure 7):

    < Human 1 >: <image 1> What is this?
    < Assistant 1 >: Image 1 shows a red bicycle.
    < Human 2 >: How does image 1 ...

`<image n>` in a human turn introduces image n; in the dialogue the image comes at the beginning of the turn behind the
mark `Image_n: `, and the text says `image n`.
"""

from __future__ import annotations

import re

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.record.dialogue import Dialogue, Generation, InvalidDialogue, Turn, dialogue_id, introduce
from mmcr_dataset.record.plain_text import clean_text

_SPEAKER = re.compile(
    r"^[ \t]*+(?:[*#]++[ \t]*+)?<[ \t]*(human|assistant)[ \t]*(\d+)[ \t]*>[ \t*]*:?[ \t*]*", re.I | re.M
)
_MARK = re.compile(r"<[ ]*image[ _]?(\d+)[ ]*>", re.I)
_REFUSAL = re.compile(
    r"^\W*(?:i['’]?m sorry|sorry,|i (?:can(?:no|['’])t|am unable|am not able)|as an ai\b|i apologi[sz]e)", re.I
)


class UnreadableReply(ValueError):
    """A reply can't be parsed to a dialogue; `.reason` is a short name for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_turns(reply: str) -> list[tuple[str, str]]:
    r"""The (human, assistant) texts of a reply, with their `<image n>` marks.

    Example: `"< Human 1 >: <image 1> Hi\\n< Assistant 1 >: Image 1 is red."` -> `[("<image 1> Hi", "Image 1 is red.")]`

    Raises:
        UnreadableReply: refusal, no_turns, not_alternating.
    """
    speakers = list(_SPEAKER.finditer(reply))
    if not speakers:
        if _REFUSAL.match(reply):
            raise UnreadableReply("refusal", reply[:200])
        raise UnreadableReply("no_turns", f"expected lines that begin with '< Human 1 >:', got {reply[:100]!r}")
    texts: list[str] = []
    for place, speaker in enumerate(speakers):
        expected = ("human", "assistant")[place % 2], place // 2 + 1
        found = speaker.group(1).lower(), int(speaker.group(2))
        if found != expected:
            raise UnreadableReply("not_alternating", f"block {place + 1} is {found}, expected {expected}")
        end = speakers[place + 1].start() if place + 1 < len(speakers) else len(reply)
        texts.append(reply[speaker.end() : end].strip())
    if len(texts) % 2:
        raise UnreadableReply("not_alternating", "the last question has no answer")
    return list(zip(texts[::2], texts[1::2], strict=True))


def to_dialogue(candidate: Candidate, reply: str, generation: Generation) -> Dialogue:
    """Parse the reply for a candidate.

    Args:
        candidate: input of the writer.
        reply: the raw reply text.
        generation: metadata of the reply.

    Raises:
        UnreadableReply: as `read_turns`; image_unknown, image_introduced_twice, images_out_of_order,
            image_not_introduced, assistant_introduces_image; or the name of a violated invariant of `Dialogue`.
    """
    count = len(candidate.images)
    turns: list[Turn] = []
    introduced: list[int] = []
    for number, (human, assistant) in enumerate(read_turns(reply), start=1):
        if _MARK.search(assistant):
            raise UnreadableReply("assistant_introduces_image", f"turn {number}: only the human may write <image n>")
        shown = [int(n) for n in _MARK.findall(human)]
        for image in shown:
            if not 1 <= image <= count:
                raise UnreadableReply("image_unknown", f"turn {number} shows image {image}, there are {count}")
            if image in introduced:
                raise UnreadableReply("image_introduced_twice", f"turn {number} shows image {image} again")
            introduced.append(image)
        if introduced != sorted(introduced) or introduced != list(range(1, len(introduced) + 1)):
            raise UnreadableReply("images_out_of_order", f"up to turn {number}: {introduced}")
        turns.append(Turn(introduce(shown, clean_text(_without_marks(human))), clean_text(assistant)))
    if len(introduced) != count:
        missing = sorted(set(range(1, count + 1)) - set(introduced))
        raise UnreadableReply("image_not_introduced", f"images {missing} are never shown")
    prompt, model = generation.prompt_sha256, generation.model or generation.writer
    hashes = [image.sha256 for image in candidate.images]
    try:
        return Dialogue(
            id=dialogue_id(candidate.id, hashes, prompt, model),
            turns=tuple(turns),
            images=candidate.images,
            source=candidate.source,
            generation=generation,
        )
    except InvalidDialogue as error:
        raise UnreadableReply(error.invariant, error.detail) from error


def _without_marks(human: str) -> str:
    """The human text with leading marks removed and marks inside a sentence replaced by `image n`."""
    leading = re.compile(r"^(?:[\s,;:]|and\b|<[ ]*image[ _]?\d+[ ]*>)*<[ ]*image[ _]?\d+[ ]*>[\s,;:]*", re.I)
    rest = leading.sub("", human)
    if rest[:1].islower() and rest != human:  # "<image 1> and <image 2> show": the marks were part of the sentence
        rest = human
    return _MARK.sub(r"image \1", rest)
