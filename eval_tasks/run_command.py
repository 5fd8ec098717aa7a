"""The command python -m eval_tasks --model ...: evaluates a model on benchmarks."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from eval_tasks.commands import Places, TaskFiles
from eval_tasks.models.generation import TOKEN_LIMITS, GenerationSettings, LoadSettings
from eval_tasks.models.model_type import AUTO, rules_of_model
from eval_tasks.places import own_tables, places_of
from eval_tasks.registry import choose_tasks, find_tasks, show_tasks, task_named
from mmcr_bench.judge.judge_spec import with_prompt
from mmcr_bench.judge.spending import spending

log = logging.getLogger(__name__)
DEFAULT_TASK, DEFAULT_BENCH = "mmcr_bench", Path("mmcr-bench")


@dataclass(frozen=True)
class Run:
    """Evaluate a model on benchmarks; run again with the same output folder to resume.

    Attributes:
        model: hf:FOLDER_OR_HUB_ID[@REVISION], api:URL#NAME (key from OPENAI_API_KEY), scripted:FILE.json, or
            lookup:DATA_SET (a baseline: the answer of its most similar question); hf alone
            needs --model_args; vllm:, sglang: or transformers:FOLDER_OR_HUB_ID starts that server and asks it.
        tasks: comma-separated names of tasks or groups; default mmcr_bench.
        list: list the tasks (those of --tasks, which then may be several_images, several_turns or judged) and exit.
        data: folder, file or Hub id with a task's data; PLACE?question=COLUMN&split=NAME for choice, yes_no and
            open_answer, which ask any table.
        judge: offline or api:URL#NAME.
        rules: scoring rules, such as vlmevalkit@2025-03; default the first of the task; vlmevalkit@2025-03:auto for
            those by which VLMEvalKit asks the model's type (hf:).
        output_dir: folder of the run; default eval_runs/MODEL.
        limit: evaluate only the first N samples of each task.
        max_new_tokens: maximum number of new tokens of a reply; default 1024, by the rules of an adapter its own.
        batch_size: batch size of decoding (hf:), or max concurrency of requests (api:); default 8 and 16.
        model_args: as in lm-eval: pretrained=FOLDER_OR_HUB_ID,revision=COMMIT; with --model hf.
        gen_kwargs: generation settings, as in lm-eval: temperature=0.6,top_p=0.95,max_new_tokens=N; default greedy.
        system_prompt: system message in front of every dialogue.
        thinking: thoughts of a reasoning model: strip, keep (as part of the reply) or off (by its chat template).
        max_thinking_tokens: tokens for thoughts, added to --max_new_tokens.
        num_samples: answers to each sample; the mean and pass@k are reported.
        extra_body: further fields of a server's requests, as JSON (api:).
        dtype: data type of the weights: auto, float32, float16 or bfloat16 (hf:).
        device_map: auto spreads the model over all devices (hf:).
        attn_implementation: attention of the model, such as sdpa or flash_attention_2 (hf:).
        quantization: bitsandbytes-4bit or bitsandbytes-8bit (hf:).
        server_args: further flags of a started server, in one text (vllm:, sglang:, transformers:).
        report_to: log the totals to trackio or wandb.
        log_samples: no effect: samples.jsonl is always written.
        tasks_from: file or folder with additional tasks.
        judge_prompt: prompt of mmcr_bench's judge: ours, or paper (structure and scale of the paper's Figure 8).
        max_cost_usd: stop before the judge's ledger of this run exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
        drift: where the bench has anchors, judge them again and say whether the judge has changed.
    """

    model: str | None = None
    tasks: str | None = None
    list: bool = False
    data: Places = ()
    judge: str = "offline"
    rules: str | None = None
    output_dir: Path | None = None
    limit: int | None = None
    max_new_tokens: int | None = None
    batch_size: int | None = None
    model_args: Annotated[str | None, arg(metavar="K=V,...")] = None
    gen_kwargs: Annotated[str | None, arg(metavar="K=V,...")] = None
    system_prompt: str | None = None
    thinking: str = "strip"
    max_thinking_tokens: int = 0
    num_samples: int = 1
    extra_body: Annotated[str | None, arg(metavar="JSON")] = None
    dtype: str = "auto"
    device_map: str | None = None
    attn_implementation: str | None = None
    quantization: str | None = None
    server_args: Annotated[str | None, arg(metavar="FLAGS")] = None
    report_to: str | None = None
    log_samples: bool = True
    tasks_from: TaskFiles = ()
    judge_prompt: str | None = None
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False
    drift: bool = True

    def run(self) -> int:
        """Evaluate, and print the table of scores."""
        found = find_tasks(self.tasks_from)
        if self.list:
            print(show_tasks(found, self.tasks))
            return 0
        from eval_tasks.report.tables import exit_code, run_table
        from eval_tasks.report.trackers import check_trackers, log_run
        from eval_tasks.run import RunSettings, run

        trackers = [name.strip() for name in (self.report_to or "").split(",") if name.strip()]
        check_trackers(trackers)

        model = self._model()
        rules = rules_of_model(model) if self.rules == AUTO else self.rules
        max_new_tokens = _max_new_tokens(self.gen_kwargs, self.max_new_tokens, rules)
        names, places = own_tables(choose_tasks(self._tasks(), list(found)), self.data)
        out = self.output_dir or Path("eval_runs") / re.sub(r"[^\w.-]+", "_", model).strip("_")
        settings = RunSettings(
            model=model,
            tasks=tuple(task_named(name, found) for name in names),
            out=out,
            judge=with_prompt(self.judge, self.judge_prompt),
            data=places_of(names, places),
            rules=rules,
            limit=self.limit,
            max_new_tokens=max_new_tokens,
            batch_size=self.batch_size,
            thinking=self.thinking,
            max_thinking_tokens=self.max_thinking_tokens,
            num_samples=self.num_samples,
            generation=GenerationSettings(
                _gen_kwargs(self.gen_kwargs), self.system_prompt, extra_body=_extra_body(self.extra_body, model)
            ),
            server_args=self.server_args or "",
            load=LoadSettings(self.dtype, self.device_map, self.attn_implementation, self.quantization),
            drift=self.drift,
        )
        with spending(self.max_cost_usd, self.allow_unknown_price):
            results = run(settings)
        if not results:
            return 0  # another process than the first
        print(run_table(results))
        print(f"\nrun folder: {out}")
        log_run(trackers, out.name, results)
        return exit_code(results)

    def _model(self) -> str:
        if self.model is None:
            raise ValueError(
                "--model is missing: hf:FOLDER_OR_HUB_ID, api:URL#NAME, scripted:FILE.json, lookup:DATA (or --list)"
            )
        if self.model != "hf":
            if self.model_args is not None:
                raise ValueError(f"--model_args {self.model_args}: needs --model hf, got --model {self.model}")
            return self.model
        given = _pairs("--model_args", self.model_args)
        if "pretrained" not in given or set(given) - {"pretrained", "revision"}:
            raise ValueError(f"--model_args {self.model_args}: expected pretrained=FOLDER_OR_HUB_ID[,revision=COMMIT]")
        revision = f"@{given['revision']}" if "revision" in given else ""
        return f"hf:{given['pretrained']}{revision}"

    def _tasks(self) -> str:
        """The value of --tasks, or the default task, which is logged."""
        if self.tasks is not None:
            return self.tasks
        if not self.data and not DEFAULT_BENCH.is_dir():
            raise ValueError(
                f"no --tasks, and no folder {DEFAULT_BENCH} for the default task {DEFAULT_TASK}: draw one with "
                "`python -m mmcr_bench build DATASET`, or name --tasks (see --list) or --data ORG/mmcr-bench"
            )
        log.info("no --tasks: running %s on %s", DEFAULT_TASK, ", ".join(self.data) or DEFAULT_BENCH)
        return DEFAULT_TASK


def _pairs(flag: str, text: str | None) -> dict[str, str]:
    """`a=1,b=2` as a dictionary."""
    pairs = [piece.partition("=") for piece in (text or "").split(",") if piece.strip()]
    if wrong := [name for name, mark, _ in pairs if not mark]:
        raise ValueError(f"{flag} {wrong[0]}: expected comma-separated NAME=VALUE pairs")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _extra_body(text: str | None, model: str) -> dict[str, Any]:
    """The object of --extra_body."""
    if text is None:
        return {}
    if model.startswith(("hf:", "scripted:", "lookup:")):
        raise ValueError(f"--extra_body is for a server (--model api:URL#NAME), got --model {model}")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"--extra_body {text}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"--extra_body {text}: expected a JSON object")
    return value


def _gen_kwargs(text: str | None) -> dict[str, Any]:
    """The generation settings of --gen_kwargs; those of greedy decoding, which is the default, are left out."""
    given: dict[str, Any] = {}
    for name, value in _pairs("--gen_kwargs", text).items():
        try:
            given[name] = json.loads(value.lower() if value.lower() in ("true", "false") else value)
        except ValueError:
            given[name] = value
    if "temperature" in given and not isinstance(given["temperature"], int | float):
        raise ValueError(f"--gen_kwargs temperature={given['temperature']}: expected a number")
    is_greedy = given.get("do_sample") is False or not given.get("temperature", given.get("do_sample"))
    return {
        name: value
        for name, value in given.items()
        if name not in TOKEN_LIMITS and not (is_greedy and name in ("temperature", "do_sample"))
    }


def _max_new_tokens(gen_kwargs: str | None, given: int | None, rules: str | None) -> int:
    """The maximum number of new tokens, from --gen_kwargs if it is given there, else that of the rules."""
    from eval_tasks.readers.adapters import max_new_tokens_of

    chosen = max_new_tokens_of(rules) if given is None else given
    for name, value in _pairs("--gen_kwargs", gen_kwargs).items():
        if name in TOKEN_LIMITS:
            if not value.isdigit():
                raise ValueError(f"--gen_kwargs {name}={value}: expected a whole number")
            chosen = int(value)
    return chosen
