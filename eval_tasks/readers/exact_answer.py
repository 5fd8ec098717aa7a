"""Read the value that a free reply states, for answers of the controlled world that are computed.

A value counts if it is the only one that the reply states. Of several, one counts only if it is introduced as the
conclusion (`the answer is`, `so`, `=`, `5 in total`, a box). What the reply denies (`not red`, `rather than blue`) or
asks is dropped. A reply that says that there is no such thing is the refusal. Nothing else is read: the result is None,
and an unread reply is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from eval_tasks.readers.exact_denials import find_denial
from eval_tasks.readers.exact_mentions import NO_VALUE, find_mentions
from eval_tasks.readers.exact_numbers import Mention
from mmcr_bench.exact.wording import REFUSAL

_PUNCTUATION = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "«": '"', "»": '"', "。": ". ", "、": ", ", "،": ", ", "؟": "? ", "–": "-"}
    | {
        "—": " - ",
        "−": "-",
        "‑": "-",
        "‐": "-",
        "`": " ",
        "*": " ",
        "|": " ",
        "\u200b": None,
        "\ufeff": None,
        "¿": " ",
        "¡": " ",
    }
)
_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL)
_END_OF_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_FRAMED = (
    re.compile(r"\\boxed ?\{((?:[^{}]|\{[^{}]{0,200}\}){0,200})\}"),
    re.compile(r"<answer>(.{0,400}?)</answer>", re.DOTALL),
)
_LATEX = re.compile(r"\\(?:text(?:bf|it|rm|tt|sf)?|mathrm|mathbf|textcolor|boxed|displaystyle|,|;|!|\(|\)|\[|\])|[${}]")
_TAG = re.compile(r"</?[a-z]{1,12}(?: [^<>]{0,80})?/?>")
_DOUBT = re.compile(r"\b(?:without (?:a |any )?|no |beyond (?:a |any )?)doubt\b|\bnot only\b")
_SHORT = (("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("n't", " not"), ("there's", "there is"))
_RETRACTED = re.compile(
    r"\b(?:wait|correction|on second thou?ght|scratch that|oops|i meant|my mistake|looking again|"
    r"let me (?:re-?)?(?:check|look|count)(?: again)?)\b|(?:^|[.!?,;-] )(?:no,? )?actually\b"
)
_HEDGED = re.compile(r"\b(?:might|may|could|maybe|perhaps|possibly|unsure|unclear|not sure|not certain)\b")
_BREAK = r"(?:but|so|and|although|though|because|therefore|thus|hence|yet|however|since|instead|it's)"
_DENIED = re.compile(
    r"(?:\b(?:not|no|never|neither|nor|without|except|except for|unlike|rather than|instead of|other than)) "
    rf"(?:(?!{_BREAK}\b)[\w']+ ){{0,3}}[\"'(]?$"
)
_DENIED_AFTER = re.compile(
    r"[\"')]?,? (?:(?:is|was|are|were|would be|seems|looks) )?(?:wrong|incorrect|false|impossible)\b"
    r"|[\"')]? (?:is|was|are|were|does|do) not(?: (?:it|that|right|correct|the|a|an|one|true)\b|[.,;!]|$)"
)
_STRONG = re.compile(
    r"\b(?:answer|total|sum|result|conclusion|conclude|altogether|final)\b(?:.*(?:\b(?:is|are|was|be|that)\b|[:=>-])|[^a-z0-9]*$)"
    r"|\ba (?:grand )?total of\b"
)
_OPERATOR = re.compile(r" ?(?:\+|plus\b|minus\b|- ?\d)")
_ARITHMETIC = re.compile(r" (?:and|plus|\+|with|to) (?:the )?\n *(?:is|are|equals) (?:a total of )?")
_WEAK = re.compile(
    r"\b(?:so|therefore|thus|hence|makes?|making|gives?|giving|get|equals?|consequently|that's|which is|i.e)\b|=|->|→|⇒"
)
_UNSURE = re.compile(r"\b(?:might|may|could|maybe|perhaps|possibly|either|whether|unsure|unclear|depends|or|not)\b")
_AFTER_TOTAL = re.compile(r"(?: [a-z]+){0,3} (?:in total|altogether|in all|overall|combined|all together)\b")
_ALTERNATIVE = re.compile(
    r"[\"')]{0,2},? ?(?:(?:or|and|/|&|and/or|maybe|perhaps|possibly|the|a|an|also) ?){1,5}[\"'(]{0,2}$"
)
_YES = ("yes", "yeah", "yep", "yup", "affirmative", "indeed")
_NO = ("no", "nope", "nah", "negative")
_FIRST_ONLY = {"correct": 1, "true": 1, "incorrect": 0, "false": 0}  # at the beginning, before punctuation
_SAID = rf"({'|'.join(_YES + _NO)})\b"
_SAID_YES_NO = re.compile(
    r"(?:^\W{0,8}|[.!?:;,\n] ?[\"'(]?|\b(?:so|is|be|was|therefore|thus|hence|say|maybe|or|and) ,? ?[\"'(]?)"
    rf"{_SAID}(?= ?(?:[.,;:!?\n)\"'-]|$|because\b|since\b|as\b|there\b|it\b))"
)
_FIRST_YES_NO = re.compile(
    rf"\W{{0,8}}(?:{_SAID}(?! (?:doubt|idea|problem|matter|one knows))|({'|'.join(_FIRST_ONLY)})(?= ?(?:[.,;!]|- |$))"
    r"|(?:definitely|absolutely|certainly|of course)( not)?\b)"
)
_SHORT_YES_NO = re.compile(
    r"\W{0,5}(?:(?:(?:that|it)(?: is|'s) )?(?:(?P<true>true|correct|right)|(?P<false>false|incorrect|wrong))"
    r"|(?:it|there|they|i|image[ _]\d) (?:is|are|does|do|has|can|would)(?P<not> not)?(?: any| one)?)\W{0,5}"
)


def read_exact_answer(reply: str, type_: str, domain: str, side: int) -> int | None:
    """The value that a reply states, numbered as in the programs; `REFUSAL`, or None where it can't be read.

    Args:
        reply: the reply.
        type_: type of the answer: one of the domain's attributes, number, yesno, image or cell.
        domain: shapes, sheets, numerals or charts.
        side: side of the grid; for charts the number of bars.
    """
    text = _THOUGHT.sub(" ", reply.lower())
    text = _END_OF_THOUGHT.split(text)[-1]
    framed = [found for pattern in _FRAMED for found in pattern.findall(text)][-1:]
    for part in (*framed, text):
        value = _read(to_plain(part), type_, domain, side)
        if value is not None:
            return value
    return None


def to_plain(text: str) -> str:
    """The text in lower case without markup, with plain punctuation; line breaks stay."""
    text = unicodedata.normalize("NFKC", text).lower().replace("\\_", "_").translate(_PUNCTUATION)
    text = _TAG.sub(" ", _LATEX.sub(" ", text))
    text = re.sub(r"(?<!image)_(?!\d)|^#{1,6} |^> ?|^[-+•] ", " ", text, flags=re.MULTILINE)
    for short, whole in _SHORT:
        text = text.replace(short, whole)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return _DOUBT.sub(" ", "\n".join(line for line in lines if line))


def _read(text: str, type_: str, domain: str, side: int) -> int | None:
    if not text:
        return None
    for part in _last_attempts(text):
        value = _yes_no(part) if type_ == "yesno" else _value(part, type_, domain, side)
        if value is not None and value > NO_VALUE:
            return value
    return None


def _last_attempts(text: str) -> list[str]:
    """What follows the last retraction (`wait`, `actually`) if it is sure, and then the whole text."""
    ends = [match.end() for match in _RETRACTED.finditer(text)]
    last = text[ends[-1] :] if ends else ""
    return [last, text] if last and not _HEDGED.search(last) else [text]


def _value(text: str, type_: str, domain: str, side: int) -> int | None:
    mentions = [one for one in find_mentions(text, type_, domain, side) if not _is_denied(text, one)]
    mentions = [one for one in mentions if not _is_asked(text, one)] or mentions
    denial = None if type_ == "number" else find_denial(text, domain)
    if denial is not None and not any(
        one.start < denial or _STRONG.search(_gap(text, mentions, place)) for place, one in enumerate(mentions)
    ):
        return REFUSAL
    if len({one.value for one in mentions}) <= 1:
        return mentions[0].value if mentions else None
    return _conclusion(text, mentions)


def _is_denied(text: str, one: Mention) -> bool:
    before, after = text[max(0, one.start - 60) : one.start], text[one.end : one.end + 30]
    return bool(_DENIED.search(before) or _DENIED_AFTER.match(after))


def _is_asked(text: str, one: Mention) -> bool:
    """Whether the value stands in a question of the reply's own."""
    end = re.search(r"[.!?\n]", text[one.end : one.end + 200])
    return end is not None and end[0] == "?"


def _gap(text: str, mentions: Sequence[Mention], place: int) -> str:
    """The words of the same sentence between the mention before and this one, at most 80 characters."""
    start = mentions[place].start
    before = max(mentions[place - 1].end if place else 0, start - 80)
    return re.split(r"[.!?](?= |$)", text[min(before, start) : start])[-1]


def _conclusion(text: str, mentions: Sequence[Mention]) -> int | None:
    """The value that is introduced as the conclusion, if there is exactly one."""
    strong = []
    for place, one in enumerate(mentions):
        gap = _gap(text, mentions, place)
        is_total = _AFTER_TOTAL.match(text[one.end : one.end + 60])
        is_term = _OPERATOR.match(text, one.end)
        if is_total or (_STRONG.search(gap) and not _UNSURE.search(gap) and not is_term):
            following = mentions[place + 1] if place + 1 < len(mentions) else None
            if following and following.value != one.value and _ALTERNATIVE.fullmatch(text[one.end : following.start]):
                return None
            strong.append(one.value)
    if strong:
        return strong[0] if len(set(strong)) == 1 else None
    gap = _gap(text, mentions, len(mentions) - 1)
    operands = ""
    if len(mentions) > 2:
        operands = f"{text[mentions[-3].end : mentions[-2].start]}\n{text[mentions[-2].end : mentions[-1].start]}"
    is_concluded = bool(_WEAK.search(gap)) or _ARITHMETIC.fullmatch(operands)
    return mentions[-1].value if is_concluded and not _UNSURE.search(gap) else None


def _yes_no(text: str) -> int | None:
    text = re.sub(r"\b(?:yes or no|no or yes)\b:? ?", "", text)
    first = _FIRST_YES_NO.match(text)
    said = [match[1] for match in _SAID_YES_NO.finditer(text)]
    values = {int(word in _YES) for word in said}
    if first is not None:
        values.add(int(first[1] in _YES) if first[1] else _FIRST_ONLY[first[2]] if first[2] else int(not first[3]))
    if len(values) == 1:
        return values.pop()
    short = _SHORT_YES_NO.fullmatch(text)
    if values or short is None:
        return None
    return int(not (short["false"] or short["not"]))
