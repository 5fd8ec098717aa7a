"""MATH-Vision: problems of mathematics competitions, of sixteen subjects and five levels.

Source: Hub MathLLMs/MathVision (split test), or VLMEvalKit's MathVision.tsv and MathVision_MINI.tsv
Licence: MIT · Rows: 3040
Metric: accuracy, and by subject · Paper: arXiv 2402.14804

Columns and prompt: lmms-eval mathvision/utils.py (0.7.2). VLMEvalKit reads a letter or an equal answer by rules and
lets a chat model extract the rest; lmms-eval compares by LaTeX, or asks a chat model. Here rules decide a plain answer
or letter, and --judge the rest; without a judge a formula written otherwise than the gold is wrong. VLMEvalKit's rules
evaluate the reply as Python beside a variable `a` that holds the gold, so that `A` is right for every number there; it
leaves a letter in lower case to the chat model. MATH-V's own evaluate.py reads a letter only in a box, after
`answer is`, or at an end of the reply, and formulas by their value.
"""

from __future__ import annotations

from string import ascii_uppercase

from eval_tasks.readers.judged_rows import JudgedRows, plain_points
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.table_files import to_texts
from eval_tasks.task import Row

STEPS = 'Please solve the problem step by step and put your answer in one "\\boxed{}".'
CLOSING = "Answer the question with the option's letter from the given choices directly."


def options_of(row: Row) -> list[str]:
    """The options: `options` on the Hub, `choices` in the table; none for a free answer."""
    return to_texts(row.get("options", row.get("choices")), "MathVision options")


def ask(row: Row, question: str) -> str:
    """The question in lmms-eval's words, with its options."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options_of(row), strict=False))
    return f"{STEPS}{question}\nChoices: {listed}\n{CLOSING}" if listed else STEPS + question


def with_options(row: Row, place: str) -> Row:
    """The row; of multiple choice the gold answers are the letter and the options."""
    row = {**row, "image": row["decoded_image"]} if "decoded_image" in row else row
    is_new = row.get("answer") is not None and not isinstance(row["answer"], list)
    return {**row, "answer": [str(row["answer"]), *options]} if is_new and (options := options_of(row)) else row


HUB = HubRows("MathLLMs/MathVision", "test", columns=(("category", "subject"),))
ROWS = JudgedRows(
    HUB, "MathVision", plain_points, "accuracy", "", question=ask, rules=("lmms-eval@0.7",), change=with_options
)
TASK = ROWS.task("mathvision", __doc__)
