"""A page of dialogues to look at: images, questions, answers, and what is known about each question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from mmcr_bench.exact.exact_set import ROLES, Asked, ExactItem, read_exact
from mmcr_dataset.pages.render import render_page
from mmcr_dataset.stage.stages import write_text

TEMPLATE = Path(__file__).parent / "show.html"


def show_exact(folder: Path, ids: Sequence[str], number: int, output_file: Path) -> str:
    """Write a page of dialogues and everything made from them; returns what was written, in words.

    Args:
        folder: written by `python -m mmcr_bench exact build`.
        ids: ids of rows or of linked dialogues; none for the first `number` dialogues.
        number: dialogues without ids.
        output_file: the page.

    Raises:
        ValueError: the folder is no such set, or has none of an id.
    """
    groups = _find_groups(folder, ids) if ids else _first_groups(read_exact(folder), number)
    items = [item for item in read_exact(folder) if item.group in groups]
    found = {item.group for item in items}
    shown = [
        (group, [_show_item(item) for item in sorted(items, key=_order) if item.group == group])
        for group in sorted(found)
    ]
    lead = "Beside each answer: operator; what it needs; distance in turns and images; age of the image; best guesses."
    write_text(output_file, render_page(TEMPLATE, title=folder.name, lead=lead, groups=shown))
    return f"{output_file}: {len(shown)} dialogues, {len(items)} rows"


def _find_groups(folder: Path, ids: Sequence[str]) -> set[str]:
    """The dialogues that rows belong to."""
    group_of = {item.dialogue.id: item.group for item in read_exact(folder)}
    group_of |= {group: group for group in set(group_of.values())}
    missing = [id_ for id_ in ids if id_ not in group_of]
    if missing:
        raise ValueError(f"{folder}: no row {missing[0]!r}; its ids look like {next(iter(group_of))}")
    return {group_of[id_] for id_ in ids}


def _first_groups(items: Iterable[ExactItem], number: int) -> set[str]:
    return set(islice(dict.fromkeys(item.group for item in items), number))


def _order(item: ExactItem) -> int:
    return ROLES.index(item.role)


def _show_item(item: ExactItem) -> tuple[str, object, list[list[tuple[str, str]]]]:
    """Title, dialogue and the notes of each turn."""
    return f"{item.role}: {item.dialogue.id}", item.dialogue, [[("facts", _show_facts(asked))] for asked in item.turns]


def _show_facts(asked: Asked) -> str:
    facts = asked.facts
    needs = f"{asked.op} ({asked.type}); needs {', '.join(facts.needs) or 'nothing'}"
    guesses = ", ".join(f"{view} {guess:.2f}" for view, guess in asked.guesses.items()) or "not computed"
    distance = f"distance {facts.distance_turns} turns, {facts.distance_images} images"
    return f"{needs}; {distance}; image age {facts.image_age}; hops {facts.hops}; guesses: {guesses}"
