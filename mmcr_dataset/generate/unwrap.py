"""Strip what models write around a dialogue: thinking, code fences, end tokens, remarks. Pure functions.

Each kind that is stripped has a name, for counting.
"""

from __future__ import annotations

import re

SPEAKER = re.compile(
    r"^[ \t]*+(?:[*#>]++[ \t]*+)?<[ \t\xa0]*(human|assistant)[ \t\xa0]*(\d+)[ \t\xa0]*>[ \t*]*:?[ \t*]*", re.I | re.M
)
_FIRST = re.compile(r"<[ \t\xa0]*human[ \t\xa0]*1[ \t\xa0]*>", re.I)
_INVISIBLE = re.compile(r"^[\ufeff\u200b\u2060]+", re.M)

_THOUGHT_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning|reflection)>|◁/think▷|\[/THINK\]", re.I)
_THOUGHT = re.compile(
    r"<(think|thinking|thought|reasoning|reflection)>[^<]*+(?:<(?!/?\1>)[^<]*+)*+</\1>|◁think▷[^◁]*+◁/think▷", re.I
)
_THOUGHT_BEGINS = re.compile(r"\s*(?:<(?:think|thinking|thought|reasoning|reflection)>|◁think▷|\[THINK\])", re.I)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^`\n]*$", re.M)
_END_TOKEN = re.compile(
    r"(?P<known><[|｜](?:im_end|endoftext|end_of_text|eot_id|eom_id|end|eot|return|end[_▁]of[_▁](?:sentence|turn|text))[|｜]>"
    r"|</s>|<(?:end_of_turn|eos|end_of_utterance)>|\[EOS\]"
    r"|^[ \t]*</(?:answer|output|dialogue|dialog|conversation|response|result|final|text)>)"
    r"|(?P<next><[|｜](?:im_start|user|start_header_id|start)[|｜]>|<start_of_turn>|\[/?INST\])"
    r"|<[|｜][\w▁]{1,40}[|｜]>|<pad>|\[PAD\]",
    re.I | re.M,
)
_MAY_END = re.compile(r"<[|｜/eps]|\[[/eip]", re.I)  # how all of these begin: found in a fifth of the time
_RULE = re.compile(r"^[ \t]*(?:[-*_=—][ \t]*){3,}$", re.M)
_NOTES = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]*|\*\*)(?:notes?|explanations?|summary|remarks?|comments?|key points)\b[^\n]{0,40}$",
    re.I | re.M,
)
_REMARK = re.compile(
    r"[\W_]*(?:$|(?:please )?let me know\b|(?:i )?hope (?:this|that|these|it|you)\b|(?:please )?feel free\b"
    r"|if you(?:['’]d| would| want| need)\b.{0,80}\b(?:more|another|different|adjust|change|further|other)"
    r"|would you like (?:me|another|more)\b|\(?end of (?:the |this )?(?:conversation|dialogue|dialog|chat)|end\W*$"
    r"|as (?:you )?requested\b"
    r"|(?:i|we)(?:['’]ve| have) (?:made|written|created|generated|included|ensured|kept|tried)\b"
    r"|(?:word|token|turn|image)s? ?count\b|total (?:turns|rounds|words|images)\b"
    r"|(?:ich hoffe|lass mich wissen|espero que|j['’]espère|n['’]hésitez|希望|如果[你您])"
    r"|(?:please )?(?:notes?|explanation|remarks?|disclaimer)\b[^\n]{0,20}:"
    r"|(?:this|the) (?:above )?(?:conversation|dialogue|dialog) "
    r"|(?:conversation|dialogue) (?:ends|complete))",
    re.I,
)


def unwrap(reply: str) -> tuple[str, tuple[str, ...]]:
    r"""The dialogue in a reply, and the names of what was stripped around it.

    Example: "```\n< Human 1 >: Hi\n< Assistant 1 >: Ho.\n```" -> ("< Human 1 >: Hi\n< Assistant 1 >: Ho.", ("fence",))

    A reply without a dialogue comes back as it is, or empty where all of it is thinking.
    """
    text, stripped = _after_thinking(reply if reply.isascii() else _INVISIBLE.sub("", reply))
    first, inline = SPEAKER.search(text), _FIRST.search(text)
    if inline and (first is None or inline.start() < first.start()) and not _is_first(first):
        opening, rest = text[: inline.start()], text[inline.start() :]  # a fence or a tag on its line
        text = f"{opening}\n{rest.rstrip().removesuffix(_closing_of(opening))}"
        first = SPEAKER.search(text)
    if first is None:
        return text, stripped
    if re.search(r"\w", _FENCE.sub("", text[: first.start()])):
        stripped = (*stripped, "opening_remark")
    body = text[first.start() :]
    steps = (("fence", _before_fence), ("end_token", _without_end_tokens), ("closing_remark", _before_remark))
    before = None
    while body != before:  # what one step strips can bare more for another
        before = body
        for name, strip in steps:
            shorter = strip(body)
            if shorter != body and name not in stripped:
                stripped = (*stripped, name)
            body = shorter
    return body, stripped


def _is_first(speaker: re.Match[str] | None) -> bool:
    return speaker is not None and (speaker[1].lower(), int(speaker[2])) == ("human", 1)


def _closing_of(opening: str) -> str:
    """What closes a wrapper that stands right before the dialogue."""
    tag = re.search(r"<(\w+)>$", opening)
    return f"</{tag[1]}>" if tag else {"{": "}", "`": "```", "~": "~~~", '"': '"'}.get(opening[-1:], "")


def _after_thinking(reply: str) -> tuple[str, tuple[str, ...]]:
    """The reply without what a reasoning model thinks before it answers, or between its answers."""
    bare = _THOUGHT.sub(lambda thought: thought[0] if SPEAKER.search(thought[0]) else "", reply)
    if bare != reply:
        body, names = _after_thinking(bare)
        return body.lstrip(), names or ("thinking",)
    ends = [match.end() for match in _THOUGHT_ENDS.finditer(reply)]
    begins = _THOUGHT_BEGINS.match(reply) is not None
    if ends and (begins or SPEAKER.search(reply, ends[-1])):
        return reply[ends[-1] :].lstrip(), ("thinking",)
    return ("", ("thinking",)) if begins else (reply, ())


def _before_fence(body: str) -> str:
    """Up to the fence that closes one opened before the dialogue: an odd one; pairs belong to the dialogue."""
    fences = list(_FENCE.finditer(body))
    return body[: fences[-1].start()].rstrip() if len(fences) % 2 else body


def _without_end_tokens(body: str) -> str:
    """End tokens at the end of each text, and what a model went on to write behind the one of the last text."""
    texts = _split(body)
    for place, text in enumerate(texts):
        is_last = place == len(texts) - 1
        for found in _END_TOKEN.finditer(text) if _MAY_END.search(text) else ():
            rest = _END_TOKEN.sub("", text[found.end() :])
            goes_on = found["next"] or (found["known"] and rest.startswith(("\n", "<|", "<start_of_turn>")))
            if not rest.strip() or (is_last and goes_on):
                texts[place] = text[: found.start()].rstrip() + ("" if is_last else "\n")
                break
    return "".join(texts)


def _before_remark(body: str) -> str:
    """Without rules between the rounds, and without a closing remark behind the last answer."""
    texts = _split(body)
    for place, text in enumerate(texts[:-1]):
        bare = text.rstrip()
        if (rules := list(_RULE.finditer(bare))) and rules[-1].end() == len(bare):
            texts[place] = bare[: rules[-1].start()].rstrip() + "\n"
    last = texts[-1]
    ends = sorted((match.start(), match) for cut in (_RULE, _NOTES) for match in cut.finditer(last))
    rule = next((match for place, match in ends if _says(last[:place])), None)
    last = last[: rule.start()].rstrip() if rule else last
    while True:
        before, line, remark = last.rstrip().rpartition("\n")
        if not line or not _REMARK.match(remark) or not _says(before):
            break
        last = before.rstrip()
    return "".join([*texts[:-1], last])


def _split(body: str) -> list[str]:
    """The blocks of all speakers, each with its `< Human n >:`."""
    starts = [match.start() for match in SPEAKER.finditer(body)]
    return [body[start:end] for start, end in zip(starts, [*starts[1:], len(body)], strict=True)]


def _says(block: str) -> bool:
    """True if something is left of a speaker's block."""
    return bool(SPEAKER.sub("", block, count=1).strip())
