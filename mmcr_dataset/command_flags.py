"""Parse command-line arguments to dataclasses, whose fields are the flags (tyro); old flag names still work."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import io
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

# Old flag name -> new names, of which a command has one. OLD_FLAGS are deprecated and log a warning, ALIASES stay.
OLD_FLAGS: dict[str, tuple[str, ...]] = {
    "to": ("push_to",),
    "side_by_side": ("batch_size",),
    "recompute": ("gradient_checkpointing",),
    "picture_tiling": ("image_tiling",),
}
ALIASES: dict[str, tuple[str, ...]] = {
    "out": ("output_dir", "output_file"),
    "output_path": ("output_dir",),
    "license": ("licence",),
}

_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}
C = TypeVar("C")
COMMON_HELP = "-v, --verbose (debug log, tracebacks) and -q, --quiet (warnings only)"
_RECIPE_HELP = "--config FILE.yaml (flags as YAML; the command line wins), "

log = logging.getLogger(__name__)


def parse(command: type[C], words: Sequence[str], name: str, default: C | None = None) -> C:
    """Parse arguments to an instance of a command.

    Args:
        command: a dataclass.
        words: the arguments; `--a-b` equals `--a_b`, `--flag true` equals `--flag`, and `--config FILE.yaml` inserts
            the flags of that file before the others.
        name: the program's name, for `--help` and errors.
        default: instance whose values replace the fields' defaults.

    Raises:
        ValueError: the arguments don't match the fields; the message names the flag and what was expected.
        SystemExit: after printing `--help`.
    """
    import tyro

    recipe, words = _split_recipe(command, words)
    words = _translate(command, _rename_flags(command, words, name))
    check_given_once(command, words)
    words = [*_translate(command, _rename_flags(command, recipe, name)), *words]
    about = (inspect.getdoc(command) or "").partition("Attributes:")[0].strip()
    stderr = io.StringIO()
    wide = not {"-h", "--help"} & set(words)  # keeps error messages on one line
    try:
        with _columns(1000) if wide else contextlib.nullcontext(), contextlib.redirect_stderr(stderr):
            return tyro.cli(
                command,
                prog=name,
                description=f"{about}\n\nTakes also {'' if _has_config(command) else _RECIPE_HELP}{COMMON_HELP}.",
                args=words,
                default=default if default is not None else tyro.MISSING_NONPROP,
                use_underscores=True,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ValueError(_show_error(stderr.getvalue(), name)) from stop


def _has_config(command: type[Any]) -> bool:
    """True if `--config` is a flag of the command's own."""
    return "config" in {one.name for one in dataclasses.fields(command)}


def _split_recipe(command: type[Any], words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags of each `--config FILE.yaml`, unless the command has a field `config`, and the other arguments."""
    if _has_config(command):
        return [], list(words)
    recipe: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        flag, equals, value = word.partition("=")
        if flag != "--config":
            rest.append(word)
            continue
        path = Path(value if equals else next(left, ""))
        for name, setting in read_recipe(path).items():
            flag, known = name.replace("-", "_"), flags_of(command)
            if flag not in known and flag not in OLD_FLAGS | ALIASES and flag not in _foreign_names(command):
                raise ValueError(f"{path}: {name}: no such field{suggest(flag, known)}; see --help")
            recipe += _to_words(flag, setting, flag in appending_flags(command))
    return recipe, rest


def _to_words(flag: str, setting: object, appends: bool) -> list[str]:
    """The arguments of a setting of a YAML file; a flag that appends is repeated, with NAME=VALUE for a mapping."""
    if setting is None:
        return []
    if isinstance(setting, Mapping):
        setting = [f"{name}={value}" for name, value in setting.items()] if appends else json.dumps(setting)
    values = [str(value) for value in setting] if isinstance(setting, list) else [str(setting)]
    if appends:
        return [word for value in values for word in (f"--{flag}", value)]
    return [f"--{flag}", *values]


def _foreign_names(command: type[Any]) -> Collection[str]:
    """Other programs' flag names that a command takes (its `FOREIGN`)."""
    names: Collection[str] = getattr(command, "FOREIGN", ())
    return names


def _translate(command: type[Any], words: list[str]) -> list[str]:
    """The arguments with other programs' names replaced (by the command's `translate`)."""
    if not _foreign_names(command):
        return words
    translated: list[str] = command.translate(words)
    return translated


def appending_flags(command: type[Any]) -> set[str]:
    """The flags of a command that may be repeated, under both their names."""
    from tyro.conf import UseAppendAction

    found: set[str] = set()
    for field, hint in get_type_hints(command, include_extras=True).items():
        metadata = getattr(hint, "__metadata__", ())
        if UseAppendAction in metadata:
            found |= {field, *filter(None, (getattr(part, "name", None) for part in metadata))}
    return found


def check_given_once(command: type[Any], words: Sequence[str]) -> None:
    """Check that no flag is given twice, of which only the last would count; flags that append may be.

    Raises:
        ValueError: one is.
    """
    appending = appending_flags(command)
    flags = [word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")]
    for name, count in Counter(flag.removeprefix("no_") for flag in flags).items():
        if count > 1 and name not in appending:
            raise ValueError(f"--{name} is given {count} times; give it once, several values after each other")


def read_recipe(path: Path) -> dict[str, Any]:
    """The settings of a YAML file: flag names without dashes -> values.

    Raises:
        ValueError: there is no such file, or it is not YAML of the form `flag: value`.
    """
    import yaml

    if not path.is_file():
        raise ValueError(f"--config {path}: no such file; the recipes of train.py are in training/recipes/")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected lines of `flag: value`, got a {type(values).__name__}")
    return {str(name): value for name, value in values.items()}


def suggest(word: str, known: Sequence[str]) -> str:
    """`; did you mean a or b?` with the closest known names, empty if none is close."""
    found = difflib.get_close_matches(word, list(known), n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def flags_of(command: type[Any]) -> list[str]:
    """The flags in a command's `--help`, without their dashes."""
    stdout = io.StringIO()
    with _columns(80), contextlib.redirect_stdout(stdout), contextlib.suppress(SystemExit):
        parse(command, ["--help"], "program")
    shown = re.findall(r"^(?:│ |  )(--?\w.*?)(?:  |│|$)", stdout.getvalue(), flags=re.M)  # `--flag INT  what it is`
    return re.findall(r"--([a-z]\w*)", " ".join(shown))


@contextlib.contextmanager
def _columns(number: int) -> Iterator[None]:
    """Set the terminal width for the code inside."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(number)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _rename_flags(command: type[Any], words: Sequence[str], name: str) -> list[str]:
    """The arguments with old flag names replaced, and `--flag true` as a switch."""
    known: list[str] | None = None
    result: list[str] = []
    switch = "|".join(_TRUE | _FALSE)
    words = [
        one for word in words for one in (word.split("=") if re.fullmatch(rf"--[\w-]+=({switch})", word) else [word])
    ]
    for word in words:
        if word.startswith("--") and " " in word and "=" not in word and result and result[-1].startswith("--"):
            result[-1] = f"{result[-1]}={word}"  # flags in quotes, for another program
            continue
        flag, equals, value = word.partition("=")
        bare = flag.removeprefix("--").replace("-", "_")
        if result and result[-1].startswith("--") and "=" not in result[-1] and word.lower() in _TRUE | _FALSE:
            before = result[-1].removeprefix("--").replace("-", "_")
            known = known if known is not None else flags_of(command)
            if f"no_{before}" in known:
                result[-1] = f"--{before}" if word.lower() in _TRUE else f"--no_{before}"
                continue
        if flag.startswith("--") and (new := ALIASES.get(bare) or OLD_FLAGS.get(bare)):
            known = known if known is not None else flags_of(command)
            chosen = next((one for one in new if one in known), None)
            if bare not in known and chosen is not None:
                if bare in OLD_FLAGS:
                    log.warning(
                        "%s: --%s is now --%s; the old name will be removed in the next version", name, bare, chosen
                    )
                flag = f"--{chosen}"
        result.append(flag + equals + value)
    return result


def _show_error(text: str, name: str) -> str:
    """Tyro's error message as one line, without its box and title."""
    lines = [line.strip("│╭╮╰╯ ") for line in text.splitlines()][1:]
    parts: list[str] = []
    for line in lines:
        if not line.strip("─-") or line.startswith("For full helptext") or f"{name} --help" in line:
            continue
        if line == "Argument helptext:":
            break
        line = re.sub(r"^Error parsing [\w.]+: (?=--)", "", line)
        parts.append(line if not parts or parts[-1].endswith(":") else f"; {line}")
        if re.match(r"--?\w|[A-Z\[{]+\b", line) and parts[0].startswith("Missing from"):
            parts[-1] += ":"  # a flag, followed by its help
    message = " ".join(parts).replace(" ;", ";")
    return f"{message.removesuffix(':')}; see `{name} --help`"
