"""Replies that say that there is no such thing, which is the right answer to a question about what is not there.

A reply that can't see or can't tell is no such reply.
"""

from __future__ import annotations

import functools
import re

from mmcr_bench.exact.scene import DOMAINS

_NO_DENIAL = r"(?! (?:other|others|doubt|more|need|question|way|difference|change|access|text|label|problem)\b)"
_UNSEEN = r"(?:(?:the|any|an|your|this|that|these|those) )?(?:images?|pictures?|photos? you|access|enough|information)"
_NAMED_AFTER = (  # what is not there is named after these words
    r"\bno such\b",
    rf"\bthere (?:is|are|was|were) (?:[a-z]+ )?(?:no|none|nothing|not (?:a|an|any|one)){_NO_DENIAL}\b",
    rf"\b(?:does|do|did) not (?:[a-z]+ )?(?:contain|have|show|include|see|find) (?!{_UNSEEN}\b)",
    r"\b(?:can|could) not (?:see|find|locate|identify) (?:any |an? |such |that |one\b|it\b)(?!images?\b|pictures?\b)",
    r"\bnon-?existent\b",
    r"\bnothing (?:there|at|in|is|has|like|of that)\b",
    r"\bnone (?:is|are|of)\b",
    r"\bunanswerable\b|\bfalse premise\b|\bpresuppos|\bnot applicable\b|\bn/a\b|\bno (?:valid |possible )?answer\b",
    r"\b(?:question|it|that|this) can not be answered",
    r"\b(?:no|not|nothing|nobody|no-?one)\b[^.!?\n]{0,40}\b(?:called|named|known as|(?:that|the) name)\b",
)
_NAMED_BEFORE = (
    r"\b(?:does|do|did) not (?:[a-z]+ )?(?:exist|appear|occur)\b",
    r"\bnot (?:present|there|found|visible|in image|in the image|in it|exist|defined|assigned)\b",
    r"\b(?:is|are) (?:absent|missing|empty|undefined)\b",
    r"\b(?:stands for|refers to|means) nothing\b",
    r"\bno longer (?:refers?|stands?|exists?|means|names|has|used|assigned|valid|defined|in use)\b",
    r"\bname\b[^.!?\n]{0,40}\b(?:dropped|forgotten|removed|taken away|gone)\b",
    r"\b(?:have|has|had|was|were) (?:been )?forgotten\b|\bforget the name\b|\b(?:no longer|do not) know (?:who|what)\b",
    r"\bnot been (?:named|defined|assigned|given)\b",
)
_IS_NOT_THERE = re.compile("|".join(_NAMED_BEFORE))
_NOTHING = re.compile(r"\W{0,5}(?:none|nothing|n/?a|null|nil|nobody|no one|no-one|does not exist|not there)\W{0,5}")


def find_denial(text: str, domain_name: str) -> int | None:
    """Where a reply says that there is no such thing; None if it doesn't.

    Args:
        text: plain text in lower case.
        domain_name: shapes, sheets, numerals or charts.
    """
    if _NOTHING.fullmatch(text):
        return 0
    named_after = _nothing_there(domain_name).search(text)
    found = [] if named_after is None else [named_after.start()]
    named_before = _IS_NOT_THERE.search(text)
    if named_before is not None:
        found.append(max(text.rfind(end, 0, named_before.start()) for end in (". ", "! ", "? ", "\n")) + 1)
    return min(found, default=None)


@functools.cache
def _nothing_there(domain_name: str) -> re.Pattern[str]:
    domain = DOMAINS[domain_name]
    singulars = (words for attribute in domain.attributes for words in attribute.singulars)
    things = "|".join(dict.fromkeys((domain.noun, "object", "item", "thing", *singulars)))
    return re.compile("|".join((*_NAMED_AFTER, rf"\bno (?:[a-z]+ ){{0,2}}(?:{things})\b")))
