"""A baseline without a model: the answer of the most similar question of a training set, without image or history."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from eval_tasks.models.generation import Wording
from eval_tasks.models.model import NoReply, Reply
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import load_dialogues

_WORD = re.compile(r"\w+")


class LookupModel:
    """Answers each question with the answer of the training question that shares most words with it (Jaccard).

    A benchmark on which it scores well does not measure whether images or earlier turns are used.

    Attributes:
        name: name in results.
        revision: empty: the data set is the revision.
        batch_size: number of dialogues at the same time.

    Raises:
        ValueError: the data set can't be loaded, or has no dialogue.
    """

    def __init__(self, place: str, batch_size: int = 4) -> None:
        self.name, self.revision, self.batch_size = f"lookup:{place}", "", batch_size
        answers: dict[frozenset[str], str] = {}
        for dialogue in load_dialogues(place, split=None):
            for turn in dialogue.turns:
                answers.setdefault(_words(turn.human_text), turn.assistant)  # the first of equal questions
        if not answers:
            raise ValueError(f"--model lookup:{place}: no dialogue to look up answers in")
        self._questions, self._answers = list(answers), list(answers.values())
        self._with_word: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self._questions):
            for word in words:
                self._with_word[word].append(number)

    def describe(self) -> dict[str, Any]:
        """The number of different questions."""
        return {"num_questions": len(self._questions)}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        return None

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Nothing is seen."""
        return {}

    def forget(self, dialogue: Dialogue) -> None:
        """Nothing to release."""

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The answer of the most similar question; of equally similar ones the first.

        Raises:
            NoReply: no question shares a word with this one.
        """
        words = _words(dialogue.turns[len(replies)].human_text)
        shared: dict[int, int] = defaultdict(int)
        for word in words:
            for number in self._with_word.get(word, ()):
                shared[number] += 1
        if not shared:
            raise NoReply("nothing_similar", f"no question of {self.name} shares a word with this one")
        best = min(shared, key=lambda n: (-shared[n] / (len(words) + len(self._questions[n]) - shared[n]), n))
        return Reply(self._answers[best])


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
