"""The evaluation loop: ask each dialogue turn by turn, with the model's own replies in the history; then score.

Source: paper, appendix B: "the model will reference previous turns each time it responds".
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import itertools
import json
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval_tasks.models.generation import GenerationSettings, LoadSettings
from eval_tasks.models.model import Model, NoReply
from eval_tasks.models.open_model import SERVED, open_model
from eval_tasks.readers.adapters import gen_kwargs_of, wording_of
from eval_tasks.rows.label_versions import Sources, label_marks, label_version, labels_read, short_version
from eval_tasks.scoring import SEED, score_answered
from eval_tasks.store.hand_in import write_hand_in
from eval_tasks.store.journal import Journal, journal_name, reply_key
from eval_tasks.store.processes import Answered, Process, gather_answers, this_process
from eval_tasks.store.run_folder import from_record, read_records, read_results, to_record, write_records, write_results
from eval_tasks.task import Failure, Sample, Scored, Task
from mmcr_bench.judge.judge_spec import read_judge_specs
from mmcr_dataset import __version__
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.thoughts import Split, split_thoughts

JUDGE_LEDGER = "judge_ledger.sqlite3"
log = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformers", "openai", "pyarrow", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings of a run.

    Attributes:
        model: a `--model` value.
        tasks: tasks to run, in order.
        out: folder of the run.
        judge: `offline` or `api:URL#NAME`.
        data: (task name, place of its data).
        rules: scoring rules, None for each task's default.
        limit: number of first samples of each task, None for all.
        max_new_tokens: maximum number of new tokens of a reply.
        batch_size: number of concurrent dialogues, None for the model's default.
        thinking: what is done with thoughts: `strip`, `keep` as part of the reply, or `off` by the chat template.
        max_thinking_tokens: tokens added to max_new_tokens for thoughts.
        num_samples: number of answers to each sample.
        generation: how the model writes.
        load: how a local checkpoint is loaded.
        server_args: further flags of a started server.
        drift: judge the anchors of the bench again.
    """

    model: str
    tasks: tuple[Task, ...]
    out: Path
    judge: str = "offline"
    data: tuple[tuple[str, str], ...] = ()
    rules: str | None = None
    limit: int | None = None
    max_new_tokens: int = 1024
    batch_size: int | None = None
    thinking: str = "strip"
    max_thinking_tokens: int = 0
    num_samples: int = 1
    generation: GenerationSettings = GenerationSettings()  # noqa: RUF009  (frozen)
    load: LoadSettings = LoadSettings()  # noqa: RUF009  (frozen)
    server_args: str = ""
    drift: bool = True

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit {self.limit}: expected at least 1")
        if self.max_new_tokens < 1:
            raise ValueError(f"--max_new_tokens {self.max_new_tokens}: expected at least 1")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"--batch_size {self.batch_size}: expected at least 1")
        if self.thinking not in ("strip", "keep", "off"):
            raise ValueError(f"--thinking {self.thinking}: expected strip, keep or off")
        if self.max_thinking_tokens < 0:
            raise ValueError(f"--max_thinking_tokens {self.max_thinking_tokens}: expected at least 0")
        if self.num_samples < 1:
            raise ValueError(f"--num_samples {self.num_samples}: expected at least 1")
        if self.num_samples > 1 and not self.generation.samples and not self.model.startswith("scripted:"):
            raise ValueError(
                f"--num_samples {self.num_samples}: greedy decoding gives the same reply each time; pass "
                "--gen_kwargs temperature=0.6 or another temperature"
            )
        read_judge_specs(self.judge)
        for task in self.tasks:
            task.check_rules(self.rules)

    @property
    def is_served(self) -> bool:
        """True if a server answers, by the chat API."""
        return self.model.partition(":")[0] in ("api", *SERVED)

    @property
    def decoding(self) -> dict[str, Any]:
        """The settings of replies, for the identity of the run and the keys of its journal."""
        settings = {"temperature": 0, "max_new_tokens": self.max_new_tokens} | self.how_it_writes.describe()
        if self.generation.samples:
            del settings["temperature"]
        extra = {"thinking": self.thinking} if self.thinking != "strip" else {}
        return (
            settings | extra | ({"max_thinking_tokens": self.max_thinking_tokens} if self.max_thinking_tokens else {})
        )

    @property
    def how_it_writes(self) -> GenerationSettings:
        """The generation settings, with those of the rules' adapter and those that switch thoughts off."""
        if self.model.startswith("hf:") and (of_rules := gen_kwargs_of(self.rules)):
            given = {**of_rules, **self.generation.gen_kwargs}
            return replace(self, rules=None, generation=replace(self.generation, gen_kwargs=given)).how_it_writes
        if self.thinking != "off":
            return self.generation
        off = {"enable_thinking": False}
        of_server = off | dict(self.generation.extra_body.get("chat_template_kwargs", {}))
        body = {**self.generation.extra_body, "chat_template_kwargs": of_server}
        return replace(
            self.generation,
            template_options=off | dict(self.generation.template_options),
            extra_body=body if self.is_served else self.generation.extra_body,
        )


def run(settings: RunSettings) -> dict[str, Any]:
    """Ask, score and store; returns the content of results.json.

    With several processes each asks its part of the samples; rank 0 scores and stores, the others return {}.

    Raises:
        ValueError: an API model with several processes, or model, data or output folder can't be used.
    """
    process = this_process()
    if process.world_size > 1 and settings.is_served:
        raise ValueError(f"--model {settings.model}: needs a single process; raise --batch_size for more concurrency")
    ledger = settings.out / "ledger.sqlite3"
    model = open_model(
        settings.model, ledger, settings.batch_size, settings.load, settings.how_it_writes, settings.server_args
    )
    decoding, identity = settings.decoding, {"name": model.name, "revision": model.revision, **model.describe()}
    former = read_results(settings.out)["tasks"] if (settings.out / "results.json").is_file() else {}
    results, kept = _earlier(settings.out, identity, decoding, {task.name for task in settings.tasks})
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(settings.out / journal_name(process.rank)))
        context = RunContext(model, journal, identity, decoding, settings.thinking, settings.num_samples)
        answered = gather_answers(asyncio.run(_answer_tasks(settings, context, process)), process)
    if answered is None:
        return {}
    for task in settings.tasks:
        rules, data = task.check_rules(settings.rules), dict(settings.data).get(task.name)
        ledger_path = settings.out / JUDGE_LEDGER
        scored, entry = score_answered(
            task,
            answered[task.name],
            rules,
            settings.judge,
            ledger_path,
            data,
            drift=settings.drift,
            former=former.get(task.name),
        )
        records = [to_record(task.name, one) for one in scored]
        kept += records
        asked: dict[str, Any] = {"prompts_sha256": prompts_hash(records), "limit": settings.limit, "data": data}
        asked |= context.worded[task.name]
        asked["labels"] = label_version(context.labels[task.name], records)
        if not all(one.sample.has_gold for one in scored):
            asked["hand_in"] = str(write_hand_in(settings.out, task.name, scored).relative_to(settings.out))
        before, entry = results["tasks"].pop(task.name, None), {**entry, **asked}
        if before is not None and any(one.startswith("labels: ") for one in label_marks([before, entry])):
            log.warning(
                "%s: this folder's earlier run read other labels: %s", task.name, short_version(before["labels"])
            )
        results["tasks"][task.name] = entry
    return store(settings.out, results, kept)


def score_again(
    out: Path,
    tasks: Mapping[str, Task],
    rules: str | None,
    judge: str | None,
    data: Mapping[str, str] | None = None,
    *,
    drift: bool = True,
) -> dict[str, Any]:
    """Score a finished run again without its model; returns the content of results.json.

    Args:
        out: folder of the run.
        tasks: its tasks by name.
        rules: scoring rules, None for the former ones.
        judge: a `--judge` value, None for the former one.
        data: task name -> place of its data, for a judge that sees images; default the former place.
        drift: judge the anchors of the bench again.
    """
    results, kept = read_results(out), []
    of: dict[str, list[Scored]] = {name: [] for name in tasks}
    for record in read_records(out):
        of[record["task"]].append(from_record(record))
    for name, task in tasks.items():
        before = results["tasks"][name]
        chosen = task.check_rules(rules or before["rules"])
        spec, place = judge or before["judge"]["spec"], (data or {}).get(name) or before.get("data")
        scored, entry = score_answered(
            task, of[name], chosen, spec, out / JUDGE_LEDGER, place, drift=drift, former=before
        )
        kept += [to_record(name, one) for one in scored]
        results["tasks"][name] = {**before, **entry}
    return store(out, results, kept)


def store(out: Path, results: dict[str, Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Write samples.jsonl and results.json; returns the results with date and versions."""
    results |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "seed": SEED, "versions": _versions()}
    write_records(out, records)
    write_results(out, results)
    return results


def _earlier(
    out: Path, identity: dict[str, Any], decoding: dict[str, Any], renewed: set[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Results of the folder and records of its other tasks, for the same model.

    Raises:
        ValueError: the folder holds a run of another model or decoding.
    """
    if not (out / "results.json").is_file():
        return {"model": identity, "decoding": decoding, "tasks": {}}, []
    results = read_results(out)
    if results["model"] != identity or results["decoding"] != decoding:
        raise ValueError(
            f"{out} holds a run of {results['model']} with {results['decoding']}, this is {identity} with {decoding}; "
            "choose another --output_dir"
        )
    return results, [record for record in read_records(out) if record["task"] not in renewed]


@dataclass(frozen=True, slots=True)
class RunContext:
    """The model with its identity, decoding settings and journal, and what becomes of its thoughts.

    `worded` holds, for each task that was asked, how the rules' adapter put it to the model, `labels` which tables
    were read.
    """

    model: Model
    journal: Journal
    identity: dict[str, Any]
    decoding: dict[str, Any]
    thinking: str = "strip"
    num_samples: int = 1
    worded: dict[str, dict[str, Any]] = field(default_factory=dict)
    labels: dict[str, Sources] = field(default_factory=dict)


async def _answer_tasks(settings: RunSettings, context: RunContext, process: Process) -> Answered:
    data = dict(settings.data)
    async with context.model:
        answered = {}
        for task in settings.tasks:
            worded = context.model.ask_with(wording_of(task.check_rules(settings.rules), task.name))
            context.worded[task.name] = worded
            in_words = replace(context, decoding=context.decoding | worded)
            with labels_read() as context.labels[task.name]:
                found = task.samples(data.get(task.name), task.check_rules(settings.rules))
                unique = _unique(task, itertools.islice(found, settings.limit))
                samples = itertools.islice(unique, process.rank, None, process.world_size)
                answered[task.name] = await answer_samples(task, samples, in_words)
    return answered


def _unique(task: Task, samples: Iterable[Sample]) -> Iterator[Sample]:
    seen: set[str] = set()
    for sample in samples:
        if sample.dialogue.id in seen:
            raise ValueError(f"task {task.name}: two samples have the id {sample.dialogue.id!r}; ids must be unique")
        seen.add(sample.dialogue.id)
        yield sample
    if not seen:
        raise ValueError(f"task {task.name}: its data holds no samples")


async def answer_samples(task: Task, samples: Iterable[Sample], context: RunContext) -> list[Scored]:
    """All samples with their replies, in order and without image bytes; dialogues run concurrently."""

    async def answer_one(sample: Sample) -> list[Scored]:
        answered = []
        for repeat in range(context.num_samples):
            answered.append(_without_bytes(await answer(task, sample, context, repeat)))
            context.model.forget(sample.dialogue)
        progress.update()
        return answered

    with tqdm(desc=task.name, unit="sample", disable=True if this_process().rank else None) as progress:
        of_samples = await ask_all(map(answer_one, samples), context.model.batch_size)
    return [one for repeats in of_samples for one in repeats]


async def answer(task: Task, sample: Sample, context: RunContext, repeat: int = 0) -> Scored:
    """The replies to a sample's turns, from the journal or the model; the journal keeps the thoughts too."""
    dialogue, given = sample.dialogue, sample.num_given_turns
    history = list(dialogue.references[:given])
    limit = context.decoding["max_new_tokens"] + context.decoding.get("max_thinking_tokens", 0)
    decoding = context.decoding | ({"repeat": repeat} if repeat else {})
    truncated: list[int] = []
    thoughts: dict[str, str] = {}
    failure: Failure | None = None
    for turn in range(given, len(dialogue.turns)):
        key = reply_key(task, sample, history, context.identity, decoding)
        reply = context.journal.find(key)
        if reply is None:
            try:
                reply = await context.model.reply(dialogue, history, limit, repeat)
            except NoReply as error:
                failure = Failure(error.reason, f"turn {turn + 1}: {error.detail}")
                context.journal.store_failure(key, sample, turn + 1, failure)
                break
            context.journal.store(key, sample, turn + 1, reply)
        if reply.is_truncated:
            truncated.append(turn + 1)
        said = str(reply) if context.thinking == "keep" else split_thoughts(reply)
        if isinstance(said, Split):
            thoughts |= {str(turn + 1): said.thoughts} if said.thoughts else {}
            said = said.answer
        history.append(said)
    replies = tuple(history[given:])
    return Scored(sample, replies, failure=failure, truncated=tuple(truncated), thoughts=thoughts, repeat=repeat)


def _without_bytes(one: Scored) -> Scored:
    """The sample with the hashes of its images only, so that the images of a run needn't fit in memory."""
    dialogue = one.sample.dialogue
    images = tuple(replace(image, data=b"", known_sha256=image.sha256) for image in dialogue.images)
    return replace(one, sample=replace(one.sample, dialogue=replace(dialogue, images=images)))


def prompts_hash(records: Sequence[dict[str, Any]]) -> str:
    """Hash of all prompts, to check that two runs are comparable."""
    asked = [[record["id"], [turn["human"] for turn in record["dialogue"]["turns"]]] for record in records]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "mmcr": __version__}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
