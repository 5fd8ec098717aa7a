"""The tables of a check: questions, guesses and facts by operator; distances, image ages, answers, pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.views import VIEWS
from mmcr_bench.exact.wording import REFUSAL
from mmcr_dataset.publish.markdown_table import to_table

Line = Mapping[str, Any]


def show_tables(lines: Sequence[Line], asked: Sequence[Line]) -> str:
    """All tables as Markdown.

    Args:
        lines: the lines of all rows.
        asked: the lines whose questions are described, the linked dialogues'.
    """
    questions = [question for line in asked for question in line["turns"]]
    referring = [question for question in questions if question["facts"]["distance_turns"] > 0]
    parts = [
        _show_operators(questions),
        f"all referring questions: {_show_means(referring)}",
        f"questions about an older image: {_show_means([one for one in questions if one['facts']['image_age']])}",
        "distance in turns: " + _show_counts(question["facts"]["distance_turns"] for question in referring),
        "distance in images: " + _show_counts(question["facts"]["distance_images"] for question in referring),
        "age of the image: "
        + _show_counts(one["facts"]["image_age"] for one in questions if "image" in one["facts"]["needs"]),
        "hops: " + _show_counts(question["facts"]["hops"] for question in questions),
        _show_answers(questions),
        _show_pairs(lines),
    ]
    return "\n\n".join(parts)


def _show_operators(questions: Sequence[Line]) -> str:
    by_op: defaultdict[str, list[Line]] = defaultdict(list)
    for question in questions:
        by_op[question["op"]].append(question)
    rows = []
    for op in OPERATORS:
        if op in by_op:
            these = by_op[op]
            needs = Counter(need for one in these for need in one["facts"]["needs"])
            shares = [f"{needs[need] / len(these):.2f}" for need in ("user", "own", "image")]
            facts = [
                f"{fmean(one['facts'][fact] for one in these):.2f}" for fact in ("distance_turns", "image_age", "hops")
            ]
            rows.append([op, str(len(these)), *_means(these), *shares, *facts])
    header = ["operator", "n", *VIEWS, "user", "own", "image", "distance", "age", "hops"]
    return to_table(header, rows, right=range(1, len(header)))


def _means(questions: Sequence[Line]) -> list[str]:
    return [
        f"{fmean(one['guesses'][view] for one in questions):.2f}" if all(one["guesses"] for one in questions) else "-"
        for view in VIEWS
    ]


def _show_means(questions: Sequence[Line]) -> str:
    if not questions:
        return "none"
    return ", ".join(f"{view} {mean}" for view, mean in zip(VIEWS, _means(questions), strict=True))


def _show_counts(values: Iterable[int]) -> str:
    return ", ".join(f"{value}: {count}" for value, count in sorted(Counter(values).items()))


def _show_answers(questions: Sequence[Line]) -> str:
    by_type: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for question in questions:
        by_type[question["type"]][question["answer"]] += 1
    return "\n".join(
        f"answers, {type_}: "
        + ", ".join(f"{'refusal' if value == REFUSAL else value}: {count}" for value, count in sorted(counts.items()))
        for type_, counts in sorted(by_type.items())
    )


def _show_pairs(lines: Sequence[Line]) -> str:
    roles = Counter(line["role"] for line in lines)
    return "rows: " + ", ".join(f"{count} {role}" for role, count in sorted(roles.items()))
