"""Every regular expression of the packages, and every reader of foreign text, timed at n and 4n characters.

    python -m tests.pattern_table [WORD]      the table: pattern x text x milliseconds at n and 4n

The exit code is 1 if one is not linear. WORD: only those whose name holds it.

Patterns are found in the source: each call of `re` with a pattern that can be computed from its module's names, and
what is compiled in the modules' globals. A pattern that is built at run time is timed as part of its reader. The
texts are repeated pieces: general ones, and those that the pattern itself is made of.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import itertools
import pkgutil
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from re import _parser  # type: ignore[attr-defined]  # isort: skip  (the library's own parser of patterns)

from tests.foreign_readers import READERS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mmcr_dataset", "mmcr_bench", "eval_tasks", "training", "experiments")
CALLS = [f"re.{use}" for use in "compile search match fullmatch sub subn split findall finditer".split()]
STARTS = ("", "<", "{", "'", "1", "`")
UNITS = (
    " ", "\n", " \n", "\t", "1", "a", "<", "{", "'a':1,", "<think>", "<image ", "1.", "1,", "*", "/", "ab ", "\\", "$",
    "(", "[", "-", "|", "the ", ". ", "A", "A ", "image 1, ", "overall: ", "'", '"', "not ", "é", "=", "#", "_",
)  # fmt: skip
SMALL, LARGE = 1000, 4000
# Built at run time from words of our own or of the user's, and never from what is read; the reason for each place.
OWN_WORDS = {
    "mmcr_dataset.command_flags": "reads the command line",
    "mmcr_dataset.stage.takedowns": "the pattern is the user's own, read once over short addresses",
    "mmcr_bench.exact.resolve_words": "reads questions of at most 2,000 characters that the program wrote",
    "mmcr_bench.trust.fact_changes": "one word between boundaries",
    "eval_tasks.registry": "reads the docstrings of tasks",
    "eval_tasks.models.checkpoint": "alternatives of fixed words",
    "training.data.encode": "alternatives of fixed words",
    "eval_tasks.readers.exact_denials": "recorded while the readers run",
    "eval_tasks.readers.exact_mentions": "recorded while the readers run",
    "eval_tasks.readers.yes_no": "recorded while the readers run",
    "mmcr_bench.judge.masking": "recorded while the readers run",
    "mmcr_dataset.endpoint.thoughts": "recorded while the readers run",
    "mmcr_dataset.endpoint.reply": "recorded while the readers run",
}


class Timed(NamedTuple):
    """The slowest text of a pattern or reader: seconds at n and at 4n."""

    name: str
    text: str
    small_s: float
    large_s: float

    @property
    def is_linear(self) -> bool:
        """False if four times the length takes far more than four times the time."""
        return self.large_s < 0.004 or self.large_s <= 9 * self.small_s


def modules() -> Iterator[ModuleType]:
    """Every module of the packages whose extra is installed."""
    for package in map(importlib.import_module, PACKAGES):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    yield importlib.import_module(found.name)


def patterns() -> tuple[dict[str, tuple[re.Pattern[str], str]], list[str]]:
    """Name -> pattern and how it is used, and the places whose pattern can't be computed from the module's names."""
    found: dict[str, tuple[re.Pattern[str], str]] = {}
    unknown: list[str] = []
    for module in modules():
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        for name, value in vars(module).items():
            for number, one in enumerate(_compiled(value)):
                found[f"{module.__name__}.{name}[{number}]"] = one, _use(name, source)
        for call in _calls(source):
            pattern = _value(call.args[0], module)
            if pattern is None:
                unknown.append(f"{module.__name__}:{call.lineno}")
            elif isinstance(pattern, str):
                others = [_value(one, module) for one in (*call.args[1:], *(word.value for word in call.keywords))]
                flags = [one for one in others if isinstance(one, re.RegexFlag)]
                use = ast.unparse(call.func).split(".")[1]
                if use == "compile" and call.col_offset and pattern in {one.pattern for one, _ in found.values()}:
                    continue  # a global of the module, as it is used
                found[f"{module.__name__}:{call.lineno}"] = re.compile(pattern, *flags[:1]), use
    return found, unknown


def _calls(source: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in CALLS:
            yield node


def _value(node: ast.expr, module: ModuleType) -> Any:
    """What an expression of a module is worth outside of its functions; None if that can't be said."""
    try:
        return eval(ast.unparse(node), dict(vars(module)))
    except (NameError, AttributeError, TypeError):  # it holds a local name
        return None


def _compiled(value: Any) -> Iterator[re.Pattern[str]]:
    """The patterns in a value: alone, in sequences, in dictionaries."""
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        for one in value:
            yield from _compiled(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _compiled(one)


def _use(name: str, source: str) -> str:
    """How a module uses a pattern: match or fullmatch where it does nothing else."""
    used = set(re.findall(rf"\b{re.escape(name)}\.(\w+)\(", source))
    return next((one for one in ("match", "fullmatch") if used == {one}), "search")


def reader_of(pattern: re.Pattern[str], use: str) -> Callable[[str], object]:
    """A pattern as it is used: at one place of a text, or at all."""
    if use in ("match", "fullmatch"):
        reader: Callable[[str], object] = getattr(pattern, use)
        return reader
    return lambda text: sum(1 for _ in pattern.finditer(text))


def pieces(pattern: re.Pattern[str]) -> list[str]:
    """Texts that a pattern is made of: the shortest that it matches, the same without its end, its words."""
    whole = _sample(_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    words = sorted(set(re.findall(r"\w{2,}", whole)), key=len)[-3:]
    return [one for one in dict.fromkeys([whole, whole[:-1], whole[: len(whole) // 2], *words]) if one.strip()]


def _sample(tree: Iterable[Any]) -> str:
    """A short text that a parsed pattern matches, roughly: look-arounds and back-references are left out."""
    text = ""
    for op, value in tree:
        name = str(op)
        if name == "LITERAL":
            text += chr(value)
        elif name == "IN":
            first = next((one for one in value if str(one[0]) in ("LITERAL", "RANGE")), None)
            text += "a" if first is None else chr(first[1] if isinstance(first[1], int) else first[1][0])
        elif name in ("ANY", "NOT_LITERAL", "CATEGORY"):
            text += "a"
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            text += _sample(value[2]) * min(max(1, value[0]), 8)
        elif name == "SUBPATTERN":
            text += _sample(value[3])
        elif name == "ATOMIC_GROUP":
            text += _sample(value)
        elif name == "BRANCH":
            text += _sample(value[1][0])
    return text


def seconds(read: Callable[[str], object], text: str) -> float:
    """CPU seconds of one reading."""
    start = time.process_time()
    with contextlib.suppress(ValueError, KeyError, RecursionError):
        read(text)
    return time.process_time() - start


def slowest(name: str, read: Callable[[str], object], units: Iterable[str], starts: Iterable[str] = STARTS) -> Timed:
    """The text with the greatest growth of time, each measured at its best of three."""
    worst = Timed(name, "", 0.0, 0.0)
    for start, unit in itertools.product(starts, dict.fromkeys(units)):
        small, large = (start + unit * max(1, length // len(unit)) + "x" for length in (SMALL, LARGE))
        once = Timed(name, start + unit, 0.0, seconds(read, large))
        if once.large_s >= 0.004:
            best = [min(seconds(read, text) for _ in range(3)) for text in (small, large)]
            once = Timed(name, start + unit, *best)
        worst = max(worst, once, key=lambda one: (not one.is_linear, one.large_s))
        if not worst.is_linear:
            break
    return worst


@contextlib.contextmanager
def recorded() -> Iterator[dict[str, re.Pattern[str]]]:
    """The patterns that the packages' own code compiles in this block, by module."""
    found: dict[str, re.Pattern[str]] = {}
    compile_ = re._compile  # type: ignore[attr-defined]

    def note(pattern: Any, flags: int) -> Any:
        compiled = compile_(pattern, flags)
        module = sys._getframe(2).f_globals.get("__name__", "")
        if module.split(".")[0] in PACKAGES and isinstance(pattern, str):
            found[f"{module}, run time: {pattern[:40]!r}"] = compiled
        return compiled

    re._compile = note  # type: ignore[attr-defined]
    try:
        yield found
    finally:
        re._compile = compile_  # type: ignore[attr-defined]


def built_at_run_time() -> dict[str, re.Pattern[str]]:
    """The patterns that the readers build when they read, whatever was read before."""
    for module in modules():
        for value in vars(module).values():
            if hasattr(value, "cache_clear") and getattr(value, "__module__", "").split(".")[0] in PACKAGES:
                value.cache_clear()
    with recorded() as found:
        for read in READERS.values():
            for text in ("image 1 shows 3 of them. {'clarity': 7, overall: 8} not A, so B. <think>a</think>", "B", ""):
                with contextlib.suppress(ValueError, KeyError):
                    read(text)
    return found


def all_timed(word: str = "") -> Iterator[Timed]:
    """Every pattern once, then every reader, each with its slowest text."""
    found, _ = patterns()  # those that are built at run time are timed as part of their readers
    unique = {(pattern.pattern, pattern.flags, use): (name, pattern) for name, (pattern, use) in found.items()}
    for (_, _, use), (name, pattern) in unique.items():
        if word in name:
            own = pieces(pattern)
            yield slowest(name, reader_of(pattern, use), (*UNITS, *own), (*STARTS, *own[:1]))
    for name, read in READERS.items():
        if word in name:
            yield slowest(name, read, UNITS)


def main(words: list[str]) -> int:
    """Print the table; returns 1 if a time is not linear."""
    print(f"{'ms at ' + str(SMALL):>10} {'ms at ' + str(LARGE):>10}  pattern or reader, text that it takes longest for")
    num, slow = 0, []
    for one in all_timed(*words[:1]):
        num += 1
        mark = "" if one.is_linear else "  NOT LINEAR"
        slow += [one.name] * (not one.is_linear)
        print(f"{1000 * one.small_s:10.2f} {1000 * one.large_s:10.2f}  {one.name}  {one.text[:40]!r}{mark}", flush=True)
    print(f"{num} patterns and readers, {len(slow)} not linear: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
