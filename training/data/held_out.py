"""Held-out dialogues: evaluated while training, never trained; no dialogue and no image is on both sides."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.config import TrainConfig
from training.data.mixture import Share, load_set
from training.data.row_order import ShuffledStream

_TAIL_BYTES = 1024  # with the size they tell images apart; two that they don't are held out together, which is safe
_ROWS_AT_ONCE = 1000
_SIDE_COLUMNS = ["messages", "images"]

Keys = frozenset[str]  # of a row: its text and its images


@dataclass(frozen=True)
class EvalRows:
    """The held-out rows, each with its domain: its own, else the name of its data set."""

    rows: Any
    domains: Sequence[str]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.rows[index], "domain": self.domains[index]}


class HeldOut(NamedTuple):
    """The rows to train, the held-out ones, a line about them and their digest."""

    train: Any
    held_out: EvalRows | None
    note: str
    digest: str | None


def hold_out(config: TrainConfig, rows: Any, shares: Sequence[Share]) -> HeldOut:
    """Hold out the rows of --eval_data, or --eval_percent of the mixture.

    Args:
        config: the settings.
        rows: the mixture, or a ShuffledStream.
        shares: the data sets of the mixture, in its order.

    Raises:
        ValueError: a set is missing, or nothing is left on one side.
    """
    if config.eval_data:
        return _hold_out_sets(config, rows)
    if not config.eval_percent:
        return HeldOut(rows, None, "", None)
    names = [share.name for share in shares for _ in range(share.num_taken)]
    keys = [row_keys(row) for row in _texts_and_images(rows)]
    chosen = choose_groups(group_rows(keys), config.eval_percent / 100, config.seed)
    apart = set(chosen)
    first = {keys[index]: index for index in reversed(chosen)}  # a row that is taken twice is evaluated once
    held_out = _with_domains(rows, sorted(first.values()), names)
    kept = [index for index in range(len(rows)) if index not in apart]
    return HeldOut(rows.select(kept), held_out, _note(held_out, len(kept)), _digest(keys, first.values()))


def _hold_out_sets(config: TrainConfig, rows: Any) -> HeldOut:
    from datasets import concatenate_datasets

    sets = [load_set(name, config, False, "eval_data") for name in config.eval_data]
    names = [name for name, one in zip(config.eval_data, sets, strict=True) for _ in range(len(one))]
    together = concatenate_datasets([one for one in sets if len(one)])
    keys = [row_keys(row) for row in _texts_and_images(together)]
    held_out = _with_domains(together, range(len(together)), names)
    known = frozenset().union(*keys)
    digest = _digest(keys, range(len(keys)))
    if isinstance(rows, ShuffledStream):
        sets = [one.filter(_Apart(known)) for one in rows.sets]
        note = f"held out: {len(held_out)} dialogues; what shares an image or the text with them is left out"
        return HeldOut(dataclasses.replace(rows, sets=sets), held_out, note, digest)
    kept = [index for index, row in enumerate(_texts_and_images(rows)) if known.isdisjoint(row_keys(row))]
    if not kept:
        raise ValueError(
            f"--eval_data {' '.join(config.eval_data)}: every row of --data shares an image or the text with it"
        )
    left_out = len(rows) - len(kept)
    note = _note(held_out, len(kept)) + (f"; {left_out} rows that share an image or the text left out" * bool(left_out))
    return HeldOut(rows.select(kept) if left_out else rows, held_out, note, digest)


@dataclass(frozen=True)
class _Apart:
    """True for a row that shares nothing with the held-out ones."""

    known: Keys

    def __call__(self, row: Mapping[str, Any]) -> bool:
        return self.known.isdisjoint(row_keys(row))


def row_keys(row: Mapping[str, Any]) -> Keys:
    """A key of the row's text, and one of each of its images."""
    texts = [f"text {_sha(repr(row['messages']).encode())}"]
    return frozenset(texts + [f"image {_image_key(image)}" for image in row["images"] or ()])


def _image_key(image: Mapping[str, Any]) -> str:
    data = image.get("bytes")
    return f"{len(data)} {_sha(data[-_TAIL_BYTES:])}" if data else str(image.get("path"))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def group_rows(keys: Sequence[Keys]) -> list[list[int]]:
    """Row indices in groups that share no key with each other."""
    parent = list(range(len(keys)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[str, int] = {}
    for index, of_row in enumerate(keys):
        for key in of_row:
            parent[root(index)] = root(seen.setdefault(key, index))
    groups: dict[int, list[int]] = {}
    for index in range(len(keys)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def choose_groups(groups: Sequence[Sequence[int]], share: float, seed: int) -> list[int]:
    """Row indices of randomly drawn groups, together at most that share of all rows (at least one row).

    Raises:
        ValueError: every group has more rows, or the only one would leave nothing to train.
    """
    total = sum(map(len, groups))
    room = max(1, round(total * share))
    chosen: list[int] = []
    for number in np.random.default_rng(seed).permutation(len(groups)):
        if len(chosen) + len(groups[number]) <= room:
            chosen += groups[number]
    if not chosen or len(chosen) == total:
        raise ValueError(
            f"--eval_percent {100 * share:g}: of {total} dialogues at most {room} can be held out, and the smallest "
            f"group that shares no image with the others has {min(map(len, groups), default=0)}; change the "
            "percentage, or give a set of its own with --eval_data"
        )
    return chosen


def _with_domains(rows: Any, indices: Iterable[int], names: Sequence[str]) -> EvalRows:
    indices = list(indices)
    held_out = rows.select(indices)
    given = held_out["domain"][:] if "domain" in held_out.column_names else [None] * len(indices)
    return EvalRows(held_out, [domain or Path(names[index]).name for domain, index in zip(given, indices, strict=True)])


def _texts_and_images(rows: Any) -> Iterable[Mapping[str, Any]]:
    """Rows without the rest of their columns and without truncation."""
    plain = rows.select_columns(_SIDE_COLUMNS).with_format(None)
    for batch in plain.iter(batch_size=_ROWS_AT_ONCE):
        yield from (dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True))


def _digest(keys: Sequence[Keys], indices: Iterable[int]) -> str:
    chosen = sorted(" ".join(sorted(keys[index])) for index in indices)
    return f"{len(chosen)} dialogues ({_sha(repr(chosen).encode())[:12]})"


def _note(held_out: EvalRows, num_trained: int) -> str:
    return f"held out: {len(held_out)} dialogues of {len(set(held_out.domains))} domains; {num_trained} to train"
