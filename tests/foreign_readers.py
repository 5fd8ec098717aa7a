"""The functions that read foreign text, by name: whole readers, as opposed to the single patterns in them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from eval_tasks.readers.exact_answer import read_exact_answer
from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.readers.judged_rows import plain_points, read_mark
from eval_tasks.readers.lmms_letters import (
    read_among_four,
    read_by_priority,
    read_leading_letter,
    read_lone_letter,
    read_marked_letter,
)
from eval_tasks.readers.math_answer import normal_answer
from eval_tasks.readers.mmmu_answer import is_open_right, read_choice, read_open
from eval_tasks.readers.multiple_choice import read_letter, read_official
from eval_tasks.readers.ovis2_prompts import final_answer
from eval_tasks.readers.short_answer import anls, is_exact, is_relaxed, vqa_accuracy, vqa_words
from eval_tasks.readers.yes_no import read_yes_no, vqa_punctuation
from eval_tasks.report.push import with_section
from eval_tasks.rows.hub_rows import place_images
from eval_tasks.rows.table_files import json_value
from eval_tasks.tasks import (
    convbench,
    countbench,
    logicvista,
    m4u,
    mantis_eval,
    mirb,
    mm_niah,
    mmdu,
    mmiu,
    mmlongbench,
    mmvet,
    multiverse,
    omnibench,
    realworldqa,
    reason_rft,
    reasonmap,
    reasonmap_plus,
    seedbench_2_plus,
    visual_puzzles,
    viverbench,
    vstar_bench,
)
from mmcr_bench.exact.scene import DOMAINS
from mmcr_bench.judge.judge import word_f1
from mmcr_bench.judge.masking import mask_orders
from mmcr_bench.judge.penalties import measure_penalties
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.judge.verdict import read_verdict
from mmcr_bench.select.sort_labels import read_sorted
from mmcr_dataset.collect.language import reason_not_english
from mmcr_dataset.collect.web.addresses import check_url, redirect_url
from mmcr_dataset.endpoint.rate_limit import read_duration_s
from mmcr_dataset.endpoint.reply import refused_field
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.endpoint.thoughts import split_thoughts
from mmcr_dataset.filters.clip_match import split_text
from mmcr_dataset.filters.rules import declines_harm, is_unclear, mentions, reason_to_drop
from mmcr_dataset.generate.parse import read_turns
from mmcr_dataset.generate.unwrap import unwrap
from mmcr_dataset.publish.describe import count_tokens
from mmcr_dataset.publish.markdown_table import code_span, escape_markdown, one_line, yaml_text
from mmcr_dataset.record.dialogue import Dialogue, Turn, introduce
from mmcr_dataset.record.plain_text import clean_text, cut_text, escape_special_tokens, find_special_token

OPTIONS = {"A": "a dog", "B": "a cat", "C": "a hen", "D": "a cow"}
_CHOICE = {"question_type": "multi_choice", "choices": list(OPTIONS.values()), "answer_type": "text"}


def _dropped(text: str) -> object:
    turns = (Turn(introduce([], "What is it?"), text), Turn(introduce([], text), "A dog."))
    return reason_to_drop(Dialogue("d", turns))


READERS: dict[str, Callable[[str], object]] = {
    "clean_text": clean_text,
    "cut_text": partial(cut_text, max_characters=500),
    "escape_special_tokens": escape_special_tokens,
    "find_special_token": find_special_token,
    "reason_not_english": reason_not_english,
    "split_text": split_text,
    "split_thoughts": split_thoughts,
    "unwrap": unwrap,
    "read_turns": read_turns,
    "mentions": mentions,
    "is_unclear": is_unclear,
    "declines_harm": lambda text: declines_harm(Turn(introduce([], text), text)),
    "reason_to_drop": _dropped,
    "read_duration_s": read_duration_s,
    "read_retry_after": read_retry_after,
    "refused_field": lambda text: refused_field({"error": {"message": text}}),
    "check_url": lambda text: check_url(f"http://a.example/{text}"),
    "redirect_url": lambda text: redirect_url(check_url("http://a.example/b"), text),
    "count_tokens": count_tokens,
    "escape_markdown": escape_markdown,
    "code_span": code_span,
    "one_line": one_line,
    "yaml_text": yaml_text,
    "read_verdict": read_verdict,
    "mask_orders": mask_orders,
    "mask_orders, keys": lambda text: mask_orders(text, keys=NAMES),
    "measure_penalties": lambda text: measure_penalties(["A dog."] * 2, [text, text]),
    "word_f1": lambda text: word_f1(text, text),
    "read_sorted": lambda text: read_sorted(text, {"1": "animals"}),
    "fence_reply": fence_reply,
    **{
        f"read_letter, {rules}": partial(read_letter, options=OPTIONS, rules=rules)
        for rules in ("vlmevalkit@2024-07", "vlmevalkit@2025-08", "lmms-eval", "llava", "2025-03")
    },
    "read_by_priority": partial(read_by_priority, options=OPTIONS),
    "read_among_four": partial(read_among_four, options=OPTIONS),
    "read_leading_letter": partial(read_leading_letter, options=OPTIONS),
    "read_lone_letter": partial(read_lone_letter, options=OPTIONS),
    "read_marked_letter": partial(read_marked_letter, options=OPTIONS),
    "read_official": read_official,
    "normal_answer": lambda text: normal_answer(text, _CHOICE, "2025-03"),
    "read_choice": partial(read_choice, options=OPTIONS),
    "read_open": read_open,
    "is_open_right": lambda text: is_open_right(read_open(text), ["12", "a dog"]),
    "final_answer": lambda text: final_answer(text, "mmmu", "vlmevalkit@2025-03:ovis2"),
    "is_exact": lambda text: is_exact(text, ["a dog"]),
    "is_relaxed": lambda text: is_relaxed(text, ["12.5"]),
    "anls": lambda text: anls(text, ["a dog"]),
    "vqa_words": vqa_words,
    "vqa_accuracy": lambda text: vqa_accuracy(text, ["a dog"] * 10),
    "read_yes_no": lambda text: read_yes_no(text, "vlmevalkit@2025-03"),
    "read_yes_no, lmms-eval": lambda text: read_yes_no(text, "lmms-eval@2024-12"),
    "vqa_punctuation": lambda text: vqa_punctuation(text, today=True),
    "mmdu.read_scores": lambda text: mmdu.read_scores("{" + text + "}", text),
    "mmvet.read_grade": mmvet.read_grade,
    "countbench.points": lambda text: countbench.points(text, ["3"]),
    "mirb.points": lambda text: mirb.points(text, ["3"]),
    "realworldqa.points": lambda text: realworldqa.points(text, ["3"]),
    "mantis_eval.points": partial(mantis_eval.points, golds=["B", "(A) x", "(B) y"]),
    "plain_points": partial(plain_points, golds=["B"]),
    "plain_points, number": partial(plain_points, golds=["12"]),
    "read_mark": read_mark,
    "convbench.read_rating": convbench.read_rating,
    "logicvista.points": partial(logicvista.points, golds=["A, C"]),
    "m4u, read_choice": partial(read_choice, options=OPTIONS, forms=m4u.FORMS),
    "mm_niah.points": partial(mm_niah.points, golds=["2", "choice"]),
    "mm_niah.points, words": partial(mm_niah.points, golds=["a blue dog"]),
    **{
        f"mmlongbench.points, {metric}": partial(mmlongbench.points, golds=["1", metric, "Answer:"])
        for metric in ("sub_em", "binary_acc", "soft_acc", "mc_acc", "cls_acc", "rouge")
    },
    "reason_rft.points": partial(reason_rft.points, golds=["change_size(1, small)"]),
    "omnibench.read_omni": partial(omnibench.read_omni, options=OPTIONS),
    "mmiu.split_options": mmiu.split_options,
    "multiverse.read_ticks": partial(multiverse.read_ticks, num_criteria=3),
    "reasonmap.read_route": reasonmap.read_route,
    "reasonmap_plus.points": partial(reasonmap_plus.points, golds=["Counting2", "7"]),
    "visual_puzzles.read_puzzle": partial(visual_puzzles.read_puzzle, options=OPTIONS),
    "vstar_bench.with_options": lambda text: vstar_bench.with_options({"text": text}, "row"),
    "seedbench_2_plus.read_first": partial(seedbench_2_plus.read_first, options=OPTIONS),
    "viverbench.read_flag": viverbench.read_flag,
    "place_images": lambda text: place_images(text, 2),
    "json_value": lambda text: json_value(text, "cell"),
    "with_section": lambda text: with_section(text, "scores"),
    **{
        f"read_exact_answer, {domain} {type_}": partial(read_exact_answer, type_=type_, domain=domain, side=3)
        for domain in DOMAINS
        for type_ in ("yesno", "number", "image", "cell", DOMAINS[domain].attributes[0].type)
    },
}
