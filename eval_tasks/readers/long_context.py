"""Scorers of MMLongBench's families: contained answer, yes or no, count, letter, class, overlap of a summary.

Source: VLMEvalKit utils/mmlongbench_metrics.py (August 2026); the overlap (ROUGE-Lsum) is without its stemmer
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from string import punctuation

_NO_PUNCTUATION = str.maketrans("", "", punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_YES_NO, _LIST, _BRACKETS = re.compile(r"\b(?:yes|no)\b"), re.compile(r"\[[\d\s,]+\]"), re.compile(r"\[[^\[\]]*\]")
_NUMBER, _WORD_NUMBER, _LABEL = re.compile(r"\d+"), re.compile(r"\b\d+\b"), re.compile(r"label:\s*(\d+)", re.IGNORECASE)
_LETTERS = (re.compile(r"answer is \(?([A-J])\)?"), re.compile(r"[aA]nswer:\s*([A-J])"))
_LONE = re.compile(r"\b[A-J]\b")
_TOKEN = re.compile(r"[a-z0-9]+")


def plain_words(text: str, keep_punctuation: bool = False) -> str:
    """A text in lower case without articles, single-spaced, and without punctuation unless it is kept."""
    said = text.lower() if keep_punctuation else text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", said).split())


def after_prefix(reply: str, prefix: str) -> str:
    """What a reply says behind a prefix such as `Answer:`, in any case; all of it without one."""
    place = reply.lower().find(prefix.lower())
    said = reply[place + len(prefix) :].strip() if place >= 0 else reply.strip()
    return said[len(prefix) :].strip() if said.lower().startswith(prefix.lower()) else said


def contains(reply: str, golds: Sequence[str]) -> float:
    """1 if a gold answer stands in the reply, case, punctuation and articles aside."""
    said = plain_words(reply)
    return float(any(plain_words(gold) in said for gold in golds))


def says(reply: str) -> int | None:
    """1 for a last yes, 0 for a last no, a reply that is a number as that; None without one."""
    said = plain_words(reply, keep_punctuation=True)
    if found := _YES_NO.findall(said):
        return int(found[-1] == "yes")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None


def counted(reply: str) -> int:
    """The sum of the last list of numbers in a reply, else of all its numbers."""
    said = plain_words(reply, keep_punctuation=True)
    for form in (_LIST, _BRACKETS):
        for text in form.findall(said)[-1:]:
            try:
                return sum(int(one) for one in json.loads(text) if isinstance(one, int | float))
            except (ValueError, RecursionError):
                continue
    return sum(int(one[:18]) for one in _NUMBER.findall(said))


def chosen(reply: str) -> int | None:
    """The number of the option whose letter a reply says, A to J."""
    said = " ".join(reply.split())
    for form in _LETTERS:
        if match := form.search(said):
            return ord(match[1]) - ord("A")
    found = _LONE.findall(said)
    return ord(found[-1]) - ord("A") if found else None


def labelled(reply: str) -> int | None:
    """The class of a reply: behind `label:`, else its last number."""
    said = " ".join(reply.split())
    match = _LABEL.search(said)
    found = [match[1]] if match else _WORD_NUMBER.findall(said)[-1:] or _NUMBER.findall(said)[:1]
    return int(found[0][:18]) if found else None


def rouge_lsum(reply: str, gold: str) -> float:
    """F1 of the words of the longest common subsequences, sentence by sentence (one a line), of 0 to 1."""
    said, wanted = ([_TOKEN.findall(line) for line in text.lower().split("\n")] for text in (reply, gold))
    num_said, num_wanted = sum(map(len, said)), sum(map(len, wanted))
    if not num_said or not num_wanted:
        return 0.0
    left = [Counter(word for line in side for word in line) for side in (said, wanted)]
    hits = 0
    for line in wanted:
        for place in sorted({place for other in said for place in _common(line, other)}):
            word = line[place]
            if left[0][word] > 0 and left[1][word] > 0:
                hits += 1
                left[0][word] -= 1
                left[1][word] -= 1
    precision, recall = hits / num_said, hits / num_wanted
    return 2 * precision * recall / (precision + recall) if hits else 0.0


def _common(line: Sequence[str], other: Sequence[str]) -> list[int]:
    """Places of `line` in a longest common subsequence with `other`."""
    table = [[0] * (len(other) + 1)]
    for word in line:
        before, now = table[-1], [0]
        for column, one in enumerate(other):
            now.append(before[column] + 1 if word == one else max(before[column + 1], now[-1]))
        table.append(now)
    places, row, column = [], len(line), len(other)
    while row and column:
        if line[row - 1] == other[column - 1]:
            row, column = row - 1, column - 1
            places.append(row)
        elif table[row][column - 1] > table[row - 1][column]:
            column -= 1
        else:
            row -= 1
    return places
