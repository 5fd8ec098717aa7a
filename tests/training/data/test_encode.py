from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import images_in, to_messages
from mmcr_dataset.record.row import to_row
from training.data.conversation import Skipped, to_dialogue
from training.data.encode import Encoder
from training.data.loss_mask import NO_LOSS
from training.families import family_names, load_family


@pytest.mark.parametrize("family", family_names())
def test_labels_are_the_answers_and_their_ends_of_turn(
    family: str, build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:

    _, processor = build_family(family)
    tokenizer, end = processor.tokenizer, load_family(family).end_of_turn
    lead = " " if family == "smolvlm" else ""  # its cue `Assistant:` leaves the blank to the answer
    for dialogue in dialogues:
        encoded = Encoder(processor).encode(dialogue)
        trained = encoded.labels_T != NO_LOSS
        expected = [
            token
            for turn in dialogue.turns
            for token in tokenizer(lead + turn.assistant + end, add_special_tokens=False)["input_ids"]
        ]
        assert encoded.labels_T[trained].tolist() == expected
        assert encoded.input_ids_T[trained].tolist() == expected


@pytest.mark.parametrize("family", family_names())
def test_text_trained_begins_with_every_text_asked(
    family: str, build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    """What evaluation asks after each reply is a beginning of what training saw, images included."""
    _, processor = build_family(family)
    # LLaVA-OneVision cuts a single image into tiles but not one of several, so its ids change at the second image.
    num_images = 1 if family == "llava_onevision" else 2
    dialogue = make_dialogue(num_images=num_images, num_turns=4, seed=7)
    encoder = Encoder(processor)
    trained_text, _ = encoder.render(dialogue)
    trained_ids = encoder.encode(dialogue).input_ids_T.tolist()
    for count in range(len(dialogue.turns)):
        messages = to_messages(dialogue, dialogue.references[:count])
        asked = processor.apply_chat_template(messages, add_generation_prompt=True)
        assert trained_text.startswith(asked)
        images = [decode_rgb(image.data) for image in images_in(messages)]
        ids = processor(text=[asked], images=[images], add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        assert trained_ids[: len(ids)] == ids.tolist()


def test_ovis2_text_is_the_papers_mark_once_and_one_line_break(
    build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("ovis2")
    text, _ = Encoder(processor).render(make_dialogue(num_images=1, num_turns=1, seed=1))
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nImage_1: <image>\nQuestion 1 about picture 1 of dialogue 1?<|im_end|>\n"
        "<|im_start|>assistant\nAnswer 1: image 1 shows gradient 1.<|im_end|>\n"
    )


def test_ovis2_exact_ids_and_labels_of_two_turns(build_family: Callable[..., tuple[Any, Any]]) -> None:
    from tests.conftest import image_bytes

    _, processor = build_family("ovis2")
    turns = (Turn(introduce([1], "Q?"), "A."), Turn(("R?",), "B."))
    encoded = Encoder(processor).encode(Dialogue("x", turns, (DialogueImage(image_bytes(1, (56, 56))),)))

    def ids(text: str) -> list[int]:
        return list(processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    pieces = [
        ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nImage_1: ", False),
        ("<IMG_START><IMG_ATOM><IMG_ATOM><IMG_ATOM><IMG_ATOM><IMG_GRID><IMG_END>", False),
        ("\nQ?<|im_end|>\n<|im_start|>assistant\n", False),
        ("A.<|im_end|>", True),
        ("\n<|im_start|>user\nR?<|im_end|>\n<|im_start|>assistant\n", False),
        ("B.<|im_end|>", True),
        ("\n", False),
    ]
    assert encoded.input_ids_T.tolist() == [token for text, _ in pieces for token in ids(text)]
    assert encoded.labels_T.tolist() == [
        token if trained else NO_LOSS for text, trained in pieces for token in ids(text)
    ]


def test_encode_dialogue_without_images_has_no_image_tensors(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("ovis2")
    encoded = Encoder(processor).encode(Dialogue("t", (Turn(("Only words?",), "Yes."),)))
    assert encoded.images == {}
    assert encoded.num_trained > 0


def broken_rows(dialogue: Dialogue) -> dict[str, tuple[dict[str, Any], str]]:
    """Name of the fault -> a row that has it, and the reason it is counted under."""
    more_marks = to_row(dialogue)
    more_marks["images"] = more_marks["images"][:-1]
    role = to_row(dialogue)
    role["messages"][0]["role"] = "narrator"
    blank = to_row(dialogue)
    blank["messages"][1]["content"][0]["text"] = "  "
    corrupt = to_row(dataclasses.replace(dialogue, images=(DialogueImage(b"\x89PNG broken"), *dialogue.images[1:])))
    cut = to_row(
        dataclasses.replace(dialogue, images=(DialogueImage(dialogue.images[0].data[:300]), *dialogue.images[1:]))
    )
    return {
        "more marks than images": (more_marks, "picture_urls"),
        "unknown role": (role, "alternation"),
        "nothing to train": (blank, "blank_text"),
        "not an image": (corrupt, "not_an_image"),
        "cut image": (cut, "corrupt_image"),
        "no columns": ({"id": "e"}, "not_a_row"),
    }


@pytest.mark.parametrize(
    "fault",
    ["more marks than images", "unknown role", "nothing to train", "not an image", "cut image", "no columns"],
)
def test_row_that_cannot_be_trained_is_skipped_with_its_reason(
    fault: str, build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    from training.data.collate import SKIPPED, Collator

    _, processor = build_family("ovis2")
    good = make_dialogue(num_images=2, num_turns=2, seed=1)
    row, reason = broken_rows(make_dialogue(num_images=2, num_turns=2, seed=2))[fault]
    batch = Collator(Encoder(processor), load_family("ovis2"))([row, to_row(good)])
    assert [(row_id, why) for row_id, why, _ in batch[SKIPPED]] == [(str(row["id"]), reason)]
    alone = Collator(Encoder(processor), load_family("ovis2"))([to_row(good)])
    assert batch["input_ids"].tolist() == alone["input_ids"].tolist()


def test_dialogue_longer_than_the_limit_is_refused_never_cut(
    build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("ovis2")
    dialogue = make_dialogue(seed=1)
    length = len(Encoder(processor).encode(dialogue))
    assert len(Encoder(processor, length).encode(dialogue)) == length
    with pytest.raises(Skipped, match=f"too_long: {length} tokens, max_length_tokens is {length - 1}"):
        Encoder(processor, length - 1).encode(dialogue)


def test_template_that_drops_a_turn_is_refused_by_name(
    build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("ovis2")
    processor.chat_template = processor.chat_template.replace("in messages", "in messages[2:]")
    with pytest.raises(Skipped, match="template_not_turn_by_turn: what is asked in turn 1"):
        Encoder(processor).encode(make_dialogue(num_turns=4, seed=1))


def test_to_dialogue_row_that_is_fine_is_the_dialogue(make_dialogue: Callable[..., Dialogue]) -> None:
    dialogue = make_dialogue(num_images=2, seed=4)
    assert to_dialogue(to_row(dialogue)) == dialogue
