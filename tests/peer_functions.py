"""Functions of other projects, taken from their files by name and run alone, beside ours on generated replies."""

from __future__ import annotations

import ast
import json
import logging
import math
import random
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

OPTIONS = {"A": "red car", "B": "blue car", "C": "green", "D": "two"}
WORDS = (
    "A B C D a b E Answer: answer: Final The is the a (A) (B) (c) {B} $C$ B. D) B: **B** the answer is Final Answer: "
    "3 12 -4 no yes Yes. True eleven two 14% 0.5 1,000 3.50 3.4 3.68 twelve 12.0 $5.00 [1, 2] [3] label: 7 dont isn't "
    "e-mail? É 木 1/2 . , ! \n Z J"
)
PIECES = [*WORDS.split(" "), *OPTIONS.values(), "answer is C", "it's", "red car.", "", "camera"]
Reader = Callable[[str], object]


class Row(NamedTuple):
    """A scorer of ours beside the peer's.

    Attributes:
        task: the task.
        peer: the peer's file and function.
        ours: reply -> what is read of it, or its points.
        theirs: likewise.
        why: why some differ, as the task's docstring says; empty if none may.
    """

    task: str
    peer: str
    ours: Reader
    theirs: Reader
    why: str = ""


AROUND = ("{}", "{}", "{}.", " {}", "{}\n", "{}!", "({})", "{}%", "answer: {}", "{} ,")


def replies(number: int, seed: int = 0) -> list[str]:
    """Generated replies: up to eight pieces of answers and oddities, or one piece in odd surroundings."""
    rng = random.Random(seed)
    found = []
    for _ in range(number):
        if rng.random() < 0.3:
            piece = rng.choice(AROUND).format(rng.choice(PIECES))
            found.append(rng.choice((piece, piece.lower(), piece.upper())))
        else:
            found.append(rng.choice((" ", " ", "")).join(rng.choices(PIECES, k=rng.randint(0, 8))))
    return found


def functions_of(path: Path, names: Sequence[str] = (), **given: Any) -> dict[str, Any]:
    """These functions, classes and constants of a file, by default all functions, beside the standard library."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    of_file = {_name_of(node): node for node in tree.body}
    names = names or [_name_of(node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    found = [node for name, node in of_file.items() if name in names]
    if missing := set(names) - set(of_file):
        raise ValueError(f"{path}: no function {', '.join(sorted(missing))}")
    known = {"re": re, "json": json, "random": random, "string": string, "np": np, "math": math, "os": __import__("os")}
    known |= {"Counter": Counter, "defaultdict": defaultdict, "cp": __import__("copy"), "logging": logging}
    known |= {"get_logger": logging.getLogger, "logger": logging.getLogger("peer"), "__name__": "peer", **given}
    module = ast.Module([ast.parse("from __future__ import annotations").body[0], *found], type_ignores=[])
    exec(compile(ast.fix_missing_locations(module), str(path), "exec"), known)
    return known


def _name_of(node: ast.stmt) -> str:
    """The name that a statement defines; empty for others."""
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else ""
