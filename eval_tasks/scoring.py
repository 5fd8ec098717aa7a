"""Score answered samples: points, totals and intervals, with the judge if a task has one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from eval_tasks.readers.judged_answer import ChatJudge, Place, Verdict
from eval_tasks.reply_signs import reply_totals
from eval_tasks.store.run_folder import finite
from eval_tasks.task import Failure, Scored, Task, Total
from eval_tasks.totals import interval_of, task_totals, totals_by_shape
from mmcr_bench.judge.judge import open_judge, show_cost
from mmcr_bench.judge.judge_spec import read_judge_specs
from mmcr_bench.judge.masking import KEYS, mask_orders
from mmcr_bench.trust.anchors import AnchorWatch, watch_anchors
from mmcr_bench.trust.canaries import NoCanaries, check_judge, make_canaries
from mmcr_bench.trust.canary_replies import choose_dialogues
from mmcr_dataset.record.dialogue import Dialogue

log = logging.getLogger(__name__)

SEED = 0  # of the bootstrap
NUM_CANARY_DIALOGUES = 30  # dialogues of the bench that canaries are made from


def score_samples(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path, watch: AnchorWatch | None = None
) -> tuple[list[Scored], dict[str, Any]]:
    """Points for every sample that has replies, and the description of the judge.

    Args:
        task: the task.
        answered: its samples with replies.
        rules: scoring rules.
        judge: a `--judge` value.
        ledger_path: SQLite file that stores paid judgements.
        watch: anchors of the bench, to be judged afterwards, which the cost includes.
    """
    if not all(one.sample.has_gold for one in answered):
        return [replace(one, reading=_read_alone(task, one, rules)) for one in answered], {
            "name": "none",
            "spec": judge,
        }
    if task.judge == "bench":
        return _judged_by_bench(task, answered, rules, judge, ledger_path, watch)
    if task.judge == "chat" and judge != "offline":
        return _judged_by_chat(task, answered, rules, judge, ledger_path)
    scored = [one if one.failure else task.scored(one, rules) for one in answered]
    return [without_judge(task, one) for one in scored], {"name": "none", "spec": judge}


def _read_alone(task: Task, one: Scored, rules: str) -> str | None:
    return None if one.failure else task.read(one.sample, one.replies, rules, None)


def without_judge(task: Task, one: Scored) -> Scored:
    """The sample, marked as unjudged if only a judge can score its reply and there is none."""
    if task.is_read_by_rules or one.failure is not None or not one.is_unread:
        return one
    return replace(one, unjudged=Failure("no_judge", "only a judge can score this reply: --judge api:URL#MODEL"))


def _judged_by_bench(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path, watch: AnchorWatch | None
) -> tuple[list[Scored], dict[str, Any]]:
    judging = open_judge(judge, ledger_path)
    asked = [one for one in answered if one.failure is None]
    dialogues, replies = [one.sample.dialogue for one in asked], [one.replies for one in asked]
    _log_cost((watch.show_cost if watch else show_cost)(judging, dialogues, replies))
    judgements = iter(judging.score(dialogues, replies))
    scored: list[Scored] = []
    how = judging.describe()
    for one in answered:
        if one.failure is not None:
            scored.append(one)
            continue
        judgement = next(judgements)
        said = {key: value for key, value in judgement.detail.items() if key != "explanation"}  # it is in the reply
        one = replace(one, judged={**how, **said})
        if judgement.scores is None:
            unjudged = Failure(judgement.reason or "no_verdict", str(judgement.detail.get("reply", ""))[:500])
            scored.append(replace(one, unjudged=unjudged))
        else:
            scored.append(task.scored(one, rules, judgement))
    spreads = [float(found["overall"]) for one in scored if isinstance(found := one.judged.get("spread"), dict)]
    if spreads:
        how["spread"] = fmean(spreads)
    return scored, {**how, "name": judging.name, "spec": judge}


def check_fitness(dialogues: Sequence[Dialogue], judge: str, ledger_path: Path) -> dict[str, Any]:
    """Check the bench's judge on canaries made from some of its dialogues; judgements in the ledger are reused.

    Returns:
        `fit`, failed canaries and results; `fit` is None if no canary was judged, `why_not_run` says why.
    """
    judging, chosen = open_judge(judge, ledger_path), choose_dialogues(dialogues, NUM_CANARY_DIALOGUES)
    try:
        if not judging.is_offline:
            usable, asked = make_canaries(chosen)
            _log_cost(show_cost(judging, [usable[one.number] for one in asked], [one.replies for one in asked]))
        fitness = check_judge(judging, chosen)
    except NoCanaries as error:
        return {"fit": None, "failed": [], "why_not_run": str(error)}
    failed = [result.name for result in fitness.results if not result.passed]
    changed_facts = None if fitness.detection is None else fitness.detection.to_json()
    results = [asdict(result) for result in fitness.results]
    return {"fit": fitness.is_fit, "failed": failed, "results": results, "changed_facts": changed_facts}


def _log_cost(cost: str) -> None:
    if cost:
        log.info("%s", cost)


def _judged_by_chat(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path
) -> tuple[list[Scored], dict[str, Any]]:
    """Points by rules, with the chat model only for replies that rules can't parse."""
    judging = ChatJudge(judge, ledger_path, task.max_judge_tokens)
    scored = list(answered)
    prompts: dict[Place, str] = {}
    several: dict[int, bool] = {}
    shown = [_as_shown(task, one) for one in answered]
    for number, one in enumerate(answered):
        if one.failure is not None:
            continue
        scored[number] = task.scored(one, rules)
        asked = task.to_judge(one.sample, shown[number], rules) if scored[number].is_unread else None
        if asked is not None:
            several[number] = isinstance(asked, list)
            prompts |= {
                (number, part): prompt for part, prompt in enumerate([asked] if isinstance(asked, str) else asked)
            }

    def is_read(place: Place, said: str) -> bool:
        number, part = place
        one, verdict = answered[number], {part: said} if several[number] else said
        return all(value is not None for value in task.score(one.sample, shown[number], rules, verdict).values())

    if prompts:
        _log_cost(judging.show_cost(prompts))
    of: dict[int, list[Verdict]] = {}
    for (number, _), verdict in judging.ask(prompts, is_read).items():
        of.setdefault(number, []).append(verdict)
    for number, verdicts in of.items():
        judged = _with_verdicts(
            task, replace(answered[number], replies=shown[number]), rules, verdicts, several[number]
        )
        scored[number] = replace(judged, replies=answered[number].replies)
    how: dict[str, Any] = {**judging.describe(prompts), "name": judging.name, "spec": judge}
    num_masked = sum(tuple(shown[number]) != tuple(answered[number].replies) for number in of)
    if num_masked:
        log.warning("%s: %d of %d samples: verdicts or orders in the replies, masked", task.name, num_masked, len(of))
        how["num_masked"] = num_masked
    return scored, how


def _as_shown(task: Task, one: Scored) -> tuple[str, ...]:
    """The replies as a chat judge reads them: without verdicts and orders where it gives scores on a scale."""
    if task.verdict_keys is None or one.failure is not None:
        return tuple(one.replies)
    allowed = [text for turn in one.sample.dialogue.turns for text in (turn.human_text, turn.assistant)]
    return tuple(mask_orders(reply, allowed, (*KEYS, *task.verdict_keys))[0] for reply in one.replies)


def _with_verdicts(task: Task, one: Scored, rules: str, verdicts: Sequence[Verdict], several: bool) -> Scored:
    """The sample with the points of its verdicts; marked as unjudged if one is missing."""
    read = {part: verdict.text for part, verdict in enumerate(verdicts) if verdict.text is not None}
    failures = [(part, verdict.failure) for part, verdict in enumerate(verdicts) if verdict.failure is not None]
    if read:
        one = task.scored(one, rules, read if several else read[0])
    unjudged = failures[0][1] if failures else None
    if several and unjudged is not None:
        missing = ", ".join(str(part + 1) for part, _ in failures)
        unjudged = unjudged._replace(detail=f"turn {missing}: {unjudged.detail}")
    details = [verdict.detail for verdict in verdicts]
    return replace(one, unjudged=unjudged, judged={"turns": details} if several else details[0])


def score_answered(
    task: Task,
    answered: Sequence[Scored],
    rules: str,
    judge: str,
    ledger_path: Path,
    data: str | None = None,
    *,
    drift: bool = True,
    former: Mapping[str, Any] | None = None,
) -> tuple[list[Scored], dict[str, Any]]:
    """The samples with their points, and the task's entry of results.json.

    Args:
        task: the task.
        answered: its samples with replies; former scores are discarded.
        rules: scoring rules.
        judge: a `--judge` value.
        ledger_path: SQLite file that stores paid judgements.
        data: place of the task's data, read again for a judge that sees images, which a run doesn't store.
        drift: judge the anchors of the bench again.
        former: the task's former entry, whose drift stands where the judge is asked nothing new.

    Raises:
        ValueError: the judge needs images that the data doesn't have.
    """
    if task.judge == "bench" and any(one.images for one in read_judge_specs(judge)):
        answered = _with_images(task, answered, rules, data)
    cleared = [replace(one, points={}, unjudged=None, judged={}, reading=None) for one in answered]
    watch = None
    if task.judge == "bench" and judge != "offline":
        watch = watch_anchors(data or task.name.replace("_", "-"), judge, ledger_path, drift=drift)
    scored, judged_by = score_samples(task, cleared, rules, judge, ledger_path, watch)
    entry = to_entry(task, scored, rules, judged_by)
    if task.judge == "bench" and scored and entry["no_score"] is None:
        entry["canaries"] = check_fitness([one.sample.dialogue for one in scored], judge, ledger_path)
    entry["drift"] = None
    if watch is not None and entry["no_score"] is None:
        is_same = former is not None and former["judge"].get("spec") == judge
        entry["drift"] = watch.judge_again(former.get("drift") if former is not None and is_same else None)
    return scored, entry


def _with_images(task: Task, answered: Sequence[Scored], rules: str, data: str | None) -> list[Scored]:
    """The samples with their images, from the task's data."""
    try:
        dialogues = [sample.dialogue for sample in task.samples(data, rules)]
    except ValueError as error:
        raise ValueError(f"?images=yes: a run stores no images, and {error}; pass their place with --data") from error
    found = {image.sha256: image.data for dialogue in dialogues for image in dialogue.images}
    shown: list[Scored] = []
    for one in answered:
        dialogue = one.sample.dialogue
        if any(image.sha256 not in found for image in dialogue.images):
            raise ValueError(
                f"?images=yes: an image of sample {dialogue.id!r} isn't in {data}; pass the run's data with --data"
            )
        images = tuple(replace(image, data=found[image.sha256]) for image in dialogue.images)
        shown.append(replace(one, sample=replace(one.sample, dialogue=replace(dialogue, images=images))))
    return shown


def to_entry(task: Task, scored: Sequence[Scored], rules: str, judged_by: dict[str, Any]) -> dict[str, Any]:
    """A task's entry of results.json: totals with intervals, and counts of failed, unread and unjudged samples.

    Args:
        task: the task.
        scored: its scored samples.
        rules: scoring rules.
        judged_by: description of the judge.
    """
    found = task_totals(task, scored, rules) if all(one.sample.has_gold for one in scored) else {}
    num_repeats = len({one.repeat for one in scored})
    return {
        "version": task.version,
        "source": task.source,
        "rules": rules,
        "judge": judged_by,
        "num_samples": len(scored) // max(1, num_repeats),
        **({"answers_per_sample": num_repeats} if num_repeats > 1 else {}),
        "num_groups": len({one.sample.group for one in scored}),
        **count_losses(scored),
        "no_score": why_no_score(scored),
        "totals": {metric: _to_total(total) for metric, total in found.items()},
        "parts": {
            metric: _to_total(total)
            for metric, total in (totals_by_shape(task, scored, rules) | reply_totals(scored)).items()
        },
    }


def count_losses(scored: Sequence[Scored]) -> dict[str, Any]:
    """Numbers of failed, unread and unjudged samples, each sample in one of them, and of truncated ones."""
    return {
        "failures": dict(Counter(one.failure.reason for one in scored if one.failure)),
        "num_unread": sum(one.is_unread and not one.is_lost for one in scored),
        "unjudged": dict(Counter(one.unjudged.reason for one in scored if one.unjudged)),
        "num_truncated": sum(bool(one.truncated) for one in scored),
        "num_thinking": sum(bool(one.thoughts) for one in scored),
    }


def why_no_score(scored: Sequence[Scored]) -> str | None:
    """Why these samples have no score at all: nothing answered, or nothing judged; None if they have one."""
    if not all(one.is_lost for one in scored):
        return None
    losses = Counter((one.failure or one.unjudged or Failure("", "")).reason for one in scored)
    nothing = "answered" if all(one.failure for one in scored) else "judged"
    first = next((one.failure or one.unjudged for one in scored if one.is_lost), None)
    reasons = ", ".join(f"{reason} {count}" for reason, count in losses.items())
    return f"nothing was {nothing} ({reasons}); first: {first.detail[:200] if first else ''}"


def _to_total(total: Total) -> dict[str, Any]:
    """A total for results.json; its value is None if every unit is lost."""
    of_field: dict[str, Any] = {"breakdown": total.breakdown} if total.breakdown else {}
    if total.breakdown and len(total.weights) == 1:  # each unit once
        of_field |= {"num": len(total.units), "num_lost": total.num_lost}
    if not total.is_known:
        return {"value": None, "low": None, "high": None, **of_field}
    interval = interval_of(total, seed=SEED)
    shown: dict[str, Any] = {"value": total.value, "low": finite(interval.low), "high": finite(interval.high)}
    if total.num_lost:
        shown["judged_only"] = {"value": total.judged_only.value, "num": len(total.units) - total.num_lost}
    return shown | of_field
