"""Where the answers are in a rendered dialogue, with any chat template that renders turn by turn.

An answer begins where the template's generation prompt ends, so that what is trained is what is asked, and ends
with the token that ends its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmcr_dataset.record.messages import to_message

Render = Callable[[Sequence[Mapping[str, Any]], bool], str]  # (messages, with generation prompt) -> text

_MARK = "zqAnswerqz"  # an answer that is in no template


class NotTurnByTurn(ValueError):
    """The template renders a dialogue differently when it goes on, or rewrites its answers."""


def find_answers(
    render: Render, messages: Sequence[Mapping[str, Any]], trained: Sequence[bool], ends: Sequence[str]
) -> tuple[str, list[tuple[int, int]]]:
    """The text of a dialogue, and start and end (exclusive) of each trained answer with the token that ends it.

    Args:
        render: renders messages with the template.
        messages: all messages; an assistant message has one text block.
        trained: for each assistant message, whether its answer is trained.
        ends: special tokens, of which the first after an answer ends it; without one, all that the template adds.

    Raises:
        NotTurnByTurn: a trained answer isn't the continuation of what is asked.
    """
    text, spans, number = render(messages, False), [], 0
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        number += 1
        if not trained[number - 1]:
            continue
        asked = render(messages[:place], True)
        marked = render([*messages[:place], to_message("assistant", _MARK)], False)
        if not (text.startswith(asked) and marked.startswith(asked)):
            raise NotTurnByTurn(f"what is asked in turn {number} is not the beginning of the whole dialogue's text")
        lead, mark, rest = marked[len(asked) :].partition(_MARK)
        if "'type': 'text'" in lead:
            raise NotTurnByTurn("an answer that is a list of blocks is shown as the list")
        end = min((at + len(token) for token in ends if (at := rest.find(token)) >= 0), default=len(rest))
        answer = message["content"][0]["text"]
        forms = (answer, answer.strip(), answer.lstrip(), answer.rstrip())  # many templates strip
        written = next((form for form in forms if mark and text.startswith(lead + form + rest[:end], len(asked))), None)
        if written is None:
            raise NotTurnByTurn(f"the answer of turn {number} is rewritten when the dialogue goes on")
        spans.append((len(asked), len(asked) + len(lead) + len(written) + end))
    return text, spans
