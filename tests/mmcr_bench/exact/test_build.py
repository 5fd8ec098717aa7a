"""A built set: the theorems, on real rows; simulated models; what a check notices."""

from __future__ import annotations

import hashlib
import html
import io
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmcr_bench.__main__ import main
from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.check import check_exact
from mmcr_bench.exact.check_balance import find_blind_guesses, find_imbalance
from mmcr_bench.exact.check_images import check_images, thumbnail_of
from mmcr_bench.exact.exact_set import PROGRAMS_NAME, ExactItem, read_exact, solve_from, word
from mmcr_bench.exact.paint import paint
from mmcr_bench.exact.scene import DOMAINS, draw_scene
from mmcr_bench.exact.set_card import read_programs_sha256
from mmcr_bench.exact.settings import ExactSettings
from mmcr_bench.exact.views import insufficient_views, limit_of
from mmcr_bench.exact.wording import num_wordings
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.croissant import file_sha256
from mmcr_dataset.record.load import load_dialogues
from tests.mmcr_bench.exact.conftest import SMALL

Groups = dict[str, dict[str, ExactItem]]
TRAIN = ExactSettings(
    num_dialogues=20, style="plain", domains=("shapes",), sides=(2,), split="train", telling="linked", guesses="none"
)


def folder_sha256(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.mark.parametrize("settings", [TRAIN, replace(SMALL, num_dialogues=4, style="rich")], ids=["train", "bench"])
def test_same_seed_same_bytes(tmp_path: Path, settings: ExactSettings) -> None:
    for place in ("a", "b"):
        build_exact(tmp_path / place / "set", settings)
    assert folder_sha256(tmp_path / "a") == folder_sha256(tmp_path / "b")


def test_set_is_one_of_the_projects(small_set: Path) -> None:
    assert check_dataset(small_set) == []
    linked = list(load_dialogues(str(small_set), split="test"))
    variants = list(load_dialogues(str(small_set), "variants", split="test"))
    assert len(linked) == SMALL.num_dialogues
    assert {dialogue.generation.writer for dialogue in linked} == {"world"}
    assert {dialogue.source.licence for dialogue in linked} == {"CC0-1.0"}
    assert len(variants) > 3 * len(linked)


def test_checksum_of_the_programs_is_on_the_card(small_set: Path) -> None:
    assert read_programs_sha256(small_set) == file_sha256(small_set / PROGRAMS_NAME)


def test_check_finds_nothing_in_a_fresh_set(small_set: Path) -> None:
    report = check_exact(small_set)
    assert report.faults == ()
    assert report.num_dialogues == SMALL.num_dialogues


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_solvers_agree_on_ten_thousand_dialogues(tmp_path: Path) -> None:
    """All domains and sizes, all tellings and pairs, and answers in balance."""
    settings = ExactSettings(10_000, (1, 8), (1, 24), seed=1, style="plain", sides=(2, 3), guesses="none")
    build_exact(tmp_path / "set", settings)
    assert check_exact(tmp_path / "set").faults == ()


@pytest.mark.parametrize("seed", [2, 5])
def test_few_operators_over_small_images_are_drawn_too(tmp_path: Path, seed: int) -> None:
    """Held strictly to their share of all answers, the few that such an image allows leave no dialogue."""
    few: dict[str, Any] = {
        "images": (1, 3),
        "turns": (6, 6),
        "telling": "linked",
        "ops": ("attr", "name"),
        "num_wordings": 1,
    }
    settings = ExactSettings(num_dialogues=40, style="plain", sides=(2,), domains=("shapes",), guesses="none", **few)
    build_exact(tmp_path / "set", replace(settings, split="train", seed=seed))
    assert len(list(load_dialogues(str(tmp_path / "set")))) == 40


def test_balance_names_what_is_too_frequent() -> None:
    def lines(answers: list[int]) -> list[dict[str, Any]]:
        asked = [{"op": "where", "type": "cell", "answer": answer, "guesses": {"blind": 0.9}} for answer in answers]
        return [{"domain": "shapes", "side": 2, "shown_at": [0], "turns": asked}]

    assert list(find_imbalance(lines([0, 1, 2, 3] * 200))) == []
    (fault,) = find_imbalance(lines([0] * 400 + [1, 2, 3] * 133))
    assert "answer 0 has 0.501" in fault
    assert len(list(find_blind_guesses(lines([0] * 100)))) == 1


def test_true_answers_follow_from_true_answers(groups: Groups) -> None:
    for items in groups.values():
        for item in items.values():
            truth = [asked.answer for asked in item.turns]
            assert solve_from(item, truth) == truth
            assert [word(item.domain, item.side, one.type, one.answer) for one in item.turns] == [
                *item.dialogue.references
            ]


def test_a_wrong_reply_is_carried_on_and_an_unread_one_gives_nothing(groups: Groups) -> None:
    carried = 0
    for item in (items["linked"] for items in groups.values()):
        truth: list[int | None] = [asked.answer for asked in item.turns]
        for turn, asked in enumerate(item.turns):
            users = {n for n, later in enumerate(item.turns) if ("said", turn) in list(_leaves(later.program))}
            unread = solve_from(item, [None if n == turn else one for n, one in enumerate(truth)])
            assert {n for n, one in enumerate(unread) if one is None} == users
            if asked.type == "number":
                wrong = solve_from(item, [asked.answer + 1 if n == turn else one for n, one in enumerate(truth)])
                carried += sum(wrong[n] != truth[n] for n in users)
                assert [one for n, one in enumerate(wrong) if n not in users] == [
                    one for n, one in enumerate(truth) if n not in users
                ]
    assert carried > 5


def _leaves(program: Sequence[Any]) -> Iterable[Sequence[Any]]:
    from mmcr_bench.exact.program import leaves

    return leaves(tuple(program))


def pairs_right(groups: Groups, role: str, reply: Callable[[ExactItem], int]) -> list[bool]:
    """For each pair whether a simulated model answers both last questions right."""
    pairs = [(items["linked"], items[role]) for items in groups.values() if role in items]
    return [all(reply(half) == half.turns[-1].answer for half in pair) for pair in pairs]


def guess_by(*seen: object) -> int:
    """A deterministic answer of a model that sees this much."""
    return hashlib.sha256(repr(seen).encode()).digest()[0] % 4


def test_a_perfect_model_has_every_pair(groups: Groups) -> None:
    for role in ("history", "image"):
        right = pairs_right(groups, role, lambda half: half.turns[-1].answer)
        assert len(right) > 15
        assert all(right)


def test_a_model_without_history_has_no_history_pair(groups: Groups) -> None:
    """Whatever it answers: here it even knows the right answer of the linked half."""

    def reply(half: ExactItem) -> int:
        last = half.dialogue.turns[-1].human_text
        seen = (last, tuple(image.sha256 for image in half.dialogue.images), half.shown_at)
        return known.setdefault(seen, half.turns[-1].answer)

    known: dict[object, int] = {}
    assert not any(pairs_right(groups, "history", reply))


def test_a_model_without_images_has_no_image_pair(groups: Groups) -> None:
    """It reads every word, the true earlier answers included."""

    def reply(half: ExactItem) -> int:
        words = tuple((turn.human_text, turn.assistant) for turn in half.dialogue.turns[:-1])
        return known.setdefault((words, half.dialogue.turns[-1].human_text), half.turns[-1].answer)

    known: dict[object, int] = {}
    assert not any(pairs_right(groups, "image", reply))
    assert not any(pairs_right(groups, "image", lambda half: guess_by(half.dialogue.turns[-1].human_text)))


def test_nothing_can_be_guessed_above_its_limit(groups: Groups) -> None:
    asked = [(item, one) for items in groups.values() for item in (items["linked"],) for one in item.turns]
    for item, one in asked:
        views = insufficient_views(one.op, one.facts.distance_turns, one.facts.image_age)
        assert all(one.guesses[view] <= limit_of(one.type, item.scenes.shape[1]) for view in views)
    needs_history = [one.guesses["last"] for _, one in asked if one.facts.distance_turns]
    assert np.mean(needs_history) < 0.5


def test_last_question_refers(groups: Groups) -> None:
    linked = [items["linked"] for items in groups.values()]
    assert all(item.turns[-1].facts.distance_turns > 0 for item in linked)


def test_training_set_has_nothing_held_out(tmp_path: Path) -> None:
    build_exact(tmp_path / "set", TRAIN)
    assert check_exact(tmp_path / "set").faults == ()
    for item in read_exact(tmp_path / "set"):
        assert item.role == "linked"
        assert all(one.wording < num_wordings(one.op, one.far) - 1 for one in item.turns)


@pytest.mark.parametrize(
    ("telling", "turns"), [("resolved", 6), ("alone", 1), ("single", 1), ("captions", 1), ("places", 1)]
)
def test_other_tellings(tmp_path: Path, telling: str, turns: int) -> None:
    words = [
        "exact",
        "build",
        "--output_dir",
        str(tmp_path / "set"),
        "--dialogues",
        "5",
        "--images",
        "2",
        "--turns",
        "6",
    ]
    words += ["--style", "plain", "--domains", "shapes", "--side", "2", "--split", "train", "--guesses", "none"]
    assert main([*words, "--telling", telling]) == 0
    dialogues = list(load_dialogues(str(tmp_path / "set")))
    assert {len(dialogue.turns) for dialogue in dialogues} == {turns}
    assert check_dataset(tmp_path / "set") == []
    if telling in ("captions", "places"):
        assert not (tmp_path / "set" / PROGRAMS_NAME).exists()
        assert dialogues[0].references[0].count(",") == 3  # four cells
    else:
        assert check_exact(tmp_path / "set").faults == ()


def tampered(small_set: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None]) -> tuple[str, ...]:
    """The faults after a change of the programs' file, whose checksum on the card is mended."""
    folder = tmp_path / "set"
    shutil.copytree(small_set, folder)
    path = folder / PROGRAMS_NAME
    old = file_sha256(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    card = folder / "README.md"
    card.write_text(card.read_text().replace(old, file_sha256(path)))
    return check_exact(folder).faults


def turns_of(lines: list[dict[str, Any]], role: str = "linked") -> Iterable[dict[str, Any]]:
    return (asked for line in lines if line["role"] == role for asked in line["turns"])


def change_answer(lines: list[dict[str, Any]]) -> None:
    asked = next(one for one in turns_of(lines) if one["type"] == "yesno")
    asked["answer"] = 1 - asked["answer"]


def change_guess(lines: list[dict[str, Any]]) -> None:
    next(iter(turns_of(lines)))["guesses"]["text"] += 0.01


def change_blind(lines: list[dict[str, Any]]) -> None:
    next(iter(turns_of(lines)))["guesses"]["blind"] += 0.01


def change_fact(lines: list[dict[str, Any]]) -> None:
    next(iter(turns_of(lines)))["facts"]["image_age"] += 1


def change_scene(lines: list[dict[str, Any]]) -> None:
    scene = next(line for line in lines if line["role"] == "linked")["scenes"][0]
    scene[:] = scene[::-1]


def change_program(lines: list[dict[str, Any]]) -> None:
    asked = next(one for one in turns_of(lines) if one["op"] == "attr")
    asked["program"] = ["attr", ["lit", 0], ["lit", 0], ["lit", 0]]


def swap_half(lines: list[dict[str, Any]]) -> None:
    half = next(line for line in lines if line["role"] == "history")
    linked = next(line for line in lines if line["id"] == half["group"])
    half["turns"][-1]["answer"] = linked["turns"][-1]["answer"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_answer, "program or answer differ"),
        (change_guess, "guesses"),
        (change_blind, "guess blind"),
        (change_fact, "facts"),
        (change_scene, ""),
        (change_program, "program or answer differ"),
        (swap_half, "references"),
    ],
)
def test_check_notices(
    small_set: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], said: str
) -> None:
    faults = tampered(small_set, tmp_path, change)
    assert any(said in fault for fault in faults), faults


def test_check_notices_a_stale_checksum(small_set: Path, tmp_path: Path) -> None:
    shutil.copytree(small_set, tmp_path / "set")
    path = tmp_path / "set" / PROGRAMS_NAME
    path.write_text(path.read_text().replace(",", ", ", 1))
    assert any("sha256" in fault for fault in check_exact(tmp_path / "set").faults)


def test_a_set_of_another_format_is_not_read(small_set: Path, tmp_path: Path) -> None:
    shutil.copytree(small_set, tmp_path / "set")
    path = tmp_path / "set" / "exact.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 0'))
    with pytest.raises(ValueError, match="format 0, this version reads 1; build the set again"):
        next(read_exact(tmp_path / "set"))


def test_show_writes_a_page(small_set: Path, tmp_path: Path, groups: Groups) -> None:
    page = tmp_path / "page.html"
    group = next(iter(groups))
    assert main(["exact", "show", str(small_set), group, "--output_file", str(page)]) == 0
    text = page.read_text()
    assert groups[group]["linked"].dialogue.turns[-1].human_text in html.unescape(text)
    assert "data:image/jpeg" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--images", "1-9"], "within 1-8"),
        (["--turns", "25"], "within 1-24"),
        (["--turns", "8-4"], "within 1-24"),
        (["--turns", "many"], "such as 4-8"),
        (["--domains", "shapes,animals"], "'animals'"),
        (["--side", "4"], "expected 2, 3"),
        (["--style", "pretty"], "expected rich, plain"),
        (["--split", "validation"], "expected train, test"),
        (["--ops", "it,back"], "begins without a reference"),
        (["--ops", "attr,its"], "'its'"),
    ],
)
def test_wrong_flags_say_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert main(["exact", "build", "--output_dir", str(tmp_path / "set"), *flags]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_an_existing_folder_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["exact", "build", "--output_dir", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["exact", "check", str(tmp_path)]) == 2
    assert "exact build" in capsys.readouterr().err


@pytest.mark.parametrize(("show", "num_colours"), [("other", None), ("grey", 1)])
def test_images_of_probes_say_nothing_and_the_words_are_the_same(
    tmp_path: Path, show: str, num_colours: int | None
) -> None:
    build_exact(tmp_path / "scene", TRAIN)
    build_exact(tmp_path / show, replace(TRAIN, images_show=show))
    shown = [list(read_exact(tmp_path / name)) for name in ("scene", show)]
    for true, probe in zip(*shown, strict=True):
        assert [turn.human_text for turn in true.dialogue.turns] == [turn.human_text for turn in probe.dialogue.turns]
        assert true.dialogue.references == probe.dialogue.references
        assert not {one.sha256 for one in true.dialogue.images} & {one.sha256 for one in probe.dialogue.images}
        if num_colours is not None:
            for one in probe.dialogue.images:
                with Image.open(io.BytesIO(one.data)) as image:
                    assert len(image.getcolors() or []) == num_colours
    faults = check_exact(tmp_path / show).faults
    num_images = sum(len(item.dialogue.images) for item in shown[1])
    assert sum("does not show its scene" in fault for fault in faults) == num_images


@pytest.mark.parametrize("images_at", ["start", "both"])
def test_images_are_all_shown_first_or_over_the_turns(tmp_path: Path, images_at: str) -> None:
    build_exact(tmp_path / "set", replace(TRAIN, images=(3, 3), images_at=images_at))
    first = [item.shown_at == (0, 0, 0) for item in read_exact(tmp_path / "set")]
    assert all(first) if images_at == "start" else 0 < sum(first) < len(first)
    assert check_exact(tmp_path / "set").faults == ()


def test_check_notices_an_image_of_another_scene() -> None:
    """One attribute of one cell differs from what the answers are computed from, in every domain and style."""
    rng = np.random.default_rng(0)
    for domain in DOMAINS.values():
        for style in ("plain", "rich"):
            side = min(domain.cells)
            scene = draw_scene(rng, domain, side, held_out=False)
            line = {"role": "linked", "domain": domain.name, "side": side, "style": style, "seed": [7, 0]}
            painted = paint(scene, domain.name, side, np.random.default_rng([7, 0, 1, 0]), style)
            assert list(check_images({**line, "scenes": [scene.tolist()]}, [thumbnail_of(painted)])) == []
            cell = next(number for number, one in enumerate(scene) if one[0] >= 0)
            for attribute in range(2):
                other = scene.copy()
                other[cell, attribute] = (other[cell, attribute] + 1) % len(domain.attributes[attribute].values)
                (fault,) = check_images({**line, "scenes": [other.tolist()]}, [thumbnail_of(painted)])
                assert fault.startswith("image 1: does not show its scene")
