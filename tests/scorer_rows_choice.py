"""Further scorers of lmms-eval and VLMEvalKit beside ours, for `tests.scorer_table`: letters, groups, mathematics."""

from __future__ import annotations

import ast
import string
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from eval_tasks.readers.judged_rows import plain_points
from eval_tasks.readers.lmms_letters import read_marked_letter
from eval_tasks.readers.mmmu_answer import read_choice
from eval_tasks.task import Scored
from eval_tasks.tasks import mmbench, topviewrs
from tests.peer_functions import OPTIONS, Row, functions_of

RULES = "vlmevalkit@2026-06"
NEVER = type("Never", (), {"choice": staticmethod(lambda choices: None)})


def letter_row(task: str, path: Path, peer: str, ours: Callable[[str], object]) -> Row:
    """MMMU's parser of a letter as it stands in a file; where it guesses at random, nothing is read."""
    choose = functions_of(path, ["parse_multi_choice_response"], random=NEVER)["parse_multi_choice_response"]
    return Row(task, peer, ours, lambda reply: choose(reply, list(OPTIONS), OPTIONS))


def choice_lmms_rows(root: Path) -> Iterator[Row]:
    """Scorers of lmms-eval: Q-Bench2, MMBench."""
    tasks = root / "lmms_eval" / "tasks"
    yield letter_row(
        "qbench2", tasks / "qbench" / "utils.py", "qbench/utils.py", lambda reply: read_choice(reply, OPTIONS)
    )
    said = type("Log", (), {"info": staticmethod(lambda text: None)})
    path = tasks / "mmbench" / "mmbench_evals.py"
    bench = functions_of(path, ["MMBench_Evaluator"], eval_logger=said)["MMBench_Evaluator"]()
    yield Row(
        "mmbench, lmms-eval@0.7",
        "mmbench_evals.py",
        lambda reply: read_marked_letter(reply, OPTIONS) or False,
        lambda reply: bench.can_infer(reply, dict(OPTIONS)),
    )


def choice_vlm_rows(root: Path) -> Iterator[Row]:
    """Scorers of VLMEvalKit: whole groups of rotations, TopViewRS; need pandas."""
    import pandas

    names = ["build_choices", "prefetch_answer", "prefetch_circular_group", "eval_vanilla", "extract_answer_from_item"]
    given = {
        "can_infer": _can_infer(root),
        "pd": pandas,
        "cn_string": lambda text: False,
        "build_prompt": lambda *texts: "",
    }
    peer = functions_of(
        root / "vlmeval" / "dataset" / "utils" / "multiple_choice.py",
        names,
        build_option_str=lambda choices: "",
        string=string,
        **given,
    )

    def whole(reply: str) -> bool:
        found = peer["prefetch_circular_group"](pandas.DataFrame([{"GT": gold, **one} for gold, one in turned(reply)]))
        return bool(found and found["hit"])

    yield Row("mmbench, ccbench: whole groups", "multiple_choice.py circular", whole_group, whole)
    yield from _top_view_rows(root / "vlmeval" / "dataset" / "image_mcq.py", peer["eval_vanilla"])


def _can_infer(root: Path) -> Any:
    names = ["can_infer", "can_infer_option", "can_infer_text", "_VERBOSE_ANSWER_RE"]
    return functions_of(root / "vlmeval" / "utils" / "matching_util.py", names)["can_infer"]


def turned(reply: str) -> list[tuple[str, dict[str, str]]]:
    """The golds and rows of two rotations, to which the reply and a turned one are given."""
    texts = list(OPTIONS.values())
    second = dict(zip(OPTIONS, texts[1:] + texts[:1], strict=True))
    said = reply.replace("B", "A") if len(reply) % 2 else reply
    return [("B", {**OPTIONS, "prediction": reply}), ("A", {**second, "prediction": said})]


def whole_group(reply: str) -> bool:
    """Whether MMBench counts both rotations as right."""
    scored = []
    for number, (gold, row) in enumerate(turned(reply)):
        cells = {"index": 7 + 1_000_000 * number, "question": "?", "answer": gold, **row}
        sample = mmbench.ROWS.to_sample(cells, RULES, number)
        scored.append(mmbench.TASK.scored(Scored(sample, (row["prediction"],)), RULES))
    return mmbench.TASK.totals(scored, RULES)["accuracy"].value == 100.0


def _top_view_rows(path: Path, evaluate: Any) -> Iterator[Row]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inner = [node for node in found if node.name in ("extract_letter", "partial_match_score")]
    known: dict[str, Any] = {}
    exec(compile(ast.Module(inner, type_ignores=[]), str(path), "exec"), known)
    row = {"index": 1, "question": "?", "answer": "B", **OPTIONS}
    sample = topviewrs.ROWS.to_sample(row, RULES, 0)

    def theirs(reply: str, name: str) -> float:
        line = {**row, "GT": "B", "prediction": reply}
        line |= evaluate(None, line)
        return float(line["hit"] if name == "accuracy" else known["partial_match_score"](line))

    for name in ("accuracy", "partial match"):
        yield Row(
            f"topviewrs, {name}",
            "image_mcq.py TopViewRS",
            lambda reply, name=name: topviewrs.ROWS.score(sample, [reply], RULES, None)[name] or 0.0,  # type: ignore[misc]
            lambda reply, name=name: theirs(reply, name),  # type: ignore[misc]
            "there the last word of the reply is taken as the letter" if name != "accuracy" else "",
        )


def vision_vlm_rows(root: Path) -> Iterator[Row]:
    """VLMEvalKit's MathVision: what rules decide before a chat model is asked; needs latex2sympy2."""
    from latex2sympy2 import latex2sympy

    at_once = type("Timeout", (), {"timeout": staticmethod(lambda *a, **k: lambda function: function)})
    names = ["post_check", "list_to_dict", "is_equal"]
    path = root / "vlmeval" / "dataset" / "utils" / "mathv.py"
    given = {"can_infer": _can_infer(root), "latex2sympy": latex2sympy, "timeout_decorator": at_once}
    check = functions_of(path, names, **given)["post_check"]
    for gold, options in (("B", list(OPTIONS.values())), ("12", [])):
        line = {"answer": gold, "choices": repr(options)}

        @cache
        def theirs(reply: str, line: tuple[tuple[str, str], ...] = tuple(line.items())) -> float | None:
            found = check({**dict(line), "prediction": reply}, prefetch=True)
            return float(check({**dict(line), "res": str(found)})) if found else None

        yield Row(
            f"mathvision, VLMEvalKit's, gold {gold}",
            "mathv.py post_check",
            lambda reply, golds=[gold, *options]: plain_points(reply, golds),  # type: ignore[misc]
            theirs,
            "a letter in lower case is read" if options else "there `a` names the gold, and (12) is evaluated",
        )
