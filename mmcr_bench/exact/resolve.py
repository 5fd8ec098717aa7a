"""The second solver: answers a dialogue from the words of its questions and its scenes alone, as a person would.

It shares no code with the generator, knows no program and no operator, and has its own words (resolve_words.py). What
it makes of a reference is written in the table of meanings in wording.py. Where a question has no single meaning it
raises `Unresolved` instead of a guess, so that a generator that asks it is caught.

The readings are tried in the order of `READINGS`; the first that knows the words answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mmcr_bench.exact.resolve_memory import Cells, Memory, Said, Unresolved
from mmcr_bench.exact.resolve_words import LANGUAGES, ORDINALS, Thing, Words

ASKS_FOR_SHORT_ANSWERS = "Answer each question with a word or a number.\n"  # in front of the first question


def solve_in_words(domain: str, side: int, scenes: Sequence[Cells], questions: Sequence[str]) -> list[str]:
    """The answers to a dialogue, in words.

    Args:
        domain: shapes, sheets, numerals or charts.
        side: side of the grid; of charts the number of bars.
        scenes: by image, cell and attribute: numbers of values, negative where a cell is empty.
        questions: the person's words, turn by turn, without images and their marks.

    Raises:
        Unresolved: a question has no single meaning; the message names its turn.
    """
    memory = Memory(LANGUAGES[domain], side, scenes)
    for turn, question in enumerate(questions, start=1):
        try:
            memory.remember(_answer(memory, question.removeprefix(ASKS_FOR_SHORT_ANSWERS)))
        except Unresolved as error:
            raise Unresolved(f"turn {turn}, {question!r}: {error}") from error
    return [said.words for said in memory.said]


def _answer(memory: Memory, question: str) -> Said:
    words = Words(question, memory.language, memory.side)
    for reading in READINGS:
        found = reading(memory, words)
        if found is not None:
            return found
    memory.fail("no reading of these words")


def _read_earlier_answer(memory: Memory, words: Words) -> Said | None:
    """`your third answer`, `the second colour that you answered`."""
    if words.nth_answer is not None:
        if words.nth_answer >= len(memory.said):
            memory.fail("there is no such answer yet")
        return memory.said[words.nth_answer]
    if not words.has("you answered", "your answers"):
        return None
    (attribute,) = words.attributes
    nth = next(number for number, ordinal in enumerate(ORDINALS) if words.has(rf"{ordinal}\b"))
    values = [said for said in memory.said if said.sort == attribute]
    if len(values) <= nth or len(set(values[: nth + 1])) <= nth:
        memory.fail("there is no such value yet, or it was answered twice")
    return values[nth]


def _read_numbers(memory: Memory, words: Words) -> Said | None:
    """`the sum of these numbers`, `take two numbers`: each number is described by itself."""
    if not words.terms:
        return None
    numbers = [memory.count(image, kind, rule) for kind, image, rule in words.terms]
    if words.has("take two numbers"):
        first, second = numbers
        return Said("yesno", "yes" if first > second else "no")
    return memory.give_sum(sum(numbers)) if words.has("sum of these numbers") else None


def _read_total(memory: Memory, words: Words) -> Said | None:
    """`the last number you gave` and the number of things in an image."""
    if not words.has("last number you gave"):
        return None
    (kind,), (image,) = words.kinds, words.images
    if memory.number is None:
        memory.fail("the last number is unclear")
    return memory.give_sum(memory.number + memory.count(image, kind, memory.rule))


def _read_most(memory: Memory, words: Words) -> Said | None:
    """Which of three images has the most of them."""
    if not (words.has("most", "largest") and len(words.images) > 2):
        return None
    kind = words.kinds[0] if words.kinds else memory.last_counted(straight_after=False)
    rule = words.rule if words.is_rule_for_now else memory.rule
    counts = {image: memory.count(image, kind, rule) for image in words.images}
    best = [image for image, number in counts.items() if number == max(counts.values())]
    if len(best) > 1:
        memory.fail("several images have the most")
    return Said("image", f"Image_{best[0] + 1}")


def _read_counted_again(memory: Memory, words: Words) -> Said | None:
    """`them`, `what you last counted`, and `and in Image_2?` straight after a counting question."""
    is_far = words.has("what you last counted")
    is_count_of_them = words.has(
        r"and in image_\d",
        "how many of them",
        "and how many in",
        r"what about image_\d",
        "the same count",
        "now count them",
    )
    is_more = words.has("more of", "more in", r"number of them in image_\d larger")
    if not (is_far or is_count_of_them or is_more) or words.kinds or words.places or words.attributes:
        return None
    (image,) = words.images
    kind = memory.last_counted(straight_after=not is_far)
    if is_more:
        return Said("yesno", "yes" if memory.count(image, kind, memory.rule) > memory.counted_number else "no")
    return memory.give_count(image, kind, memory.rule)


def _read_count(memory: Memory, words: Words) -> Said | None:
    """How many, or whether at least so many, things of a kind that is named or referred to are in an image."""
    least, is_counting = words.least, words.has("how many", "count", "number of")
    if least is None and not is_counting:
        return None
    kind = memory.referred_kind(words) or (words.kinds[0] if words.kinds else None)
    if kind is None or len(words.kinds) > 1:
        return None
    (image,) = words.images
    if least is not None:
        if memory.rule is not None and least > 1:
            memory.fail("at least two is unclear under a rule for counting")
        return Said("yesno", "yes" if memory.count(image, kind, None) >= least else "no")
    if words.rule is not None and not words.is_rule_for_now:
        if memory.rule is not None:
            memory.fail("two rules for counting")
        memory.rule = words.rule
    return memory.give_count(image, kind, words.rule or memory.rule)


def _read_place(memory: Memory, words: Words) -> Said | None:
    """Where the only such thing is."""
    if not words.kinds or not words.has("where", "place", "position"):
        return None
    (kind,), (image,) = words.kinds, words.images
    thing = memory.only(image, kind)
    if thing is None:
        return memory.refuse(image)
    memory.mention(thing)
    return Said("cell", memory.language.places[memory.side][thing.cell])


def _read_name(memory: Memory, words: Words) -> Said | None:
    """A thing gets a name, keeps it, loses it, or is asked for by it."""
    if not words.names:
        return None
    name = words.names[0]
    is_new = bool(words.places and words.images)
    if is_new:
        memory.names[name] = words.place_in(words.images[0])
    if words.low.startswith("nothing is called"):
        memory.names[name] = None
    if name not in memory.names:
        memory.fail(f"nobody said who {name} is")
    thing = memory.names[name]
    if thing is None:
        return memory.refuse(None)
    if words.has(
        "in which image", "which image", "which of the images", "the image that", "the image with", "the image in"
    ):
        memory.mention(thing)
        return Said("image", f"Image_{thing.image + 1}")
    if words.places and not is_new:
        if not words.has(f"{name.lower()}'s image"):
            memory.fail("a new place for a name, of an image that isn't named")
        thing = memory.names[name] = words.place_in(thing.image)
    (attribute,) = words.attributes
    if words.has(
        "forget", "forgotten", "drop", "nothing is called", "stands for nothing", "take the name", "nothing has"
    ):
        memory.names[name] = None
    return memory.speak(thing, attribute)


def _read_correction(memory: Memory, words: Words) -> Said | None:
    """`Sorry, I meant Image_2`: the question before, about the same place there."""
    if not words.has("i meant", "my mistake", "i should have said", "correction", "i wanted to say"):
        return None
    asked, (image,) = memory.asked, words.images
    if asked is None or not asked.names_place or asked.turn != len(memory.said) - 1:
        memory.fail("the question before named no place")
    said = memory.speak(Thing(image, asked.thing.cell), asked.attribute, names_place=True)
    memory.things = [None, memory.things[-1]]
    memory.in_image[asked.thing.image] = None
    return said


def _read_ellipsis(memory: Memory, words: Words) -> Said | None:
    """`And the one at the top left?`, `my last question about a single object, but for the one at ...`."""
    if len(words.places) != 1 or words.images or words.names:
        return None
    asked = memory.asked
    if asked is None:
        memory.fail("the last question about a single thing asked for no attribute")
    if not words.has("my last question", "what i last asked") and asked.turn != len(memory.said) - 1:
        memory.fail("the question before asked for no attribute")
    return memory.speak(words.place_in(asked.thing.image), asked.attribute, names_place=True)


def _read_reference(memory: Memory, words: Words) -> Said | None:
    """`its colour`, `the object we last spoke of`, also of an image, `the object before that one`."""
    if words.places or words.kinds or len(words.attributes) != 1:
        return None
    thing: Thing | None = None
    if words.has("before this one", "before that one"):
        thing = memory.things[-2] if len(memory.things) > 1 else None
    elif words.has("last spoke of", "came up last"):
        thing = memory.in_image.get(words.images[0]) if words.images else (memory.things or [None])[-1]
    elif words.has("its", "it have", rf"that {memory.language.noun} have") and not words.refers_to_value:
        thing = (memory.things or [None])[-1]
    else:
        return None
    return memory.fail("what it is, is unclear") if thing is None else memory.speak(thing, words.attributes[0])


def _read_thing(memory: Memory, words: Words) -> Said | None:
    """An attribute of the thing at a place of an image, or of the only such thing there."""
    if len(words.images) != 1 or len(words.attributes) != 1:
        return None
    image, attribute = words.images[0], words.attributes[0]
    if words.places:
        return memory.speak(words.place_in(image), attribute, names_place=True)
    kind = memory.referred_kind(words) or (words.kinds[0] if words.kinds else None)
    if kind is None:
        return None
    thing = memory.only(image, kind)
    return memory.refuse(image) if thing is None else memory.speak(thing, attribute)


READINGS: tuple[Callable[[Memory, Words], Said | None], ...] = (
    _read_earlier_answer,
    _read_numbers,
    _read_total,
    _read_most,
    _read_counted_again,
    _read_count,
    _read_place,
    _read_name,
    _read_correction,
    _read_ellipsis,
    _read_reference,
    _read_thing,
)
