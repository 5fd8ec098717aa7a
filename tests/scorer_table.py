"""Every scorer that is public code beside ours on generated replies: a table, and what differs.

`python -m tests.scorer_table --lmms CHECKOUT --vlmevalkit CHECKOUT ... [--replies 1000] [-v]`; `--help` names the other
flags, one for each repository. Functions of a peer are taken from its files by name and run alone, without its package;
nothing of it is copied here. What a peer's scorer imports itself is installed beside: latex2sympy2 (--mathv,
--vlmevalkit_math), math_verify (--reason_rft), Levenshtein (--mathvista), nltk with its data punkt_tab (--vhs).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from eval_tasks.readers.long_context import chosen, contains, counted, labelled, says
from eval_tasks.readers.mmmu_answer import is_open_right, read_choice, read_open
from eval_tasks.readers.multiple_choice import read_letter
from eval_tasks.readers.short_answer import anls, is_relaxed, vqa_words
from eval_tasks.tasks import m4u, mantis_eval, mirb, mm_niah, omnibench, prismm_bench, seedbench_2_plus
from eval_tasks.tasks.visual_puzzles import read_puzzle
from mmcr_dataset.publish.markdown_table import to_table
from tests.peer_functions import OPTIONS, Reader, Row, functions_of, replies
from tests.scorer_rows import judged_rows, more_lmms_rows, more_vlm_rows, route_rows, verifier_rows
from tests.scorer_rows_choice import choice_lmms_rows, choice_vlm_rows, vision_vlm_rows
from tests.scorer_rows_own import OWN


def lmms_rows(root: Path) -> Iterator[Row]:
    """Scorers of lmms-eval."""
    tasks = root / "lmms_eval" / "tasks"
    letters = list(OPTIONS)
    never = type("Never", (), {"choice": staticmethod(lambda choices: None)})
    found = functions_of(tasks / "VisualPuzzles" / "utils.py", ["parse_response"], random=never)

    def puzzle(reply: str) -> object:
        said = found["parse_response"](reply.strip(), letters, OPTIONS)
        return said and str(said).upper()

    yield Row("visual_puzzles", "VisualPuzzles/utils.py", lambda reply: read_puzzle(reply, OPTIONS), puzzle)
    omni = functions_of(tasks / "omni_bench" / "utils.py", ["parse_multi_choice_response"])
    theirs = partial(omni["parse_multi_choice_response"], all_choices=letters)
    yield Row("omnibench", "omni_bench/utils.py", lambda reply: omnibench.read_omni(reply.strip(), OPTIONS), theirs)
    paper = functions_of(tasks / "prismm_bench" / "utils.py", ["prismm_process_results"])
    doc = {"task_identification": {"answer": "B"}}
    yield Row(
        "prismm_bench",
        "prismm_bench/utils.py",
        lambda reply: float((prismm_bench.read(None, [reply], "", None) or "") == "B"),  # type: ignore[arg-type]
        lambda reply: paper["prismm_process_results"](doc, [reply])["exact_match"],
    )
    mantis = functions_of(tasks / "mantis" / "utils.py")
    for kind, gold, golds in (("multi-choice", "(B)", ["B", *OPTIONS.values()]), ("short-answer", "12", ["12"])):
        yield Row(
            f"mantis_eval, {kind}",
            "mantis/utils.py",
            partial(mantis_eval.points, golds=golds),
            lambda reply, kind=kind, gold=gold: float(  # type: ignore[misc]
                mantis["get_prediction"](kind, reply, gold, list(OPTIONS.values()))["correct"]
            ),
        )
    mirb_peer = functions_of(tasks / "mirb" / "utils.py")
    yield Row(
        "mirb, letters",
        "mirb/utils.py",
        lambda reply: mirb.points(reply, ["B"]),
        lambda reply: float(mirb_peer["eval_multi_choice"]("B", mirb_peer["parse_multi_choice_response"](reply))),
        "a single letter in lower case is read",
    )
    yield Row(
        "mirb, open",
        "mirb/utils.py",
        lambda reply: float(is_open_right(read_open(reply), ["12"])),
        lambda reply: float(mirb_peer["eval_open"]("12", mirb_peer["parse_open_response"](reply))),
    )
    seed = functions_of(tasks / "seedbench_2_plus" / "utils.py", ["seed_aggregation_result"])
    yield Row(
        "seedbench_2_plus",
        "seedbench_2_plus/utils.py",
        lambda reply: seedbench_2_plus.read_first(reply, OPTIONS) == "B",
        lambda reply: bool(seed["seed_aggregation_result"]([{"pred": reply.strip()[:1], "answer": "B"}])),
    )


def vlm_rows(root: Path) -> Iterator[Row]:
    """Scorers of VLMEvalKit."""
    utils = root / "vlmeval" / "dataset" / "utils"
    letter = functions_of(
        root / "vlmeval" / "utils" / "matching_util.py",
        ["can_infer", "can_infer_option", "can_infer_text", "_VERBOSE_ANSWER_RE"],
    )
    yield Row(
        "choice, and all by vlmevalkit@2026-06",
        "matching_util.py can_infer",
        lambda reply: read_letter(reply, OPTIONS, "vlmevalkit@2026-06") or False,
        lambda reply: letter["can_infer"](reply, dict(OPTIONS)),
    )
    short = functions_of(
        utils / "vqa_eval.py",
        ["relaxed_correctness", "levenshtein_distance", "anls_compute", "process_answer", "_process_digit_article"],
        process_punctuation=functions_of(root / "vlmeval" / "smp" / "misc.py", ["process_punctuation"])[
            "process_punctuation"
        ],
        Optional=None,
    )
    for gold in ("3.50", "red car"):
        yield Row(
            f"chartqa, gold {gold}",
            "vqa_eval.py relaxed_correctness",
            lambda reply, gold=gold: bool(is_relaxed(reply, [gold])),  # type: ignore[misc]
            lambda reply, gold=gold: bool(short["relaxed_correctness"](gold, reply.strip())),  # type: ignore[misc]
        )

    def theirs(reply: str) -> float:
        share = 1 - short["anls_compute"]("red car", reply)
        return 0.0 if share < 0.5 else float(share)

    yield Row("docvqa, infovqa", "vqa_eval.py anls_compute", lambda reply: anls(reply, ["red car"]), theirs)
    yield Row("textvqa", "vqa_eval.py process_answer", vqa_words, short["process_answer"])
    needle = functions_of(utils / "mmniah.py", ["has_word", "VQAEval", "is_correct"])
    for answer, golds in ((1, ["1", "choice"]), ("eleven", ["eleven"]), ("red car", ["red car"])):
        yield Row(
            f"mm_niah, gold {answer}",
            "mmniah.py is_correct",
            partial(mm_niah.points, golds=golds),
            lambda reply, answer=answer: float(needle["is_correct"](answer, reply)),  # type: ignore[misc]
        )
    yield from _long_rows(utils / "mmlongbench_metrics.py")


def _long_rows(path: Path) -> Iterator[Row]:
    names = ["remove_articles", "white_space_fix", "remove_punc", "lower", "normalize_answer", "get_soft_acc"]
    names += ["normalize_answer_with_punc", "substring_exact_match_score", "extract_binary_label", "turn_int_list"]
    peer = functions_of(path, [*names, "extract_cnt_list", "extract_choice_letter", "extract_class_num"])

    def number(name: str) -> Reader:
        return lambda reply: None if (said := peer[name](reply)) == -1 else said

    file = "mmlongbench_metrics.py"
    yield Row(
        "mmlongbench, sub_em",
        file,
        lambda reply: bool(contains(reply, ["The Red car"])),
        lambda reply: peer["substring_exact_match_score"](reply, "The Red car"),
    )
    yield Row("mmlongbench, yes/no", file, says, number("extract_binary_label"))
    yield Row("mmlongbench, count", file, counted, lambda reply: sum(peer["extract_cnt_list"](reply)))
    yield Row("mmlongbench, letter", file, chosen, number("extract_choice_letter"))
    yield Row("mmlongbench, class", file, labelled, number("extract_class_num"))


def m4u_rows(root: Path) -> Iterator[Row]:
    """The scorer of M4U."""
    peer = functions_of(root / "utils.py", ["parse_multi_choice_response"])

    def theirs(reply: str) -> object:
        said = peer["parse_multi_choice_response"](reply, list(OPTIONS), OPTIONS)
        return None if said == "Z" else said

    yield Row("m4u", "M4U utils.py", lambda reply: read_choice(reply, OPTIONS, m4u.FORMS), theirs)


def compare(row: Row, number: int) -> list[tuple[str, object, object]]:
    """The replies that are read otherwise, with both readings."""
    found = [(reply, row.ours(reply), row.theirs(reply)) for reply in replies(number)]
    return [one for one in found if one[1] != one[2]]


PEERS: dict[str, tuple[Callable[[Path], Iterator[Row]], ...]] = {
    "lmms": (lmms_rows, more_lmms_rows, choice_lmms_rows),
    "vlmevalkit": (vlm_rows, more_vlm_rows, choice_vlm_rows),
    "m4u": (m4u_rows,),
    "reasonmap": (route_rows,),
    "omniverifier": (verifier_rows,),
    "mistral_evals": (judged_rows,),
    "vlmevalkit_math": (vision_vlm_rows,),
    **{name: (rows,) for name, rows in OWN.items()},
}


def main() -> int:
    """Print the table; exit code 1 if something differs without a reason."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name in PEERS:
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--replies", type=int, default=1000)
    parser.add_argument("-v", action="store_true", help="print the first differences of each row")
    args = parser.parse_args()
    named = {name: place for name in PEERS if (place := getattr(args, name)) is not None}
    rows = [row for name, place in named.items() for read in PEERS[name] for row in read(place)]
    table, code = [], 0
    for row in rows:
        different = compare(row, args.replies)
        code |= bool(different) and not row.why
        table.append([row.task, row.peer, str(args.replies), str(len(different)), row.why if different else ""])
        if args.v and different:
            print(f"{row.task}: {different[:5]}")
    print(to_table(["task", "peer code", "replies", "different", "why"], table))
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
