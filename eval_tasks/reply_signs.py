"""Signs of failure in the replies themselves, without a judge: they describe a run, they are no score.

Named after the failures of multi-turn dialogue: a reply that repeats the one before has lost the context (context
error), replies that grow from turn to turn drift, an image that isn't there is a hallucination, words said before are
redundancy. Only samples that were answered count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from eval_tasks.task import Scored, Total, Unit

_WORD = re.compile(r"\w+")
_IMAGE = re.compile(r"\bimages?[ _](\d{1,2})\b", re.IGNORECASE)
_NUM_WORDS = 4  # of a sequence that counts as said before


def reply_totals(scored: Sequence[Scored]) -> dict[str, Total]:
    """Mean length in words; of dialogues with several turns also the four signs, in percent."""
    answered = [one for one in scored if one.failure is None and one.replies]
    found = {"replies: words": _total(answered, _mean_words, 1.0)}
    turns = [one for one in answered if len(one.replies) > 1]
    if turns:
        found |= {
            "replies: context errors, % that repeat the one before": _total(turns, repeated_share, 100.0),
            "replies: drift, words of the last turn per word of the first": _total(turns, growth, 1.0),
            "replies: redundancy, % of 4-word sequences said before": _total(turns, redundant_share, 100.0),
        }
    if any(one.sample.dialogue.images for one in turns):
        found["replies: hallucination, % that name an image not shown"] = _total(turns, missing_image_share, 100.0)
    return {name: total for name, total in found.items() if total.units}


def _total(scored: Sequence[Scored], measure: Callable[[Scored], float], scale: float) -> Total:
    units = [Unit(one.sample.group, measure(one)) for one in scored]
    return Total(units, {"": scale}, breakdown="replies")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _mean_words(one: Scored) -> float:
    return sum(len(_words(reply)) for reply in one.replies) / len(one.replies)


def repeated_share(one: Scored) -> float:
    """Share of the later replies whose words are those of the reply before."""
    pairs = list(zip(one.replies, one.replies[1:], strict=False))
    return sum(_words(before) == _words(after) for before, after in pairs) / len(pairs)


def growth(one: Scored) -> float:
    """Words of the last reply per word of the first."""
    return len(_words(one.replies[-1])) / max(1, len(_words(one.replies[0])))


def redundant_share(one: Scored) -> float:
    """Share of the later replies' word sequences that an earlier reply of the dialogue has."""
    seen: set[tuple[str, ...]] = set()
    num = num_seen = 0
    for turn, reply in enumerate(one.replies):
        words = _words(reply)
        said = {tuple(words[start : start + _NUM_WORDS]) for start in range(len(words) - _NUM_WORDS + 1)}
        if turn:
            num, num_seen = num + len(said), num_seen + len(said & seen)
        seen |= said
    return num_seen / num if num else 0.0


def missing_image_share(one: Scored) -> float:
    """Share of the replies that name an image which isn't shown up to their turn."""
    dialogue, given = one.sample.dialogue, one.sample.num_given_turns
    num_shown = sum(isinstance(block, int) for turn in dialogue.turns[:given] for block in turn.human)
    missing = 0
    for turn, reply in zip(dialogue.turns[given:], one.replies, strict=False):
        num_shown += sum(isinstance(block, int) for block in turn.human)
        missing += any(not 1 <= int(number) <= num_shown for number in _IMAGE.findall(reply))
    return missing / len(one.replies)
