"""Prompts of VLMEvalKit's Ovis2 adapter by model size: the rules `vlmevalkit@2025-03`, which the paper used.

Without a size the rules are those of 1B and 4B. Larger models get a chain-of-thought prompt on some benchmarks; of
their replies only the text after "the answer is" is parsed.

Source: VLMEvalKit vlm/ovis/ovis.py, class Ovis2 (February 2025)
"""

from __future__ import annotations

PAPER_RULES = "vlmevalkit@2025-03"
OVIS2_RULES = (PAPER_RULES, *(f"{PAPER_RULES}:{size}" for size in ("2B", "8B", "34B")))  # 16B uses the prompts of 8B
_WITH_REASONS = {
    "mmstar": ("2B", "8B", "34B"),
    "mmvet": ("2B", "8B", "34B"),
    "mmmu": ("8B", "34B"),
    "mathvista": ("8B", "34B"),
}
_ENDS_IN = "the answer is"
STEP_BY_STEP = (
    "\nProvide a step-by-step solution to the problem, "
    "and conclude with 'the answer is' followed by the final solution."
)
CAREFULLY = "\nProvide a step-by-step solution to the problem carefully."
YES_OR_NO = " Please answer yes or no."


def asks_for_reasons(task: str, rules: str) -> bool:
    """True if a model of this size gets a chain-of-thought prompt on this benchmark."""
    return rules.rpartition(":")[2] in _WITH_REASONS.get(task, ())


def final_answer(reply: str, task: str, rules: str) -> str:
    """The text after "the answer is" in a chain-of-thought reply; else the whole reply.

    Example: `final_answer("2 + 2, so the answer is: B", "mmstar", "vlmevalkit@2025-03:8B")` -> `"B"`
    """
    place = reply.lower().find(_ENDS_IN) if asks_for_reasons(task, rules) else -1
    return reply if place < 0 else reply[place + len(_ENDS_IN) :].lstrip(":").strip()
