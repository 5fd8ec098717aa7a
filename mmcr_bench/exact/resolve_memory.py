"""The second solver's memory: what a person who reads the dialogue remembers of it. See resolve.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from mmcr_bench.exact.resolve_words import Kind, Language, Rule, Thing, Words

Cells = Sequence[Sequence[int]]  # [cell][attribute] of one image; negative where the cell is empty


class Unresolved(ValueError):
    """A question has no single meaning for a careful reader of the dialogue so far."""


class Said(NamedTuple):
    """An answer: the attribute it is a value of, or `number`, `yesno`, `image`, `cell`, `refusal`, and its words."""

    sort: int | str
    words: str


class Asked(NamedTuple):
    """The last question about a thing, if it was about an attribute: of which thing, and whether it named a place."""

    attribute: int
    thing: Thing
    names_place: bool
    turn: int


@dataclass
class Memory:
    """A person who reads the dialogue: what has been asked, answered, named and counted so far."""

    language: Language
    side: int
    scenes: Sequence[Cells]
    said: list[Said] = field(default_factory=list)
    things: list[Thing | None] = field(default_factory=list)  # asked about, repeats in a row once; None is unclear
    in_image: dict[int, Thing | None] = field(default_factory=dict)
    names: dict[str, Thing | None] = field(default_factory=dict)  # None: forgotten
    asked: Asked | None = None
    counted: Kind | None = None
    counted_number: int = 0
    counted_turn: int = -1
    number: int | None = None  # the last number given; None where that is unclear
    rule: Rule | None = None

    def has(self, thing: Thing, kind: Kind) -> bool:
        """Whether a thing has the value."""
        return self.scenes[thing.image][thing.cell][kind.attribute] == kind.value

    def with_kind(self, image: int, kind: Kind) -> list[Thing]:
        """The things of an image that have the value."""
        all_things = (Thing(image, cell) for cell in range(len(self.scenes[image])))
        return [thing for thing in all_things if self.has(thing, kind)]

    def count(self, image: int, kind: Kind, rule: Rule | None) -> int:
        """The number of such things; each that the rule names counts as so many."""
        found = self.with_kind(image, kind)
        return sum(rule.times if rule is not None and self.has(thing, rule.kind) else 1 for thing in found)

    def only(self, image: int, kind: Kind) -> Thing | None:
        """The only such thing; None if there is none."""
        found = self.with_kind(image, kind)
        if len(found) > 1:
            self.fail(f"{len(found)} such things in Image_{image + 1}")
        return found[0] if found else None

    def fail(self, why: str) -> NoReturn:
        """Stop: the question has no single meaning."""
        raise Unresolved(why)

    def kind_of(self, said: Said) -> Kind:
        """The value that an answer is."""
        assert isinstance(said.sort, int)
        return Kind(said.sort, self.language.values[said.sort].index(said.words))

    def referred_kind(self, words: Words) -> Kind | None:
        """`that colour`, or `the last colour of an object that you named`."""
        if words.that is not None:
            if not self.said or self.said[-1].sort != words.that:
                self.fail("the answer before is no such value")
            return self.kind_of(self.said[-1])
        if words.last_named is None:
            return None
        earlier = [one for one in self.said if one.sort == words.last_named]
        return self.kind_of(earlier[-1]) if earlier else self.fail("no such value was named")

    def speak(self, thing: Thing, attribute: int, names_place: bool = False) -> Said:
        """Answer a question about an attribute of a thing."""
        value = self.scenes[thing.image][thing.cell][attribute]
        if value < 0:
            self.fail("an empty cell")
        self.mention(thing)
        self.asked = Asked(attribute, thing, names_place, len(self.said))
        return Said(attribute, self.language.values[attribute][value])

    def mention(self, thing: Thing) -> None:
        """A question about a thing makes it the last one spoken of."""
        if not self.things or self.things[-1] != thing:
            self.things.append(thing)
        self.in_image[thing.image] = thing
        self.asked = None

    def refuse(self, image: int | None) -> Said:
        """There is no such thing; afterwards `it` is unclear."""
        self.things, self.asked = [None], None
        if image is not None:
            self.in_image[image] = None
        return Said("refusal", f"There is no such {self.language.noun}.")

    def give_count(self, image: int, kind: Kind, rule: Rule | None) -> Said:
        """Answer a counting question."""
        self.counted, self.counted_turn = kind, len(self.said)
        self.counted_number = self.count(image, kind, rule)
        return Said("number", str(self.counted_number))

    def give_sum(self, number: int) -> Said:
        """Answer with a sum; afterwards it is unclear what was counted last."""
        self.counted = None
        return Said("number", str(number))

    def last_counted(self, straight_after: bool) -> Kind:
        """The things of the last counting question, which must be the question before if `straight_after`."""
        if self.counted is None or (straight_after and self.counted_turn != len(self.said) - 1):
            self.fail("what was counted is unclear")
        return self.counted

    def remember(self, said: Said) -> None:
        """Keep the answer to the question."""
        if said.sort == "number":
            self.number = int(said.words)
        elif isinstance(said.sort, int) and said.words.isdigit():
            self.number = None  # a numeral's value or a bar's height is a number of another sort
        self.said.append(said)
