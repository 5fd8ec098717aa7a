"""`import_yaml`: a task file of ours from a simple task file of lmms-eval, or the keys that can't be taken."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from eval_tasks.readers.template_rows import find_unknown

log = logging.getLogger(__name__)
_BYTES_MAX = 1_000_000
_INCLUDES_MAX = 8
_NAME = re.compile(r"[A-Za-z]\w{0,80}")
_PLACE = re.compile(r"[\w./ ()-]{1,200}")
_IGNORED = ("metadata", "tag", "group", "task_alias", "include", "dataset_kwargs", "output_type", "num_fewshot")
_TAKEN: tuple[str, ...] = (
    "task",
    "dataset_path",
    "dataset_name",
    "test_split",
    "validation_split",
    "doc_to_visual",
    "doc_to_text",
)
_TAKEN += ("doc_to_target", "generation_kwargs", "metric_list")
_TEMPLATES = ("doc_to_text", "doc_to_target", "doc_to_visual")
_ACCESS = ("token", "trust_remote_code", "cache_dir")  # of dataset_kwargs: they say nothing of which rows are read
_COLUMN = re.compile(r"\{\{\s*(\w+)\s*\}\}|(\w+)")
_GREEDY = {"temperature": (0,), "do_sample": (False,), "num_beams": (1,)}


class Code(str):
    """A value that is Python code: `!function utils.f`."""


@dataclass(frozen=True)
class ImportYaml:
    """Write a task file from an lmms-eval task YAML of the simple kind (templates, generate_until, exact_match).

    Attributes:
        file: the YAML file; what it includes is read too.
        output_file: the task file to write; default TASK.py in the current folder.
        doc_to_text: template of the whole prompt, in place of the file's, which is code in most files.
        doc_to_target: template or column of the gold answer, in place of the file's.
        doc_to_visual: column of the image or images, in place of the file's.
    """

    file: Positional[Annotated[Path, arg(metavar="FILE.yaml")]]
    output_file: Path | None = None
    doc_to_text: str | None = None
    doc_to_target: str | None = None
    doc_to_visual: str | None = None

    def run(self) -> None:
        """Write the file and print its path.

        Raises:
            ValueError: a key can't be taken (all of them are named), or the output file exists.
        """
        settings = read_yaml(self.file)
        given = {key: value for key in _TEMPLATES if (value := getattr(self, key)) is not None}
        settings |= given
        if "doc_to_text" in given:
            settings.pop("lmms_eval_specific_kwargs", None)  # what is put around the file's own prompt
        name, source = to_source(settings, self.file)
        out = self.output_file or Path(f"{name}.py")
        if out.stem != name:
            raise ValueError(f"--output_file {out}: file and task must have the same name, {name}.py")
        if out.exists():
            raise ValueError(f"{out} exists; move it, or pass --output_file FOLDER/{name}.py")
        out.write_text(source, encoding="utf-8")
        print(out)
        limit = (settings.get("generation_kwargs") or {}).get("max_new_tokens")
        tokens = f" --max_new_tokens {limit}" if limit else ""
        log.info("run it: python -m eval_tasks --model MODEL --tasks %s --tasks_from %s%s", name, out, tokens)


def read_yaml(path: Path, depth: int = 0) -> dict[str, Any]:
    """The settings of a task file over those of the file it includes.

    Raises:
        ValueError: a file is missing, too large, no YAML of settings, or includes itself.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def to_code(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Code:
        return Code(loader.construct_scalar(node))

    Loader.add_constructor("!function", to_code)
    if not path.is_file() or path.stat().st_size > _BYTES_MAX:
        raise ValueError(f"{path}: no such file, or larger than {_BYTES_MAX:,} bytes")
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML ({str(error)[:200]})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(found).__name__}")
    if (other := found.get("include")) is None:
        return found
    if depth >= _INCLUDES_MAX or not isinstance(other, str) or Path(other).name != other:
        raise ValueError(f"{path}: include {other!r}, expected a file beside it, at most {_INCLUDES_MAX} deep")
    return {**read_yaml(path.parent / other, depth + 1), **found}


def to_source(settings: Mapping[str, Any], path: Path) -> tuple[str, str]:
    """Name and source of the task file.

    Raises:
        ValueError: keys can't be taken; each is named with the reason.
    """
    refused = [f"{key}: {why}" for key, why in find_refused(settings).items()]
    if refused:
        raise ValueError(f"{path}: " + "; ".join(refused) + ". Write a task file instead: docs/guides/add_benchmark.md")
    name, hub = str(settings["task"]), str(settings["dataset_path"])
    split = str(settings.get("test_split") or settings.get("validation_split"))
    config = settings.get("dataset_name")
    metric = settings["metric_list"][0]
    options: dict[str, Any] = {key: True for key in ("ignore_case", "ignore_punctuation") if metric.get(key)}
    until = (settings.get("generation_kwargs") or {}).get("until") or []
    if until:
        options |= {"until": tuple(str(one) for one in ([until] if isinstance(until, str) else until))}
    fields = [("text", settings["doc_to_text"]), ("target", settings["doc_to_target"])]
    if visual := _COLUMN.fullmatch(str(settings.get("doc_to_visual") or "")):
        fields.append(("visual", visual[1] or visual[2]))
    lines = [f"    {key}={value!r}," for key, value in [*fields, *options.items()]]
    place = f"Hub {hub} ({f'configuration {config}, ' if config else ''}split {split})"
    return name, "\n".join(
        [
            f'"""{name}: imported from an lmms-eval task file.',
            "",
            f"Source: {place}",
            "Licence: see the Hub card · Rows: all of the split",
            "Metric: exact_match",
            '"""',
            "",
            "from eval_tasks.readers.template_rows import TemplateRows",
            "from eval_tasks.rows.benchmark_table import HubRows",
            "",
            "ROWS = TemplateRows(",
            f"    HubRows({hub!r}, {split!r}, {config and str(config)!r}),",
            *lines,
            ")",
            f"TASK = ROWS.task({name!r}, __doc__)",
            "",
        ]
    )


def find_refused(settings: Mapping[str, Any]) -> dict[str, str]:
    """Key -> why it can't be taken."""
    refused = {key: "unknown here" for key in settings if key not in (*_TAKEN, *_IGNORED)}
    refused |= {
        key: f"!function {value} is code" + (f"; pass --{key}" if key in _TEMPLATES else "")
        for key, value in settings.items()
        if isinstance(value, Code)
    }
    if settings.get("output_type", "generate_until") != "generate_until":
        refused["output_type"] = f"{settings['output_type']!r}, expected generate_until"
    patterns = {"task": _NAME, "dataset_path": _PLACE, "dataset_name": _PLACE, "test_split": _PLACE}
    patterns |= {"validation_split": _PLACE}
    for key, pattern in patterns.items():
        value = settings.get(key)
        needed = key in ("task", "dataset_path")
        if (needed or value is not None) and not (isinstance(value, str) and pattern.fullmatch(value)):
            refused.setdefault(key, f"{value!r}, expected a plain name")
    if not settings.get("test_split") and not settings.get("validation_split"):
        refused["test_split"] = "missing"
    if others := sorted(set(settings.get("dataset_kwargs") or {}) - set(_ACCESS)):
        refused["dataset_kwargs"] = f"{', '.join(map(str, others))}: other rows than the split's"
    if settings.get("num_fewshot"):
        refused["num_fewshot"] = f"{settings['num_fewshot']!r}, expected 0"
    for key in _TEMPLATES:
        value = settings.get(key)
        if value is None and key == "doc_to_visual":
            continue
        if not isinstance(value, str) or not value:
            refused.setdefault(key, f"{value!r}, expected a template or a column")
        elif (unknown := find_unknown(value)) is not None:
            refused.setdefault(key, f"{unknown!r} is more than a column")
        elif key == "doc_to_visual" and not _COLUMN.fullmatch(value):
            refused.setdefault(key, f"{value!r}, expected a column")
    return refused | _refused_inside(settings)


def _refused_inside(settings: Mapping[str, Any]) -> dict[str, str]:
    """What can't be taken of the generation settings and the metrics."""
    refused = {}
    generation = settings.get("generation_kwargs") or {}
    known = ("max_new_tokens", "max_gen_toks", "until", "top_p", *_GREEDY)
    for key, value in generation.items() if isinstance(generation, Mapping) else [("", generation)]:
        if key not in known or value not in _GREEDY.get(key, (value,)):
            refused[f"generation_kwargs.{key}"] = f"{value!r}, expected greedy decoding"
    metrics = settings.get("metric_list")
    if not isinstance(metrics, list) or len(metrics) != 1 or not isinstance(metrics[0], Mapping):
        return refused | {"metric_list": f"{metrics!r}"[:80] + ", expected exact_match alone"}
    expected = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
    for key, value in metrics[0].items():
        is_flag = key in ("ignore_case", "ignore_punctuation") and isinstance(value, bool)
        if not is_flag and expected.get(key) != value:
            refused[f"metric_list.{key}"] = f"{value!r}, expected {expected.get(key, 'no such key')!r}"
    return refused
