"""Further scorers that are public code beside ours, for `tests.scorer_table`: answers of one word, numbers, routes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from eval_tasks.readers.lmms_letters import read_among_four, read_leading_letter, read_lone_letter
from eval_tasks.readers.mmmu_answer import is_open_right, read_choice, read_open
from eval_tasks.readers.short_answer import is_relaxed
from eval_tasks.readers.yes_no import read_yes_no
from eval_tasks.tasks import countbench, mathvista, mm_mt_bench, ocrbench, realworldqa, reasonmap, viverbench
from eval_tasks.tasks.reasonmap_plus import points as map_points
from tests.peer_functions import OPTIONS, Row, functions_of

FORMULAS = ocrbench.FORMULAS
LINES = {"Line 1": ["Oktogon", "Deak (Transfer Station)"], "Line 2": ["Deak (Transfer Station)", "Astoria"]}


def names_in(path: Path) -> list[str]:
    """Functions, classes and constants of a file."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    named = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    return [node.name for node in body if isinstance(node, ast.FunctionDef)] + [node.targets[0].id for node in named]  # type: ignore[attr-defined]


def points_of(task: Any, row: dict[str, Any], rules: str) -> Any:
    """Reply -> the points of a row's sample."""
    sample = task.to_sample(row, rules, 0)
    return lambda reply: next(iter(task.score(sample, [reply], rules, None).values()))


def more_lmms_rows(root: Path) -> Iterator[Row]:
    """Scorers of lmms-eval."""
    tasks = root / "lmms_eval" / "tasks"
    path = tasks / "_task_utils" / "mcq_extract.py"
    letter = functions_of(path, names_in(path), Optional=None, List=None)["extract_mcq_answer"]
    four = list("ABCD")
    yield Row(
        "mmstar and others by lmms-eval@0.7, realworldqa",
        "mcq_extract.py",
        lambda reply: read_among_four(reply, {}),
        lambda reply: letter(reply, choices=four) or None,
    )
    yield Row(
        "realworldqa, number",
        "realworldqa/utils.py",
        lambda reply: realworldqa.points(reply, ["12"]),
        lambda reply: float(reply.lower().strip().rstrip(".") == "12"),
    )
    science = functions_of(tasks / "scienceqa" / "utils.py")["sqa_process_results"]
    doc = {"choices": list(OPTIONS.values()), "answer": 1}
    yield Row(
        "scienceqa, lmms-eval@0.7",
        "scienceqa/utils.py",
        lambda reply: float(read_lone_letter(reply, OPTIONS) == "B"),
        lambda reply: science(doc, [reply])["exact_match"],
    )
    lead = functions_of(tasks / "ai2d" / "utils.py", ["MultiChoiceRegexFilter"], ExtendedRegexFilter=object)
    bare = str.maketrans("", "", __import__("string").punctuation)

    def diagram(reply: str) -> bool:  # its exact_match ignores case and punctuation
        (said,) = lead["MultiChoiceRegexFilter"].apply(None, [[reply]], [{}])
        return bool(said.translate(bare).lower() == "b")

    yield Row("ai2d, lmms-eval@0.7", "ai2d/utils.py", lambda reply: read_leading_letter(reply, OPTIONS) == "B", diagram)
    count = functions_of(
        tasks / "countbench" / "utils.py",
        ["NUMBER_WORD_TO_NUMERAL", "_normalize_count_answer", "countbench_doc_to_target", "countbench_process_results"],
    )
    yield Row(
        "countbench",
        "countbench/utils.py",
        lambda reply: countbench.points(reply, ["12"]),
        lambda reply: count["countbench_process_results"]({"number": 12}, [reply])["acc"],
    )
    chart = functions_of(tasks / "chartqa" / "utils.py", ["relaxed_correctness"])["relaxed_correctness"]
    yield Row(
        "chartqa, gold 3.50, lmms-eval's",
        "chartqa/utils.py",
        lambda reply: bool(is_relaxed(reply, ["3.50"])),
        lambda reply: bool(chart(reply.strip(), "3.50")),
    )
    mme = functions_of(tasks / "mme" / "utils.py", ["parse_pred_ans"])["parse_pred_ans"]
    yield Row(
        "mme, lmms-eval@0.7",
        "mme/utils.py",
        lambda reply: read_yes_no(reply, "lmms-eval@0.7") or "other",
        mme,
    )
    yield from _words_of_lmms(tasks)


def _words_of_lmms(tasks: Path) -> Iterator[Row]:
    """OCRBench and MMMU."""
    path = tasks / "ocrbench" / "utils.py"
    ocr = functions_of(path, names_in(path))["ocrbench_process_results"]
    for name, kind, gold in (("HME100k", FORMULAS, "3 . 50"), ("x", "Regular Text Recognition", "red car")):
        doc = {"answer": [gold, "É"], "dataset": name, "question_type": kind}
        row = {"question": "?", "answer": [gold, "É"], "category": kind}
        yield Row(
            f"ocrbench, lmms-eval@0.7, gold {gold}",
            "ocrbench/utils.py",
            points_of(ocrbench.TASK, row, "lmms-eval@0.7"),
            lambda reply, doc=doc: float(ocr(doc, [reply])["ocrbench_accuracy"]["score"]),  # type: ignore[misc]
        )
    shared = tasks / "_task_utils" / "mmmu_mcq_utils.py"
    never = type("Never", (), {"choice": staticmethod(lambda choices: None)})
    choose = functions_of(shared, ["parse_mmmu_multi_choice_response"], random=never)[
        "parse_mmmu_multi_choice_response"
    ]
    yield Row(
        "mmmu, mmmu_pro by lmms-eval@0.7, choice",
        "mmmu_mcq_utils.py",
        lambda reply: read_choice(reply, OPTIONS),
        lambda reply: choose(reply, list(OPTIONS), OPTIONS),
        "there a letter by chance where nothing is read; here nothing",
    )
    open_ = functions_of(
        tasks / "mmmu" / "utils.py",
        ["eval_open", "parse_open_response", "normalize_str", "extract_numbers", "check_is_number"],
    )
    for gold in ("12", "red car"):
        yield Row(
            f"mmmu, open, gold {gold}",
            "mmmu/utils.py",
            lambda reply, gold=gold: bool(is_open_right(read_open(reply), [gold])),  # type: ignore[misc]
            lambda reply, gold=gold: open_["eval_open"](gold, open_["parse_open_response"](reply)),  # type: ignore[misc]
        )


def more_vlm_rows(root: Path) -> Iterator[Row]:
    """Scorers of VLMEvalKit."""
    data = root / "vlmeval" / "dataset"
    marks = functions_of(root / "vlmeval" / "smp" / "misc.py", ["process_punctuation"])["process_punctuation"]
    yes = functions_of(data / "utils" / "yorn.py", ["YOrN_Extraction"], process_punctuation=marks)["YOrN_Extraction"]
    yield Row(
        "pope, mme, hallusion_bench, nlvr2, yes_no",
        "yorn.py YOrN_Extraction",
        lambda reply: (read_yes_no(reply, "vlmevalkit@2026-06") or "unknown").capitalize(),
        yes,
    )
    for kind, gold in ((FORMULAS, "3 . 50"), ("Regular Text Recognition", "red car")):
        row = {"question": "?", "answer": [gold, "1/2"], "category": kind}
        yield Row(
            f"ocrbench, gold {gold}",
            "ocrbench.py OCRBench_eval",
            points_of(ocrbench.TASK, row, "vlmevalkit@2026-06"),
            lambda reply, row=row: _ocr_score(data / "utils" / "ocrbench.py", reply, row),  # type: ignore[misc]
        )
    letter = functions_of(
        root / "vlmeval" / "utils" / "matching_util.py",
        ["can_infer", "can_infer_option", "can_infer_text", "_VERBOSE_ANSWER_RE"],
    )["can_infer"]
    check = functions_of(data / "utils" / "mathvista.py", ["post_check", "list_to_dict"], can_infer=letter)[
        "post_check"
    ]
    yield from _vista_rows(check)
    yield from _map_rows(data / "reasonmap_plus.py")


def _ocr_score(path: Path, reply: str, row: dict[str, Any]) -> float:
    """The points that VLMEvalKit's OCRBench_eval gives to one reply."""
    line = {**row, "prediction": reply, "answer": repr(row["answer"])}
    frame, kept = type("Frame", (), {"iloc": [line], "__len__": lambda self: 1})(), {}
    functions_of(
        path,
        ["OCRBench_eval"],
        load=lambda file: frame,
        tqdm=list,
        dump=lambda scores, file: kept.update(scores),
        get_intermediate_file_path=lambda *names: "",
    )["OCRBench_eval"]("")
    return float(kept["Final Score"])


def _vista_rows(check: Any) -> Iterator[Row]:
    choices = {"question_type": "multi_choice", "choices": list(OPTIONS.values()), "answer": "blue car"}
    whole = {"question_type": "free_form", "answer_type": "integer", "answer": "12"}
    decimal = {"question_type": "free_form", "answer_type": "float", "answer": "0.5", "precision": 1.0}
    for name, row in (("choice", choices), ("whole number", whole), ("decimal", decimal)):
        line = {**row, "answer_option": "B", "choices": repr(row.get("choices", []))}
        ours = points_of(mathvista.TASK, {"question": "?", "pid": "1", **row}, "vlmevalkit@2026-06")

        def theirs(reply: str, line: dict[str, Any] = line) -> bool:
            found = check({**line, "prediction": reply}, prefetch=True)
            return bool(found is not False and check({**line, "res": str(found)}))

        yield Row(f"mathvista, {name}", "mathvista.py post_check", lambda reply, ours=ours: ours(reply) == 1.0, theirs)  # type: ignore[misc]


def _map_rows(path: Path) -> Iterator[Row]:
    """ReasonMap-Plus; needs pandas, in which VLMEvalKit keeps its tables."""
    import numpy as np
    import pandas

    source = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("from vlmeval")]
    peer: dict[str, Any] = {"__name__": "peer", "ImageBaseDataset": object, "load": lambda frame: frame.copy()}
    exec(compile("\n".join(source), str(path), "exec"), peer)
    peer["np"] = SimpleNamespace(mean=np.mean, sum=lambda values: sum(values))  # numpy 2 sums no generator

    def theirs(reply: str, kind: str) -> float:
        row = {"prediction": reply, "type": kind, "answer": 1, "difficulty_city": "easy", "index": 0}
        return float(peer["ReasonMap_Plus"].evaluate(None, pandas.DataFrame([row]))["value"].iloc[0])

    for kind in ("TorF1", "Counting1", "Counting2"):
        yield Row(
            f"reasonmap_plus, {kind}",
            "reasonmap_plus.py",
            lambda reply, kind=kind: map_points(reply, [kind, "1"]) or 0.0,  # type: ignore[misc]
            lambda reply, kind=kind: theirs(reply, kind),  # type: ignore[misc]
        )


def route_rows(root: Path) -> Iterator[Row]:
    """ReasonMap's own main.py: what it does with the answer to a short question, without its map score."""
    loop = next(
        node
        for node in ast.parse((root / "main.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple)
    )
    start = next(
        place
        for place, node in enumerate(loop.body)
        if isinstance(node, ast.Assign) and "short_final_answer.split" in ast.unparse(node)
    )
    code = compile(ast.Module(loop.body[start : start + 4], type_ignores=[]), "main.py", "exec")
    clean = functions_of(root / "tools.py", ["clean_string"])["clean_string"]
    row = {"question_short": "?", "json": LINES, "station_1": "Oktogon", "station_2": "Astoria"}
    ours = points_of(reasonmap.TASK, row, "official")

    def theirs(reply: str) -> float:
        known: dict[str, Any] = {"re": re, "clean_string": clean, "print": lambda *words: None, "city": "budapest"}
        known |= {"short_final_answer": to_route(reply), "sample": {"routes": {}}, "country": "hungary"}
        known |= {"station1": "Oktogon", "station2": "Astoria", "metro_data": LINES}
        known |= {"correct_count_wo_via_stops_short": 0, "weighted_correct_count_wo_via_stops_short": 0}
        exec(code, known)
        return float(known["acc_short"])

    yield Row("reasonmap", "ReasonMap main.py", lambda reply: ours(to_route(reply)) or 0.0, theirs)


def to_route(reply: str) -> str:
    """A route of one to three sections, right or nearly so, made from the letters of a reply."""
    numbers = [ord(sign) for sign in reply] or [0]
    stops = ["Oktogon", "Deak Station (Transfer Station)", "deak", "Astoria", "Metro Astoria"]
    right = [("Line 1", "Oktogon", "Deak"), ("Line 2", "Deak", "Astoria")]
    sections = []
    for place in range(1 + numbers[0] % 3):
        line, start, end = right[min(place, 1)]
        seed = sum(numbers) * (place + 1)
        line = line if seed % 5 else "Line 3"
        start = start if seed % 7 else stops[seed % 5]
        end = end if seed % 11 else f"{stops[seed % 5]} "
        labels = ("Route Name:", "Departure Stop:", "Arrival Stop:" if seed % 13 else "Arrival:")
        sections.append("\n".join(f"{label} {text}" for label, text in zip(labels, (line, start, end), strict=True)))
    return reply + "\n" + "\n--\n".join(sections)


def verifier_rows(root: Path) -> Iterator[Row]:
    """ViVerBench's own script, run on one reply at a time."""
    source = (root / "viverbench_eval_rule_based.py").read_text(encoding="utf-8")
    code = compile(source.split("with open(args.model_response.replace")[0], "viverbench", "exec")

    def flagged(reply: str) -> str:
        for sign, text in (("3", '{"answer": true'), ("a ", '"answer" : false '), ("E", "</think>")):
            reply = reply.replace(sign, text)
        return reply

    def theirs(reply: str) -> float:
        items = [{"task": "STEM: Charts", "output": flagged(reply), "answer": True}]
        parser = SimpleNamespace(
            add_argument=lambda *a, **k: None, parse_args=lambda: SimpleNamespace(model_response="")
        )
        known: dict[str, Any] = {"print": lambda *words: None, "open": lambda *a, **k: _Nothing()}
        modules = {"argparse": SimpleNamespace(ArgumentParser=lambda **k: parser), "re": re}
        modules |= {"json": SimpleNamespace(load=lambda file: items), "os": None}
        known["__builtins__"] = {
            **vars(__import__("builtins")),
            **known,
            "__import__": lambda name, *rest: modules[name],
        }
        exec(code, known)
        return float(sum(one["num_correct"] for one in known["rule_based_results"]))

    yield Row(
        "viverbench",
        "viverbench_eval_rule_based.py",
        lambda reply: float(viverbench.read_flag(flagged(reply)) == "yes"),
        theirs,
    )


class _Nothing:
    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *error: object) -> None:
        return None


def judged_rows(root: Path) -> Iterator[Row]:
    """The rating that mistral-evals reads in a verdict on MM-MT-Bench."""
    path = root / "eval" / "tasks" / "mm_mt_bench.py"
    pattern = functions_of(path, ["BRACKET_SCORE_RE"])["BRACKET_SCORE_RE"]

    def verdict(reply: str) -> str:
        return reply.replace("12", "[[12]]").replace("7", "[[7]]").replace("0.5", "[[5.]]")

    def theirs(reply: str) -> float | None:
        match = re.search(pattern, verdict(reply))
        return float(match.group(1)) if match else None

    yield Row(
        "mm_mt_bench, verdicts",
        "mistral-evals mm_mt_bench.py",
        lambda reply: mm_mt_bench.score(None, [""], "", verdict(reply))["score"],  # type: ignore[arg-type]
        theirs,
        "of several ratings the last counts, there the first; one above 10 is none here",
    )
