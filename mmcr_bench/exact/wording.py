"""The words of the controlled world: at least eight wordings for every operator, the last of each held out for testing.

What the words mean, for a careful reader who sees the images and the dialogue so far. Every reference has one meaning;
the generator asks a question only where this table decides it.

- "the object at the PLACE of Image_n", "the first bar": what stands in that cell of that image; never an empty cell.
- "the THING in Image_n" (the red object): the only such thing. Without any, the answer is the refusal. Never asked of
  several.
- A question about a single object: every question about an attribute or the place of one thing, and "in which image
  is NAME". Not those that count, compare, ask yes or no, or ask for an earlier answer.
- "it", "that object", "the object we last spoke of", "the object that came up last": the thing of the most recent
  question about a single object. A refused question makes it unclear: nothing is asked of it until another thing has
  come up.
- "the object we spoke of before that one", "before this one": of the things of the questions about a single object,
  in order and repeats in a row taken once, the last but one. Unclear after a refused question until two more have
  come up, and after "Sorry, I meant" until one more has.
- "the object of Image_n that we last spoke of": the most recent of those things that lies in Image_n. Unclear after a
  refused question about Image_n, and after "Sorry, I meant" took a question away from Image_n, until another there
  has come up.
- "And the one at the PLACE?" and its like, straight after a question about an attribute of a single object: same
  attribute, same image.
- "my last question about a single object, for the one at the PLACE of the image it was about": same attribute and
  image as there.
- "Sorry, I meant Image_n" and its like, straight after a question about an attribute that names a place, or after
  another such correction: same attribute, same place, in Image_n.
- NAME: the thing that was given the name last. Renaming moves the name ("NAME's image": where the thing lies that had
  the name). A forgotten name stands for nothing: the answer is the refusal.
- "that colour" (shape, subject, ...), straight after an answer that is one: that answer.
- "the last colour of an object that you named": the most recent answer that is a colour, whatever was asked, repeats
  of earlier answers included. Words of the person don't count.
- "them", straight after a counting question: the things counted in it.
- "what you last counted": the things of the most recent counting question ("how many"; the question that sets a rule
  is one). Comparisons and yes/no questions are none. After a sum it is unclear until the next counting question.
- "more of them": more than the number that was given when they were last counted.
- "the last number you gave": the most recent answer that is a number, repeats of earlier answers included. Unclear
  where a numeral's value or a bar's height was answered after it.
- "your third answer": the answer to the third turn of the dialogue, whatever was asked.
- "the second colour that you answered": the second of the answers that are a colour, in order. Those up to it all
  differ.
- "each THING counts as two" (three, four): from this question on a number of things is the sum over them, with two
  (three, four) for every one that is also such a THING, one for the others. It holds for "how many", "more", "most"
  and sums; "at least two" is not asked after it.
- "has the most of them": the image with the largest number; never asked where two share it.

An answer is a value's word, a number, yes or no, Image_n, a place, or the refusal (`refusal_text`).
"""

from __future__ import annotations

from collections.abc import Mapping

from mmcr_bench.exact.phrases import WORDINGS
from mmcr_bench.exact.scene import Domain

NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eva", "Finn")
ORDINALS = tuple(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
)  # of `recall` and `order`
NUMBER_WORDS = ("zero", "one", "two", "three", "four")
REFUSAL = 99  # the answer, of any type, to a question about something that is not there


def with_article(words: str) -> str:
    """`a cross`, `an object`, `an 8`."""
    is_vowel = words[0].lower() in "aeio" or words.startswith("8")
    return f"{'an' if is_vowel else 'a'} {words}"


def join_words(words: list[str]) -> str:
    """`Image_1, Image_2 and Image_3`."""
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def image_name(image: int) -> str:
    """`Image_1` for the first image, which has the number 0 inside programs."""
    return f"Image_{image + 1}"


def refusal_text(domain: Domain) -> str:
    """The answer to a question about something that is not there."""
    return f"There is no such {domain.noun}."


def answer_text(domain: Domain, side: int, type_: str, value: int) -> str:
    """The written answer of a type.

    Args:
        domain: the kind of image.
        side: side of the grid.
        type_: type of one of the domain's attributes, number, yesno, image or cell.
        value: the answer; `REFUSAL` in any type.
    """
    if value == REFUSAL:
        return refusal_text(domain)
    for attribute in domain.attributes:
        if attribute.type == type_:
            return attribute.values[value]
    if type_ == "number":
        return str(value)
    if type_ == "yesno":
        return "yes" if value else "no"
    if type_ == "image":
        return image_name(value)
    assert type_ == "cell", f"unknown type {type_!r}"
    return domain.cells[side][value]


def num_wordings(op: str, far: bool = False) -> int:
    """How many wordings an operator has, the held-out one included."""
    return len(WORDINGS[wording_key(op, far)])


def wording_key(op: str, far: bool) -> str:
    """The key of an operator's wordings: some have others for what lies further back than the turn before."""
    key = f"{op}_far"
    return key if far and key in WORDINGS else op


def question_text(domain: Domain, side: int, op: str, slots: Mapping[str, int], wording: int, far: bool = False) -> str:
    """A question in words.

    Args:
        domain: the kind of image.
        side: side of the grid.
        op: the operator.
        slots: what its words say, by slot.
        wording: number of the wording.
        far: what it refers to lies further back than the turn before.
    """
    return fill(domain, side, WORDINGS[wording_key(op, far)][wording], slots)


def fill(domain: Domain, side: int, template: str, slots: Mapping[str, int], **phrases: str) -> str:
    """A template with its slots in words and other phrases, each sentence with a capital."""
    text = template.format_map(_words_of(domain, side, slots) | phrases)
    pieces = [piece[:1].upper() + piece[1:] for piece in text.split(". ")]
    return ". ".join(pieces)


def _words_of(domain: Domain, side: int, slots: Mapping[str, int]) -> dict[str, str]:
    words = {"noun": domain.noun, "nouns": f"{domain.noun}s", "a_noun": with_article(domain.noun)}
    for slot in ("attr", "by"):
        if slot in slots:
            words[slot] = domain.attributes[slots[slot]].name
    if "value" in slots:
        by, value = domain.attributes[slots["by"]], slots["value"]
        words |= {
            "thing": by.singulars[value],
            "things": by.plurals[value],
            "a_thing": with_article(by.singulars[value]),
        }
    if "rule_value" in slots:
        words["rule_thing"] = domain.attributes[slots["rule_by"]].singulars[slots["rule_value"]]
        words["times"] = NUMBER_WORDS[slots["times"]]
    if "pic" in slots:
        words["pic"] = image_name(slots["pic"])
    if "pic_c" in slots:
        words["pics"] = join_words([image_name(slots[slot]) for slot in ("pic_a", "pic_b", "pic_c")])
    if "cell" in slots:
        words |= {"object": domain.object_at(side, slots["cell"]), "one": domain.one_at(side, slots["cell"])}
    if "name" in slots:
        words["name"] = NAMES[slots["name"]]
    if "nth" in slots:
        words["ordinal"] = ORDINALS[slots["nth"]]
    if "least" in slots:
        words["are"] = "is" if slots["least"] == 1 else "are"
        number = f"at least {NUMBER_WORDS[slots['least']]}"
        words["at_least"] = f"{number} {domain.noun}{'' if slots['least'] == 1 else 's'}"
        if "value" in slots:
            words["at_least_things"] = f"{number} {words['thing' if slots['least'] == 1 else 'things']}"
    return words
