"""Structure and text rules of the paper: pure functions, dialogue -> detail if it violates the rule, else None.

Source: MMCR (arXiv 2503.18533) section 3.2 "strict regular functions" and the requirements of its generation prompt
(Figure 7). Alternation, marks and refusals of a whole reply are checked by the parser of replies.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from mmcr_dataset.collect.language import reason_not_english
from mmcr_dataset.record.dialogue import MAX_IMAGES, TURNS_MULTI, TURNS_SINGLE, Dialogue, Turn
from mmcr_dataset.record.recipe import MMDU, RecipeName

ANSWER_MIN_WORDS = 4
ANSWER_MAX_WORDS = 400
DIALOGUE_MAX_WORDS = 3000  # paper Table 1: at most 6k tokens of text and images
LATIN_SHARE_MIN = 0.85  # share of the letters
ENGLISH_SHARE_MIN = 0.12  # share of English function words among the words
REPEATED_SENTENCE_WORDS = 6  # minimum length of a sentence that counts as repeated

_LIST_LINE = re.compile(r"^[^\S\n]*+(?:[-*•]|\d++[.)]|\([a-z0-9]\))\s++\S", re.M)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i can(?:['’]t|not) (?:see|view|help|assist|process|access)|as an ai\b"
    r"|no images? (?:was|were|is|are) (?:provided|attached|visible)"
    r"|i (?:can(?:not|['’]t)|won['’]t) (?:create|write|generate|produce|continue)\b[^.!?]{0,40}"
    r"\b(?:conversation|dialogue|rounds?)\b)",
    re.I,
)
# What a writer says that won't or can't do its work, whatever reason it gives.
_NO_WORK = re.compile(
    r"\b(?:can(?:no|['’])t|cannot|unable to|not able to|won['’]t)\s+(?:\w+ )?"
    r"(?:(?:see|view|process|access|open|display|load|analy[sz]e)\b"
    r"|(?:create|write|generate|produce|continue|complete|fulfil+)\b[^.!?]{0,40}"
    r"\b(?:conversation|dialogue|content|rounds?))"
    r"|no images? (?:was|were|is|are) (?:provided|attached|visible)|\bas an ai\b",
    re.I,
)
_HARM = re.compile(
    r"\b(?:harm|hurt|injur|danger|illegal|unlawful|against the law|crim(?:e|inal)|unethical|immoral"
    r"|unsafe|safety|privacy|violen|violat|abus|discriminat|hate|stalk|fraud|threat|deceiv|exploit|rights|consent|permission)",
    re.I,
)
_ALTERNATIVE = re.compile(
    r"\b(?:instead|alternativ\w+|rather than|(?:i|we) (?:can|could)\s+(?!not\b)"
    r"|i(?:['’]d| would) (?:be )?(?:happy|glad|suggest|recommend)|you (?:can|could|may|might)\b"
    r"|(?:please )?(?:consider|contact|call|ask|talk to|reach out))",
    re.I,
)
_HARMFUL_REQUEST = re.compile(
    r"\b(?:break(?:ing)? in|steal|rob\b|hack|weapon|bomb|explosive|poison|kill|hurt|attack|drug|fake|forg(?:e|ing)"
    r"|cheat|stalk|spy|follow (?:her|him|them) home|track (?:her|him|them)|harass|insult|mock|humiliat|racis|burn down"
    r"|set fire|damage|destroy|vandal|scam|fraud|launder|smuggl|without (?:being|getting) caught|illegal)",
    re.I,
)
_MOJIBAKE = re.compile(r"[ÃÂâ][\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]")
_MENTION = re.compile(r"\bimages?[ _]?(\d+)(?:\s*(?:,|and|or|&|to|-|–)\s*(?:image[ _]?)?(\d+))*", re.I)


def mentions(text: str) -> set[int]:
    """Numbers of the images that a text mentions: `image 2`, `images 1 and 3`, `images 1, 2 and 4`."""
    found: set[int] = set()
    for match in _MENTION.finditer(text):
        found |= {int(number) for number in re.findall(r"\d+", match.group())}
    return found


def wrong_number_of_turns(dialogue: Dialogue) -> str | None:
    """Four turns for one image, eight for several."""
    expected = TURNS_SINGLE if len(dialogue.images) == 1 else TURNS_MULTI
    count = len(dialogue.turns)
    return None if count == expected else f"{count} turns for {len(dialogue.images)} images, expected {expected}"


def too_few_turns(dialogue: Dialogue) -> str | None:
    """At least four turns for one image, at least eight for several."""
    least = TURNS_SINGLE if len(dialogue.images) == 1 else TURNS_MULTI
    count = len(dialogue.turns)
    return None if count >= least else f"{count} turns for {len(dialogue.images)} images, expected at least {least}"


def wrong_number_of_images(dialogue: Dialogue) -> str | None:
    """One to four images."""
    count = len(dialogue.images)
    return None if 1 <= count <= MAX_IMAGES else f"{count} images, expected 1 to {MAX_IMAGES}"


def answer_omits_image(dialogue: Dialogue) -> str | None:
    """An answer mentions every image that its question introduces; with one image `the image` is enough."""
    for number, turn in enumerate(dialogue.turns, start=1):
        missing = set(turn.introduces) - mentions(turn.assistant)
        if len(dialogue.images) == 1 and re.search(r"\b(?:image|picture|photo(?:graph)?)\b", turn.assistant, re.I):
            missing = set()
        if missing:
            return f"turn {number} introduces {sorted(missing)}, its answer does not mention them"
    return None


def answer_omits_mentioned_image(dialogue: Dialogue) -> str | None:
    """With several images an answer mentions every image that its question mentions without introducing it."""
    for number, turn in enumerate(dialogue.turns, start=1):
        missing = mentions(turn.human_text) - set(turn.introduces) - mentions(turn.assistant)
        if len(dialogue.images) > 1 and missing:
            return f"turn {number} mentions image {sorted(missing)}, its answer does not"
    return None


def image_spoken_of_too_early(dialogue: Dialogue) -> str | None:
    """No turn mentions an image before it is introduced, or one that does not exist."""
    shown: set[int] = set()
    for number, turn in enumerate(dialogue.turns, start=1):
        shown |= set(turn.introduces)
        early = mentions(f"{turn.human_text}\n{turn.assistant}") - shown
        if early:
            return f"turn {number} mentions image {sorted(early)}, introduced so far: {sorted(shown)}"
    return None


def answer_in_list_form(dialogue: Dialogue) -> str | None:
    """Answers are prose, not itemised lists."""
    for number, turn in enumerate(dialogue.turns, start=1):
        if len(_LIST_LINE.findall(turn.assistant)) >= 2:
            return f"turn {number}: the answer is a list"
    return None


def refusal(dialogue: Dialogue) -> str | None:
    """The writer doesn't refuse its work: no answer claims that there is no image, or refuses without a reason.

    An assistant that declines a harmful request as the prompt orders it (rule 6: why, and a safe alternative) is none.
    """
    num_declined = 0
    for number, turn in enumerate(dialogue.turns, start=1):
        match = _REFUSAL.search(turn.assistant)
        if match is None:
            continue
        num_declined += 1
        if not declines_harm(turn) or 2 * num_declined > len(dialogue.turns):
            return f"turn {number}: {match.group()!r}"
    return None


def declines_harm(turn: Turn) -> bool:
    """True if an answer declines a harmful request: with the reason, and an alternative where the harm isn't plain."""
    if _NO_WORK.search(turn.assistant) or not _HARM.search(turn.assistant):
        return False
    return bool(_ALTERNATIVE.search(turn.assistant) or _HARMFUL_REQUEST.search(turn.human_text))


def bad_length(dialogue: Dialogue) -> str | None:
    """Answers and the whole dialogue stay within length limits."""
    total = 0
    for number, turn in enumerate(dialogue.turns, start=1):
        words = len(turn.assistant.split())
        total += words + len(turn.human_text.split())
        if not ANSWER_MIN_WORDS <= words <= ANSWER_MAX_WORDS:
            return f"turn {number}: the answer has {words} words, expected {ANSWER_MIN_WORDS} to {ANSWER_MAX_WORDS}"
    return None if total <= DIALOGUE_MAX_WORDS else f"{total} words, expected at most {DIALOGUE_MAX_WORDS}"


def _sentences(turn: Turn) -> list[str]:
    text = re.sub(r"\s+", " ", turn.assistant.lower())
    return [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s", text)]


def repetition(dialogue: Dialogue) -> str | None:
    """No long sentence is repeated, and no word four times in a row."""
    counts = Counter(
        sentence
        for turn in dialogue.turns
        for sentence in _sentences(turn)
        if len(sentence.split()) >= REPEATED_SENTENCE_WORDS
    )
    sentence, count = counts.most_common(1)[0] if counts else ("", 0)
    if count > 1:
        return f"repeated {count} times: {sentence[:80]!r}"
    for number, turn in enumerate(dialogue.turns, start=1):
        stutter = re.search(r"\b(\w+)(?:\s+\1\b){3,}", turn.assistant, re.I)
        if stutter:
            return f"turn {number}: {stutter.group()[:80]!r}"
    return None


def is_unclear(text: str) -> bool:
    """True if a text has replacement characters, or mojibake."""
    return "\ufffd" in text or len(_MOJIBAKE.findall(text)) >= 2


def unclear_text(dialogue: Dialogue) -> str | None:
    """No replacement characters and no mojibake."""
    for number, turn in enumerate(dialogue.turns, start=1):
        for text in (turn.human_text, turn.assistant):
            if is_unclear(text):
                return f"turn {number}: replacement characters or mojibake"
    return None


def not_english(dialogue: Dialogue) -> str | None:
    """The text is in Latin script, with English function words."""
    text = " ".join(f"{turn.human_text} {turn.assistant}" for turn in dialogue.turns)
    return reason_not_english(text, LATIN_SHARE_MIN, ENGLISH_SHARE_MIN)


def outside_mmdu(dialogue: Dialogue) -> str | None:
    """Images, turns and lengths stay within the limits of the recipe `mmdu`."""
    images, turns = len(dialogue.images), len(dialogue.turns)
    if not MMDU.images_min <= images <= MMDU.images_max:
        return f"{images} images, expected {MMDU.images_min} to {MMDU.images_max}"
    if not MMDU.turns_min <= turns <= MMDU.turns_max:
        return f"{turns} turns, expected {MMDU.turns_min} to {MMDU.turns_max}"
    answers = [len(answer.split()) for answer in dialogue.references]
    total = sum(answers) + sum(len(turn.human_text.split()) for turn in dialogue.turns)
    if not ANSWER_MIN_WORDS <= min(answers) <= max(answers) <= MMDU.answer_words_max:
        least, most = min(answers), max(answers)
        return f"answers of {least} to {most} words, expected {ANSWER_MIN_WORDS} to {MMDU.answer_words_max}"
    return None if total <= MMDU.words_max else f"{total} words, expected at most {MMDU.words_max}"


Check = Callable[[Dialogue], str | None]
MODES = ("drop", "count", "off")
# Each rule with the section of the paper it is from, and what is done with a dialogue that violates it.
RULES: tuple[tuple[Check, str, str], ...] = (
    (wrong_number_of_images, "section 3.1 and appendix B: 1 to 4 images", "drop"),
    (wrong_number_of_turns, "section 1: four and eight rounds", "drop"),
    (too_few_turns, "figure 7, rule 1: at least eight rounds", "off"),
    (answer_omits_image, "figure 7, rule 4: answers cover all images", "drop"),
    (answer_omits_mentioned_image, "figure 7, rule 4: answers cover all images", "count"),
    (image_spoken_of_too_early, "figure 7, rules 2 and 3: order of introduction", "drop"),
    (refusal, "section 3.2: formatting errors", "drop"),
    (answer_in_list_form, "figure 7, rule 4: no list form", "drop"),
    (bad_length, "table 1: lengths", "drop"),
    (repetition, "figure 7, rule 4: no unnecessary repetition", "drop"),
    (unclear_text, "section 3.2: unclear text", "drop"),
    (not_english, "section 3.2: unclear text", "drop"),
    (outside_mmdu, "MMDU (arXiv 2406.11833): 2 to 20 images, up to 27 turns", "off"),
)
PAPER: Mapping[str, str] = {rule.__name__: mode for rule, _, mode in RULES}


_ONLY_MMCR = ("wrong_number_of_images", "wrong_number_of_turns", "bad_length")
MODES_OF: Mapping[RecipeName, Mapping[str, str]] = {
    "mmcr": PAPER,
    "mmdu": {**PAPER, **dict.fromkeys(_ONLY_MMCR, "off"), "outside_mmdu": "drop"},
}


def read_modes(settings: Sequence[str], recipe: RecipeName = "mmcr") -> dict[str, str]:
    """What is done by each rule, the recipe's default with changes.

    Args:
        settings: changes in the form `NAME=drop`, `NAME=count` or `NAME=off`.
        recipe: whose limits hold.

    Raises:
        ValueError: a change has another form.
    """
    modes = dict(MODES_OF[recipe])
    for setting in settings:
        name, _, mode = setting.partition("=")
        if name not in PAPER or mode not in MODES:
            raise ValueError(
                f"--rule {setting}: expected NAME=drop, NAME=count or NAME=off with one of {', '.join(PAPER)}"
            )
        modes[name] = mode
    return modes


def reason_to_drop(dialogue: Dialogue, modes: Mapping[str, str] = PAPER) -> tuple[str, str] | None:
    """Name and detail of the first rule with the mode `drop` that a dialogue violates, None if it passes all."""
    return next(_violated(dialogue, modes, "drop"), None)


def violated_but_kept(dialogue: Dialogue, modes: Mapping[str, str] = PAPER) -> list[str]:
    """Names of the rules with the mode `count` that a dialogue violates."""
    return [name for name, _ in _violated(dialogue, modes, "count")]


def _violated(dialogue: Dialogue, modes: Mapping[str, str], mode: str) -> Iterator[tuple[str, str]]:
    for rule, _, _ in RULES:
        if modes[rule.__name__] == mode and (detail := rule(dialogue)) is not None:
            yield rule.__name__, detail
