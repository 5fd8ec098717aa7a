"""Scorers in the own repositories of benchmarks beside ours, for `tests.scorer_table`."""

from __future__ import annotations

import ast
import contextlib
import io
import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from eval_tasks.readers.judged_rows import plain_points
from eval_tasks.readers.math_answer import normal_answer
from eval_tasks.readers.mmmu_answer import is_open_right, read_open
from eval_tasks.readers.multiple_choice import read_letter, read_official
from eval_tasks.tasks import mirb, mm_niah, mmmu, muirbench, reason_rft, visual_haystacks
from tests.peer_functions import OPTIONS, Row, functions_of
from tests.scorer_rows import names_in, points_of
from tests.scorer_rows_choice import letter_row

BOXES = (("{B}", "\\boxed{B}"), ("$C$", "\\boxed{C}"), ("12.0", "\\boxed{12}"), ("3.68", "\\boxed{\\frac{24}{2}}"))
STEPS = (("(A)", "change_size(1, large)"), ("12", "change_color(o2,'red')"), ("no", "change_shape(1, large)"))
STEPS += (("the", "change_color(3, blue)"),)
TAGS = (("is", "<answer>"), ("a ", "</answer>"))


def replaced(reply: str, pairs: Sequence[tuple[str, str]]) -> str:
    """A reply with pieces that stand for the benchmark's own forms."""
    for piece, form in pairs:
        reply = reply.replace(piece, form)
    return reply


def mmmu_rows(root: Path) -> Iterator[Row]:
    """MMMU's own evaluation, rules `official`."""
    path = root / "mmmu" / "utils" / "eval_utils.py"
    row = {"question": "?", "answer": "B", "options": list(OPTIONS.values()), "question_type": "multiple-choice"}
    sample = mmmu.to_sample(row, "official", 0)
    yield letter_row(
        "mmmu, official", path, "MMMU eval_utils.py", lambda reply: mmmu.read(sample, [reply], "official", None)
    )
    names = ["eval_open", "parse_open_response", "normalize_str", "extract_numbers", "check_is_number"]
    open_ = functions_of(path, names)
    for gold in ("12", "red car"):
        yield Row(
            f"mmmu, official, open, gold {gold}",
            "MMMU eval_utils.py",
            lambda reply, gold=gold: bool(is_open_right(read_open(reply), [gold])),  # type: ignore[misc]
            lambda reply, gold=gold: open_["eval_open"](gold, open_["parse_open_response"](reply)),  # type: ignore[misc]
        )


def muir_rows(root: Path) -> Iterator[Row]:
    """MuirBench's own script, rules `official`."""
    row = {"question": "?", "answer": "B", "options": list(OPTIONS.values())}
    sample = muirbench.ROWS.to_sample(row, muirbench.OFFICIAL, 0)
    yield letter_row(
        "muirbench, official",
        root / "eval" / "utils" / "postprocess.py",
        "MuirBench postprocess.py",
        lambda reply: muirbench.ROWS.read(sample, [reply], muirbench.OFFICIAL, None),
    )


def blink_rows(root: Path) -> Iterator[Row]:
    """BLINK's own rules; None where it asks a chat model."""
    path = root / "eval" / "test_benchmark.py"
    peer = functions_of(path, ["analyze_answer"], match_multiple_choice=lambda *texts: "")["analyze_answer"]
    doc = {"question": "?", "choices": list(OPTIONS.values())}
    named = [f"({letter})" for letter in OPTIONS]
    yield Row(
        "blink, own",
        "BLINK test_benchmark.py",
        lambda reply: read_letter(reply, OPTIONS, "vlmevalkit@2026-06"),
        lambda reply: (peer(doc, reply, named) or "").strip("()") or None,
        "here VLMEvalKit's rules, there (B) as a word or a bare letter, else a chat model",
    )


def mmstar_rows(root: Path) -> Iterator[Row]:
    """MMStar's own evaluation, rules `official`."""
    path = root / "eval" / "vlmeval" / "evaluate" / "mmstar.py"
    loop = next(node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Try))
    code = compile(ast.Module([loop], type_ignores=[]), str(path), "exec")

    def theirs(reply: str) -> bool:
        points = {"c": {"l": 0}}
        known = {"predict": reply.lower().strip().replace("\n", " "), "answer": "b", "MMStar_score_l2": points}
        exec(code, {**known, "category": "c", "l2_category": "l"})
        return points["c"]["l"] > 0

    yield Row("mmstar, official", "MMStar mmstar.py", lambda reply: read_official(reply) == "B", theirs)


def llava_rows(root: Path) -> Iterator[Row]:
    """LLaVA's evaluation of ScienceQA, rules `llava`."""
    path = root / "llava" / "eval" / "eval_science_qa.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    read = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "pred_text in args.options" in ast.unparse(node.test)
    )
    code = compile(ast.Module([read], type_ignores=[]), str(path), "exec")

    def theirs(reply: str) -> bool:
        known: dict[str, Any] = {"pred_text": reply, "re": re, "args": type("Args", (), {"options": list("ABCDE")})}
        exec(code, known)
        return bool(known["answer"] == "B")

    yield Row(
        "scienceqa, llava",
        "LLaVA eval_science_qa.py",
        lambda reply: read_letter(reply, OPTIONS, "llava") == "B",
        theirs,
    )


def haystack_rows(root: Path) -> Iterator[Row]:
    """VisualHaystacks' own run_eval; needs nltk with its data punkt_tab."""
    import nltk

    lines = [
        node
        for node in ast.walk(ast.parse((root / "utils.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.If)
    ]
    test = next(node.test for node in lines if ast.unparse(node.test).startswith("gt in nltk.word_tokenize"))
    code = compile(ast.Expression(test), "vhs_benchmark utils.py", "eval")
    for gold in ("yes", "no"):
        row = {"question": "?", "answer": gold}
        (rules,) = visual_haystacks.TASK.rules
        ours = points_of(visual_haystacks.ROWS, row, rules)
        yield Row(
            f"visual_haystacks, gold {gold}",
            "vhs_benchmark utils.py",
            lambda reply, ours=ours: ours(reply) == 1.0,  # type: ignore[misc]
            lambda reply, gold=gold: bool(eval(code, {"nltk": nltk, "gt": gold, "pred": reply})),  # type: ignore[misc]
            "there any word of the reply that is the gold, both included, and no word in `.yes`",
        )


def vision_rows(root: Path) -> Iterator[Row]:
    """MATH-V's own evaluate.py; needs latex2sympy2."""
    for gold, options in (("B", list(OPTIONS.values())), ("12", [])):
        yield Row(
            f"mathvision, gold {gold}",
            "MATH-V evaluate.py",
            lambda reply, golds=[gold, *options]: plain_points(replaced(reply, BOXES), golds) == 1.0,  # type: ignore[misc]
            _vision_points(root / "evaluation", gold, options),
            "here a letter anywhere is read as VLMEvalKit does; there LaTeX is compared by value, here by the judge",
        )


def _vision_points(folder: Path, gold: str, options: list[str]) -> Callable[[str], bool]:
    from latex2sympy2 import latex2sympy

    path = folder / "utils.py"
    utils = functions_of(path, names_in(path), latex2sympy=latex2sympy, **vars(math))
    lines: list[dict[str, Any]] = []
    given = {name: utils[name] for name in ("find_math_answer", "is_equal", "is_number")}
    given |= {"load_jsonl": lambda file: lines, "save_jsonl": lambda *a, **k: None, "tqdm": lambda rows, desc: rows}
    given |= {"id_raw": {1: {"answer": gold, "options": options}}}
    evaluate = functions_of(folder / "evaluate.py", ["evaluate"], **given)["evaluate"]

    @cache
    def theirs(reply: str) -> bool:
        lines[:] = [{"id": 1, "response": replaced(reply, BOXES)}]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluate("")
        return bool(lines[0]["correct"])

    return theirs


def rft_rows(root: Path) -> Iterator[Row]:
    """Reason-RFT's own scores; needs math_verify."""
    from math_verify import parse, verify

    path = root / "eval" / "cal_score_benchmarks_for_open_source.py"
    names = ["get_score_clevr", "get_score_geomath", "get_score_geometry3k", "get_score_trance", "extract_items"]
    peer = functions_of(path, names, parse=parse, verify=verify, deque=deque)
    steps = "change_size(1, large), change_color(o2,'red')"
    for name, gold in (("clevr", "12"), ("geomath", "B"), ("geometry3k", "3.5"), ("trance", steps)):
        pairs = (*STEPS, *TAGS) if name == "trance" else TAGS
        yield Row(
            f"reason_rft, {name}",
            "Reason-RFT eval/",
            lambda reply, gold=gold, pairs=pairs: reason_rft.points(replaced(reply, pairs), [gold]),  # type: ignore[misc]
            lambda reply, name=name, gold=gold, pairs=pairs: float(  # type: ignore[misc]
                peer[f"get_score_{name}"](replaced(reply, pairs), gold)
            ),
            "math_verify finds a number in other words" if name != "trance" else "",
        )


def vista_rows(root: Path) -> Iterator[Row]:
    """MathVista's own calculate_score.py on an extracted answer, rules `official`; needs Levenshtein."""
    from Levenshtein import distance

    path = root / "evaluation" / "calculate_score.py"
    peer = functions_of(path, ["normalize_extracted_answer", "get_most_similar"], distance=distance)
    for kind in ("multi_choice", "integer", "float", "list"):
        choices = list(OPTIONS.values()) if kind == "multi_choice" else []
        target = {"question_type": kind, "answer_type": kind, "choices": choices, "precision": 1.0}
        yield Row(
            f"mathvista, official, {kind}",
            "MathVista calculate_score.py",
            lambda reply, target=target: normal_answer(reply, target, "official"),  # type: ignore[misc]
            lambda reply, target=target: peer["normalize_extracted_answer"](reply, **_asked(target)),  # type: ignore[misc]
        )


def _asked(target: dict[str, Any]) -> dict[str, Any]:
    return {name: target[name] for name in ("choices", "question_type", "answer_type", "precision")}


def mirb_rows(root: Path) -> Iterator[Row]:
    """MIRB's own rules, one for each kind of subset."""
    path = root / "evals" / "eval.py"
    peer = functions_of(path, names_in(path))["eval_scores"]
    for subset, gold in (("count", "12"), ("food", "B"), ("analogy", "yes"), ("sightseeing", "red car")):
        yield Row(
            f"mirb, own, {subset}",
            "MIRB evals/eval.py",
            lambda reply, gold=gold: mirb.points(reply, [gold]),  # type: ignore[misc]
            lambda reply, gold=gold, subset=subset: float(peer([{"prediction": reply, "answers": gold}], subset)),  # type: ignore[misc]
            "here lmms-eval's rules, there one for each subset, on the first sentence",
        )


def niah_rows(root: Path) -> Iterator[Row]:
    """MM-NIAH's own calculate_scores.py."""
    tools = functions_of(root / "utils" / "tools.py", ["has_word", "VQAEval"])
    right = functions_of(root / "calculate_scores.py", ["is_correct"], vqa=tools["VQAEval"]())["is_correct"]
    for answer, golds in ((1, ["1", "choice"]), ("eleven", ["eleven"]), ("red car", ["red car"])):
        yield Row(
            f"mm_niah, own, gold {answer}",
            "MM-NIAH calculate_scores.py",
            lambda reply, golds=golds: mm_niah.points(reply, golds),  # type: ignore[misc]
            lambda reply, answer=answer: float(right(answer, reply)),  # type: ignore[misc]
        )


OWN: dict[str, Callable[[Path], Iterator[Row]]] = {
    "mmmu": mmmu_rows,
    "muirbench": muir_rows,
    "blink": blink_rows,
    "mmstar": mmstar_rows,
    "mathvista": vista_rows,
    "mirb": mirb_rows,
    "mm_niah": niah_rows,
    "llava": llava_rows,
    "vhs": haystack_rows,
    "mathv": vision_rows,
    "reason_rft": rft_rows,
}
