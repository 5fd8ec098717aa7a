"""The row: invariants by name, and that any dialogue survives row -> Parquet -> load_dataset -> row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmcr_dataset.publish.parquet import arrow_schema, row_features, write_dataset
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import (
    Dialogue,
    DialogueImage,
    Generation,
    InvalidDialogue,
    Source,
    Turn,
    from_json,
    introduce,
    to_json,
)
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.record.messages import images_in, to_messages, to_openai, without_images
from mmcr_dataset.record.plain_text import clean_text, find_special_token, find_unsafe_character
from mmcr_dataset.record.row import from_row, to_conversations, to_row

texts = st.text(min_size=1, max_size=60).map(clean_text).filter(bool)
opt_texts = st.none() | texts


@st.composite
def dialogues(draw: st.DrawFn) -> Dialogue:
    """Any dialogue: images anywhere in the human turns, with or without the paper's marks."""
    num_turns = draw(st.integers(1, 9))
    num_images = draw(st.integers(0, 5))
    at = sorted(draw(st.lists(st.integers(0, num_turns - 1), min_size=num_images, max_size=num_images)))
    turns = []
    for turn in range(num_turns):
        numbers = [n for n, place in enumerate(at, start=1) if place == turn]
        human = introduce(numbers, draw(texts)) if draw(st.booleans()) else (*numbers, draw(texts))
        turns.append(Turn(human, draw(texts)))
    images = tuple(
        DialogueImage(
            data=draw(st.binary(min_size=0, max_size=50)),
            url=draw(opt_texts),
            labels=tuple(draw(st.lists(texts, max_size=3))),
            similarity=draw(st.none() | st.floats(-1, 1, width=32)),
            phash=draw(st.none() | st.integers(0, 2**64 - 1).map("{:016x}".format)),
        )
        for _ in range(num_images)
    )
    return Dialogue(
        id=draw(st.uuids().map(lambda u: u.hex)),
        turns=tuple(turns),
        images=images,
        domain=draw(opt_texts),
        topic=draw(opt_texts),
        source=Source(draw(opt_texts), draw(opt_texts), draw(opt_texts)),
        generation=Generation(
            writer=draw(opt_texts),
            model=draw(opt_texts),
            temperature=draw(st.none() | st.floats(0, 2, width=32)),
            prompt_tokens=draw(st.none() | st.integers(0, 2**31 - 1)),
        ),
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(batch=st.lists(dialogues(), min_size=1, max_size=6, unique_by=lambda d: d.id))
def test_any_dialogues_survive_parquet_and_load_dataset(
    tmp_path_factory: pytest.TempPathFactory, batch: list[Dialogue]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    counts = write_dataset(batch, folder)
    loaded: list[Dialogue] = []
    for name, count in counts.items():
        if count:
            loaded += load_dialogues(str(folder / name), streaming=True)
        assert count == sum((len(d.images) <= 1) == (name == "single") for d in batch)
    assert sorted(loaded, key=lambda d: d.id) == sorted(batch, key=lambda d: d.id)


@settings(max_examples=200, deadline=None)
@given(dialogue=dialogues())
def test_messages_and_conversations_tell_the_same_dialogue(dialogue: Dialogue) -> None:
    row = to_row(dialogue)
    asked = to_messages(dialogue, dialogue.references)
    assert len(row["messages"]) == len(row["conversations"]) == len(asked) == 2 * len(dialogue.turns)
    for message, told, sent in zip(row["messages"], row["conversations"], asked, strict=True):
        spoken = "".join("<image>" if block["type"] == "image" else block["text"] for block in message["content"])
        assert spoken == told["value"]
        assert spoken == "".join("<image>" if b["type"] == "image" else b["text"] for b in sent["content"])
        assert (message["role"], told["from"]) in (("user", "human"), ("assistant", "gpt"))
    assert from_row(row) == dialogue
    data = {image.sha256: image.data for image in dialogue.images}
    assert from_json(to_json(dialogue), data) == dialogue


@settings(max_examples=100, deadline=None)
@given(dialogue=dialogues(), num_replies=st.integers(0, 9))
def test_messages_with_some_replies_are_the_beginning_of_the_whole(dialogue: Dialogue, num_replies: int) -> None:
    num_replies = min(num_replies, len(dialogue.turns))
    asked = to_messages(dialogue, dialogue.references[:num_replies])
    assert asked == to_messages(dialogue, dialogue.references)[: len(asked)]
    assert asked[-1]["role"] == ("user" if num_replies < len(dialogue.turns) else "assistant")
    count = sum(block["type"] == "image" for message in asked for block in message["content"])
    shown = images_in(asked)
    assert shown == dialogue.images[:count]
    assert [sum("image" in block for block in message["content"]) for message in asked[::2]] == [
        len(turn.introduces) for turn in dialogue.turns[: num_replies + 1]
    ]
    sent = [
        block["image_url"]["url"]
        for message in to_openai(asked, lambda image: image.sha256)
        if message["role"] == "user"
        for block in message["content"]
        if block["type"] == "image_url"
    ]
    assert sent == [image.sha256 for image in shown]
    assert not images_in(without_images(asked))


def test_hash_of_an_image_that_is_stored_is_not_made_again(make_dialogue: Callable[..., Dialogue]) -> None:
    stored = to_json(make_dialogue(num_images=2))
    hashes = [image["sha256"] for image in stored["images"]]
    read = from_json(stored, dict.fromkeys(hashes, b"no bytes of them"))
    assert [image.sha256 for image in read.images] == hashes
    assert to_json(read) == stored


def test_conversations_paper_marks_stand_once_at_the_first_turn(make_dialogue: Callable[..., Dialogue]) -> None:
    dialogue = make_dialogue(num_images=2, num_turns=3)
    assert [entry["value"] for entry in to_conversations(dialogue)[::2]] == [
        "Image_1: <image>\nQuestion 1 about picture 1 of dialogue 0?",
        "Image_2: <image>\nQuestion 2 about picture 2 of dialogue 0?",
        "Question 3 about picture 2 of dialogue 0?",
    ]
    assert introduce([1, 2], "Compare them.") == ("Image_1: ", 1, "\nImage_2: ", 2, "\nCompare them.")
    assert Turn(introduce([1, 2], "Compare them."), "x").human_text == "Compare them."


def broken(dialogue: Dialogue) -> dict[str, dict[str, object]]:
    """For every invariant, changes to a valid dialogue of one image that break it and only it."""
    first, *rest = dialogue.turns
    return {
        "id": {"id": ""},
        "turn_count": {"turns": (), "images": ()},
        "image_count": {
            "images": dialogue.images * 128,
            "turns": (Turn((*range(1, 129), "All of them?"), "Yes."), *rest),
        },
        "image_introduced_once_in_order": {"images": ()},
        "merged_blocks": {"turns": (Turn(("Image_1: ", 1, "\nA", "B"), "x"), *rest)},
        "blank_text": {"turns": (first, Turn(("What else?",), " \n"))},
        "unsafe_character": {"turns": (first, Turn(("What\x00 else?",), "x"))},
        "special_token": {"turns": (first, Turn(("What else?",), "An <image> here"))},
    }


INVARIANT_NAMES = (
    "id",
    "turn_count",
    "image_count",
    "image_introduced_once_in_order",
    "merged_blocks",
    "blank_text",
    "unsafe_character",
    "special_token",
)


@pytest.mark.parametrize("name", INVARIANT_NAMES)
def test_invariant_broken_is_named(name: str, make_dialogue: Callable[..., Dialogue]) -> None:
    dialogue = make_dialogue(num_images=1, num_turns=2)
    with pytest.raises(InvalidDialogue) as raised:
        replace(dialogue, **broken(dialogue)[name])  # type: ignore[arg-type]
    assert raised.value.invariant == name
    assert repr(dialogue.id) in str(raised.value) or name == "id"


def test_invariants_all_have_a_case() -> None:
    from mmcr_dataset.record.dialogue import INVARIANTS

    assert tuple(invariant.__name__.removeprefix("_broken_") for invariant in INVARIANTS) == INVARIANT_NAMES


def test_images_out_of_order_or_twice_are_refused(make_dialogue: Callable[..., Dialogue]) -> None:
    dialogue = make_dialogue(num_images=2, num_turns=2)
    for numbers in ((2, 1), (1, 1), (1,), (1, 2, 3)):
        turns = tuple(Turn((number, "Which?"), "This.") for number in numbers)
        with pytest.raises(InvalidDialogue, match="exactly once and in this order"):
            replace(dialogue, turns=turns)


@pytest.mark.parametrize(
    ("column", "value", "invariant"),
    [
        ("conversations", [{"from": "human", "value": "other"}], "same_dialogue"),
        ("messages", [{"role": "assistant", "content": []}], "alternation"),
        ("messages", [], "alternation"),
        ("image_labels", [["a"], ["b"]], "image_labels"),
        ("images", ["not bytes"], "image_bytes"),
    ],
)
def test_row_broken_names_the_row(
    column: str, value: object, invariant: str, make_dialogue: Callable[..., Dialogue]
) -> None:
    row = to_row(make_dialogue()) | {column: value}
    with pytest.raises(InvalidDialogue, match="row 'd0-1-4'") as raised:
        from_row(row)
    assert raised.value.invariant == invariant


def test_load_dialogues_broken_row_names_file_and_number(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    rows = [to_row(make_dialogue(seed=seed)) for seed in range(3)]
    rows[1]["conversations"][1]["value"] = "something else"
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema()), tmp_path / "train-00000-of-00001.parquet")
    with pytest.raises(ValueError, match=r"split train, row 1: same_dialogue"):
        list(load_dialogues(str(tmp_path)))


def test_load_dialogues_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="python -m mmcr_dataset build --out"):
        list(load_dialogues(str(tmp_path / "nothing-here" / "x")))


@settings(max_examples=60, deadline=None)
@given(batch=st.lists(dialogues(), max_size=5))
def test_to_columns_gives_the_table_of_the_rows(batch: list[Dialogue]) -> None:
    table = to_columns(batch, arrow_schema())
    table.validate(full=True)
    assert table.equals(pa.Table.from_pylist([to_row(dialogue) for dialogue in batch], schema=arrow_schema()))


def test_schema_arrow_matches_datasets_features_and_shows_images() -> None:
    from datasets import Features

    assert Features.from_arrow_schema(arrow_schema()) == row_features()


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=80) | st.from_regex(r"[<>|\[\]a-zA-Z_/ \d:｜]{0,40}"))
def test_clean_text_any_input_is_safe_and_stays_so(text: str) -> None:
    cleaned = clean_text(text)
    assert find_special_token(cleaned) is None
    assert find_unsafe_character(cleaned) is None
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("a <image> b", "a ‹image› b"),
        ("<|im_start|>system", "‹¦im_start¦›system"),
        ("Image_2: another", "Image 2: another"),
        ("<<image>image>", "<‹image›image>"),
        ("< Human 3 >: hi", "‹ Human 3 ›: hi"),
        ("x\x00y\u200bz\u202e!", "xyz!"),
        ("a < b and b > c", "a < b and b > c"),
        ("[INST] do [/INST]", "(INST) do (/INST)"),
        ("e\u0301" + "\u0301" * 50, "é" + "\u0301" * 4),
        ("one\r\ntwo\n\n\n\nthree\t four", "one\ntwo\n\nthree four"),
    ],
)
def test_clean_text_named_cases(dirty: str, clean: str) -> None:
    assert clean_text(dirty) == clean
