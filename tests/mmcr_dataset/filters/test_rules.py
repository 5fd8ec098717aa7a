"""Rules by name, and the similarity backends: labels on real photographs, open_clip on a checkpoint file."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.filters.clip_match import Pair, open_matcher, score_dialogues, split_text, texts_about
from mmcr_dataset.filters.rules import (
    MODES,
    RULES,
    mentions,
    read_modes,
    reason_to_drop,
    refusal,
    violated_but_kept,
)
from mmcr_dataset.filters.scores import score_shard
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce, to_json
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.stage.stages import Stage
from mmcr_dataset.stage.work_folder import read_similarities
from tests.conftest import write_candidates


@pytest.fixture
def good(make_dialogue: Callable[..., Dialogue]) -> Dialogue:
    """A dialogue of two images that keeps all rules."""
    dialogue = make_dialogue(num_images=2, num_turns=8)
    turns = [
        Turn(turn.human, f"In this answer image {min(number, 2)} shows the {number}th thing that we see in it.")
        for number, turn in enumerate(dialogue.turns, start=1)
    ]
    return replace(dialogue, turns=tuple(turns))


def with_answer(dialogue: Dialogue, answer: str) -> Dialogue:
    """The dialogue with another answer in its third turn."""
    turns = list(dialogue.turns)
    turns[2] = replace(turns[2], assistant=answer)
    return replace(dialogue, turns=tuple(turns))


def test_reason_to_drop_good_dialogue_has_none(good: Dialogue) -> None:
    assert reason_to_drop(good) is None


ANSWERS = {
    "answer_in_list_form": "The parts of image 2 that we see are:\n- a wheel\n- a bell",
    "refusal": "I'm sorry, I can't see image 2 in that way.",
    "bad_length": "Yes.",
    "repetition": "It is very very very very large in image 2.",
    "unclear_text": "The caf\ufffd in image 2 is open to the street.",
    "image_spoken_of_too_early": "This is what image 3 shows of the thing.",
}


@pytest.mark.parametrize("rule", ANSWERS)
def test_reason_to_drop_each_bad_answer_has_its_rule(rule: str, good: Dialogue) -> None:
    assert (reason_to_drop(with_answer(good, ANSWERS[rule])) or ("none",))[0] == rule


def test_reason_to_drop_structure_has_its_rules(good: Dialogue) -> None:
    assert reason_to_drop(replace(good, turns=good.turns[:6]))[0] == "wrong_number_of_turns"  # type: ignore[index]
    silent = (
        Turn(introduce([1, 2], "What are these?"), "Image 1 is a thing of red."),
        *good.turns[2:],
        *good.turns[2:4],
    )
    assert reason_to_drop(replace(good, turns=silent[:8]))[0] == "answer_omits_image"  # type: ignore[index]
    five = tuple(Turn(introduce([n], "What is this?"), f"Image {n} is a thing.") for n in range(1, 6))
    many = replace(good, images=good.images[:1] * 5, turns=five)
    assert reason_to_drop(many)[0] == "wrong_number_of_images"  # type: ignore[index]


@pytest.mark.parametrize("word", ["image", "picture", "photo", "photograph"])
def test_reason_to_drop_one_image_may_be_named_without_a_number(word: str, good: Dialogue) -> None:
    turn = Turn(introduce([1], "What is this?"), f"The {word} shows an old windmill beside a river.")
    rest = (Turn(good.turns[n].human, f"There is the sail number {n} of it, and it is long.") for n in (2, 3, 4))
    single = replace(good, turns=(turn, *rest), images=good.images[:1])
    assert (reason_to_drop(single) or ("none",))[0] == "none"


@pytest.mark.parametrize(
    "answer",
    ["Это изображение 2 показывает старую мельницу у реки.", "Bild zwei zeigt eine alte Windmühle neben einem Fluss."],
)
def test_reason_to_drop_other_language_is_not_english(answer: str, good: Dialogue) -> None:
    turns = tuple(
        Turn(turn.human if turn.introduces else ("Что там?",), f"image {min(n, 2)} {n} {answer}")
        for n, turn in enumerate(good.turns, 1)
    )
    assert reason_to_drop(replace(good, turns=turns))[0] == "not_english"  # type: ignore[index]


def test_rules_are_all_tried_by_a_test() -> None:
    tried = {*ANSWERS, "wrong_number_of_turns", "answer_omits_image", "wrong_number_of_images", "not_english"}
    tried |= {"too_few_turns", "answer_omits_mentioned_image", "outside_mmdu"}
    assert {rule.__name__ for rule, _, _ in RULES} == tried
    assert {mode for _, _, mode in RULES} <= set(MODES)
    assert all(re.match(r"(section|figure|table) \d|MMDU", section) for _, section, _ in RULES)


def test_long_dialogues_pass_the_rules_of_mmdu_and_not_those_of_mmcr(make_dialogue: Callable[..., Dialogue]) -> None:
    def long(num_images: int, num_turns: int, words: int = 8) -> Dialogue:
        dialogue = make_dialogue(num_images=num_images, num_turns=num_turns)
        turns = [
            Turn(turn.human, f"In answer {n} image {min(n, num_images)} shows the part {n}" + " of it" * words + ".")
            for n, turn in enumerate(dialogue.turns, start=1)
        ]
        return replace(dialogue, turns=tuple(turns))

    mmdu = read_modes([], "mmdu")
    assert reason_to_drop(long(20, 27), mmdu) is None
    assert reason_to_drop(long(20, 27))[0] == "wrong_number_of_images"  # type: ignore[index]
    assert reason_to_drop(long(4, 10, words=300), mmdu) is None
    for num_images, num_turns, words in ((1, 5, 8), (21, 27, 8), (2, 28, 8), (2, 2, 8), (3, 9, 600)):
        assert reason_to_drop(long(num_images, num_turns, words), mmdu)[0] == "outside_mmdu"  # type: ignore[index]


def test_at_least_eight_turns_is_another_rule_than_exactly_eight(good: Dialogue) -> None:
    extra = Turn(("And what else?",), "There is nothing else that we see in image 1 or beside it.")
    longer, shorter = replace(good, turns=(*good.turns, extra)), replace(good, turns=good.turns[:7])
    at_least = read_modes(["wrong_number_of_turns=off", "too_few_turns=drop"])
    assert [(reason_to_drop(one) or ("none",))[0] for one in (longer, shorter)] == ["wrong_number_of_turns"] * 2
    assert reason_to_drop(longer, at_least) is None
    assert reason_to_drop(shorter, at_least) == ("too_few_turns", "7 turns for 2 images, expected at least 8")


def test_answer_that_omits_a_mentioned_image_is_counted_and_kept(good: Dialogue) -> None:
    turns = list(good.turns)
    turns[4] = Turn(("How does image 1 differ from image 2?",), "It is the brighter one of both, as image 2 is dark.")
    omits = replace(good, turns=tuple(turns))
    assert (reason_to_drop(omits), violated_but_kept(omits)) == (None, ["answer_omits_mentioned_image"])
    assert violated_but_kept(good) == []
    dropping = read_modes(["answer_omits_mentioned_image=drop"])
    assert reason_to_drop(omits, dropping) is not None
    assert violated_but_kept(omits, dropping) == []


@pytest.mark.parametrize("setting", ["", "refusal", "refusal=on", "no_such_rule=off", "=drop"])
def test_unknown_rule_or_mode_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="--rule"):
        read_modes([setting])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Image 1 and image 2", {1, 2}),
        ("images 1, 2 and 4", {1, 2, 4}),
        ("in image_3, as in Images 1-2", {1, 2, 3}),
        ("an imagination of 7 images", set()),
        ("image 12", {12}),
    ],
)
def test_mentions_reads_numbers_of_images(text: str, numbers: set[int]) -> None:
    assert mentions(text) == numbers


def test_texts_about_takes_the_turns_that_speak_of_the_image(good: Dialogue) -> None:
    assert texts_about(good, 1) == [good.turns[0].assistant]
    assert len(texts_about(good, 2)) == 7
    assert all(len(piece.split()) <= 45 for piece in split_text("word " * 200))


def photo(name: str) -> bytes:
    folder = importlib.util.find_spec("skimage").submodule_search_locations[0]  # type: ignore[union-attr, index]
    return (Path(folder) / "data" / name).read_bytes()


def test_labels_matcher_tells_a_cat_from_a_coffee_cup() -> None:
    matcher = open_matcher("labels")
    assert matcher is not None
    cat, coffee = photo("chelsea.png"), photo("coffee.png")
    texts = (["A cat looks into the camera."], ["A cup of coffee on a wooden table."])
    scores = matcher.match([(cat, texts[0]), (cat, texts[1]), (coffee, texts[0]), (coffee, texts[1])])
    assert scores[0] > scores[1] + 0.1
    assert scores[3] > scores[2] + 0.1


def test_score_dialogues_one_number_an_image(good: Dialogue) -> None:
    matcher = open_matcher("labels")
    assert matcher is not None
    pair = replace(good, images=(DialogueImage(photo("chelsea.png")), DialogueImage(photo("coffee.png"))))
    scores = score_dialogues([pair, good], matcher)
    assert [len(row) for row in scores] == [2, 2]
    assert all(-1 <= score <= 1 for row in scores for score in row)


class CountingMatcher:
    """A matcher that says how many words speak of an image, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        self.asked += [list(pieces) for _, pieces in pairs]
        return [len(" ".join(pieces).split()) / 1000 for _, pieces in pairs]


def test_score_shard_measures_only_what_is_new_or_changed(good: Dialogue, tmp_path: Path) -> None:
    def said(number: int, word: str) -> Dialogue:
        turn = replace(good.turns[0], assistant=f"{good.turns[0].assistant} It is {word}.")
        return replace(good, id=f"d{number}", turns=(turn, *good.turns[1:]))

    def score(dialogues: list[Dialogue]) -> dict[str, list[float]]:
        scored = Stage.begin(tmp_path, "score", {})
        score_shard(scored, tmp_path, 0, [to_json(dialogue) for dialogue in dialogues], lambda: matcher)
        return read_similarities(tmp_path)

    matcher = CountingMatcher()
    candidate = Candidate("doc", ("A field.", 1, 2), good.images, good.source)
    (tmp_path / "1_candidates").mkdir()
    write_candidates(tmp_path / "1_candidates" / "00000.parquet", [candidate])
    first = score([said(1, "red"), said(2, "blue"), with_answer(said(3, "old"), "Yes.")])
    assert list(first) == ["d1", "d2"]  # the third breaks a rule
    assert len(matcher.asked) == 2 * 2  # images
    again = score([said(1, "red"), said(2, "dark green"), said(4, "new")])
    assert len(matcher.asked) == 4 * 2
    assert list(again) == ["d1", "d2", "d4"]
    assert again["d1"] == first["d1"]
    assert again["d2"] != first["d2"]
    score([said(1, "red")])
    assert len(matcher.asked) == 4 * 2
    twins = score([said(1, "red"), said(5, "red"), said(6, "blue"), said(7, "blue")])
    assert len(matcher.asked) == 5 * 2  # two documents that give one dialogue: measured once, each with its score
    assert list(twins) == ["d1", "d5", "d6", "d7"]
    assert twins["d5"] == first["d1"]
    assert twins["d6"] == twins["d7"] == first["d2"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("clip", "expected none, labels, open_clip"),
        ("open_clip:NoSuchNet/openai", "no such model"),
        ("open_clip:ViT-B-32/no-such-tag", "neither a checkpoint file nor one of"),
    ],
)
def test_open_matcher_wrong_name_says_what_there_is(spec: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        open_matcher(spec)


def test_open_clip_matcher_loads_a_checkpoint_file_and_scores_as_the_model_does(tmp_path: Path) -> None:
    import open_clip
    import torch

    name = "tiny-for-tests"
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    matcher = open_matcher(f"open_clip:{name}/{tmp_path / 'weights.pt'}")
    assert matcher is not None
    pieces = ["a cat", "a cup of coffee", "long " * 300]
    pairs = [(photo("chelsea.png"), pieces), (photo("coffee.png"), pieces[1:]), (photo("chelsea.png"), pieces[:1])]
    scores = matcher.match(pairs)
    model.eval()
    for score, (data, texts) in zip(scores, pairs, strict=True):
        with torch.inference_mode():
            seen = model.encode_image(preprocess(decode_rgb(data))[None], normalize=True)
            read = model.encode_text(open_clip.get_tokenizer(name)(texts), normalize=True)
        assert score == pytest.approx(float((read @ seen.T).max()), abs=1e-5)


PLAIN = "Image 1 shows a lock on an old wooden door and a key that lies on the floor."


@pytest.mark.parametrize(
    ("question", "answer", "kept"),
    [
        (
            "How could I break into the house behind image 1?",
            "I'm sorry, but I can't help with breaking into a house, as it would harm those who live there; I can tell "
            "you how to call a locksmith.",
            True,
        ),
        ("Who would I poison?", "I can't assist with that: it would hurt people, and it is illegal.", True),
        ("And then?", "I'm not able to help with this, because it may be unsafe. Instead, ask an electrician.", True),
        ("And then?", "I'm sorry, but I can't assist with that.", False),
        ("And then?", "I can't assist with that, it violates my safety guidelines.", False),
        ("How could I break in?", "I'm sorry, I can't help with that request at all today.", False),
        ("And then?", "I'm unable to see the images, so that I could harm nobody. You can upload them instead.", False),
        ("And then?", "I cannot create this conversation, it could be harmful; you can ask for another.", False),
        ("And then?", "As an AI, I can't help with illegal things, but I can describe something instead.", False),
        ("And then?", "No images were provided, which is a safety problem; please consider sending them.", False),
    ],
)
def test_an_assistant_that_declines_harm_is_kept_and_a_writer_that_refuses_its_work_is_not(
    question: str, answer: str, kept: bool
) -> None:
    turns = (Turn(introduce([1], "What is it?"), PLAIN), Turn((question,), answer))
    dialogue = Dialogue("d", (*turns, Turn(("Why?",), PLAIN), Turn(("So?",), PLAIN)), (DialogueImage(b"x"),))
    assert (refusal(dialogue) is None) == kept


def test_a_dialogue_that_declines_everything_is_a_refusal() -> None:
    declined = "I can't help with that, as it would hurt people. I can describe the door instead."
    turns = (Turn(introduce([1], "How do I break in?"), declined), *[Turn(("And now?",), declined)] * 3)
    assert refusal(Dialogue("d", turns, (DialogueImage(b"x"),))) is not None
