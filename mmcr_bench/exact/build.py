"""Build a set of the controlled world: draw dialogues, reject what can be guessed, pair, tell, write."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcr_bench.exact.captions import caption_row
from mmcr_bench.exact.draw import all_facts, draw_script
from mmcr_bench.exact.exact_set import FORMAT, SETTINGS_NAME, VARIANTS, ExactItem, to_json, write_programs
from mmcr_bench.exact.pairs import history_half, image_half
from mmcr_bench.exact.plan import Frame
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.scene import DOMAINS, draw_scene
from mmcr_bench.exact.set_card import write_set_card
from mmcr_bench.exact.settings import ExactSettings
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.tell_items import Guesses, Telling, paint_images
from mmcr_bench.exact.views import add_blind, guesses_of, keeps_limits
from mmcr_dataset.publish.parquet import ShardWriter, count_shards
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.stage.stages import write_text

log = logging.getLogger(__name__)
_MAX_ATTEMPTS = 50  # dialogues drawn for one that keeps all limits
_SLACKS = (1, 2, 4)  # questions that an answer may be above its share: small worlds with few operators need more
_BARS = {2: (3, 4), 3: (5, 6)}  # side of a grid -> bars of a chart
_BYTES_A_DIALOGUE = {"plain": 40_000, "rich": 2_000_000}  # for the number of shards
_LOG_EVERY = 500


def build_exact(out: Path, settings: ExactSettings) -> str:
    """Build a set into a new folder; returns what was built, in words.

    Args:
        out: the folder; must not exist.
        settings: what to build.

    Raises:
        ValueError: the folder exists, or the settings allow no dialogue.
    """
    if out.exists():
        raise ValueError(f"{out}: exists; name another folder with --output_dir, or delete it")
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    if settings.telling in ("captions", "places"):
        counts = _write_rows(unfinished, settings, _draw_captions(settings))
    else:
        counts = _write_rows(unfinished, settings, _note_lines(_draw_items(settings), lines))
        if settings.guesses == "all":
            add_blind(lines)
        write_programs(unfinished, lines)
    write_text(unfinished / SETTINGS_NAME, json.dumps({"format": FORMAT, **settings.to_json()}, indent=1) + "\n")
    write_set_card(unfinished, out.name, settings)
    unfinished.rename(out)
    return f"{out}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _write_rows(folder: Path, settings: ExactSettings, rows: Iterable[tuple[str, Dialogue]]) -> Counter[str]:
    """Write dialogues into the shards of their role; returns the number of rows of each role."""
    counts: Counter[str] = Counter()
    num_shards = count_shards(settings.num_dialogues * _BYTES_A_DIALOGUE[settings.style])
    with ExitStack() as stack:
        writers: dict[str, ShardWriter] = {}
        for role, dialogue in rows:
            counts[role] += 1
            inner = "" if settings.telling != "all" or role == "linked" else f"{VARIANTS}/"
            place = f"{inner}{'single' if len(dialogue.images) == 1 else 'multi'}"
            if place not in writers:
                writers[place] = stack.enter_context(ShardWriter(folder / place, num_shards, settings.split))
            writers[place].add(dialogue)
    return counts


def _note_lines(items: Iterable[ExactItem], lines: list[dict[str, Any]]) -> Iterator[tuple[str, Dialogue]]:
    """Role and dialogue of each item, whose line is added to `lines`."""
    for item in items:
        lines.append(to_json(item))
        yield item.role, item.dialogue


def _draw_captions(settings: ExactSettings) -> Iterator[tuple[str, Dialogue]]:
    for number in range(settings.num_dialogues):
        seed = (settings.seed, number)
        rng = np.random.default_rng(seed)
        yield settings.telling, caption_row(rng, _draw_frame(rng, settings), seed, settings.style, settings.telling)


def _draw_items(settings: ExactSettings) -> Iterator[ExactItem]:
    quotas, failed = Quotas(), 0
    for number in range(settings.num_dialogues):
        telling, num_failed = _draw_telling(settings, number, quotas)
        failed += num_failed
        yield from _tell(telling, settings)
        if (number + 1) % _LOG_EVERY == 0:
            log.info("%d of %d dialogues; %d draws given up", number + 1, settings.num_dialogues, failed)


def _tell(telling: Telling, settings: ExactSettings) -> Iterator[ExactItem]:
    """The items that the settings ask for."""
    last = len(telling.script.turns) - 1
    if settings.telling in ("linked", "all"):
        yield telling.linked()
    if settings.telling in ("resolved", "all"):
        yield telling.resolved()
    if settings.telling in ("alone", "all"):
        yield telling.alone(last)
    if settings.telling == "single":
        yield from telling.singles()
    if settings.telling == "all":
        yield from _pairs(telling, settings)


def _pairs(telling: Telling, settings: ExactSettings) -> Iterator[ExactItem]:
    """The other halves of the pairs that the dialogue has."""
    rng = np.random.default_rng([*telling.seed, 3])
    for role, other in (
        ("history", history_half(rng, telling.script)),
        ("image", image_half(rng, telling.script, settings.split == "test")),
    ):
        if other is not None:
            last = len(other.turns) - 1
            found = guesses_of(other, last, telling.seed) if settings.guesses == "all" else {}
            guesses = tuple(found if turn == last else {} for turn in range(len(other.turns)))
            yield telling.with_script(other, guesses).linked(role)


def _draw_frame(rng: np.random.Generator, settings: ExactSettings) -> Frame:
    """Domain, sizes and numbers of a dialogue, each drawn uniformly."""
    domain = DOMAINS[settings.domains[int(rng.integers(len(settings.domains)))]]
    side = settings.sides[int(rng.integers(len(settings.sides)))]
    if domain.name == "charts":
        side = int(rng.choice(_BARS[side]))
    return Frame(
        domain=domain,
        side=side,
        num_images=int(rng.integers(settings.images[0], settings.images[1] + 1)),
        num_turns=int(rng.integers(settings.turns[0], settings.turns[1] + 1)),
        held_out=settings.split == "test",
        ops=settings.ops,
        num_wordings=settings.num_wordings,
        images_first=settings.images_at == "start" or (settings.images_at == "both" and bool(rng.integers(2))),
    )


def _shown_script(script: Script, seed: tuple[int, ...], settings: ExactSettings) -> Script:
    """The dialogue with the scenes that its images show: its own, or for probes those of no dialogue."""
    if settings.images_show != "other":
        return script
    rng, held_out = np.random.default_rng([*seed, 4]), settings.split == "test"
    others = [draw_scene(rng, script.domain, script.side, held_out) for _ in script.scenes]
    return replace(script, scenes=np.stack(others))


def _draw_telling(settings: ExactSettings, number: int, quotas: Quotas) -> tuple[Telling, int]:
    """A dialogue that keeps the limits, and how many were given up before it.

    Raises:
        ValueError: the settings allow none.
    """
    seed = (settings.seed, number)
    rng = np.random.default_rng(seed)
    frame = _draw_frame(rng, settings)
    for attempt, slack in enumerate(slack for slack in _SLACKS for _ in range(_MAX_ATTEMPTS)):
        guesses: dict[int, Guesses] = {}

        def accepts(script: Script, guesses: dict[int, Guesses] = guesses) -> bool:
            turn = len(script.turns) - 1
            guesses[turn] = guesses_of(script, turn, seed)
            return keeps_limits(script, turn, guesses[turn])

        checked = accepts if settings.guesses == "all" else lambda _: True
        script = draw_script(rng, frame, quotas, checked, slack)
        if script is not None:
            quotas.add(script, all_facts(script))
            stored = tuple(guesses.get(turn, {}) for turn in range(len(script.turns)))
            id_ = f"world-{settings.seed}-{number:06d}"
            images = paint_images(_shown_script(script, seed, settings), seed, settings.style, settings.images_show)
            return Telling(id_, seed, settings.style, script, images, stored, settings.images_show), attempt
    raise ValueError(
        f"no dialogue in {len(_SLACKS) * _MAX_ATTEMPTS} draws ({frame.domain.name}, side {frame.side}, "
        f"{frame.num_images} images, {frame.num_turns} turns): allow more --ops or --images, fewer --turns, or "
        "--guesses none"
    )
