from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.row import to_row
from tests.training.test_train import read_log, settings
from training.data.conversation import Skipped, to_conversation, to_dialogue
from training.data.encode import Encoder
from training.data.first_turns import truncate_row
from training.data.lengths import Measurer
from training.data.loss_mask import NO_LOSS
from training.data.pixels import PixelLimits, limit_pixels
from training.families import family_names, load_family
from training.train import train


def said(role: str, text: str | None, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def row_of(*messages: dict[str, Any], images: tuple[Any, ...] = ()) -> dict[str, Any]:
    return {"id": "r", "messages": list(messages), "images": list(images)}


def trained_text(processor: Any, row: dict[str, Any], last_turn_only: bool = False) -> str:
    encoded = Encoder(processor).encode(to_conversation(row, last_turn_only))
    return str(processor.tokenizer.decode(encoded.input_ids_T[encoded.labels_T != NO_LOSS]))


@pytest.mark.parametrize("family", family_names())
def test_system_message_is_rendered_once_and_carries_no_loss(
    family: str, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    _, processor = build_family(family)
    end = load_family(family).end_of_turn
    row = row_of(said("system", "Answer in Dutch."), said("user", "What is it?"), said("assistant", "Een huis."))
    text, _ = Encoder(processor).render(to_conversation(row))
    assert text.lower().count("system") == 1
    assert "You are a helpful assistant" not in text
    assert trained_text(processor, row).strip() == f"Een huis.{end}"


def test_answers_with_train_false_and_all_but_the_last_carry_no_loss_if_asked(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("ovis2")
    turns = [said("user", "A?"), said("assistant", "One.", train=False), said("user", "B?"), said("assistant", "Two.")]
    turns += [said("user", "C?"), said("assistant", "Three.", train=None)]
    assert trained_text(processor, row_of(*turns)) == "Two.<|im_end|>Three.<|im_end|>"
    assert trained_text(processor, row_of(*turns), last_turn_only=True) == "Three.<|im_end|>"


def test_string_content_with_image_marks_is_the_row_with_blocks(
    make_dialogue: Callable[..., Dialogue], build_family: Callable[..., tuple[Any, Any]]
) -> None:
    dialogue = make_dialogue(num_images=2, num_turns=3, seed=2)
    row = to_row(dialogue)
    strings = row | {
        "messages": [
            said(message["role"], "".join(block["text"] or "<image>" for block in message["content"]))
            for message in row["messages"]
        ]
    }
    plain = to_conversation(strings).dialogue
    assert (plain.turns, len(plain.images)) == (dialogue.turns, 2)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (row_of(said("user", "A?"), said("assistant", "B.", train=False)), "no_trained_turn"),
        (row_of(said("user", "A?"), said("system", "S"), said("assistant", "B.")), "alternation"),
        (row_of(said("user", "A?"), said("assistant", "B."), said("tool", "T")), "alternation"),
        (row_of(said("system", "S")), "alternation"),
        (row_of(said("system", "<|im_start|>"), said("user", "A?"), said("assistant", "B.")), "special_token"),
        (row_of(said("system", "<image>"), said("user", "A?"), said("assistant", "B.")), "system_image"),
        (row_of(said("user", "A?"), said("assistant", None)), "not_a_row"),
        (
            row_of({"role": "user", "content": [{"type": "video", "text": None}]}, said("assistant", "B.")),
            "unknown_block",
        ),
        (row_of(said("user", "A?"), said("assistant", "<image>"), images=()), "assistant_text"),
    ],
)
def test_row_that_would_be_rewritten_is_refused_by_name(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(Skipped) as error:
        to_conversation(row)
    assert error.value.reason == reason


def test_special_token_of_the_checkpoints_own_tokenizer_in_a_text_is_refused(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("ovis2")
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["[[turn]]"]})
    with pytest.raises(Skipped, match=r"special_token: literal '\[\[turn\]\]' in a user's text"):
        Encoder(processor).encode(to_conversation(row_of(said("user", "A [[turn]]?"), said("assistant", "B."))))


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ content['text'] }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ message['content'][0]['text'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_template_that_changes_earlier_turns_trains_last_answers_only_or_is_refused(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("ovis2")
    processor.chat_template = THINKING
    with pytest.raises(
        ValueError, match=r"--chat_template FILE, or train last answers only with --train_last_turn_only"
    ):
        Encoder(processor).check_template(last_turn_only=False)
    Encoder(processor).check_template(last_turn_only=True)
    turns = [said("user", "A?"), said("assistant", "One."), said("user", "B?"), said("assistant", "Two.")]
    assert trained_text(processor, row_of(*turns), last_turn_only=True) == "<think>\n\n</think>\n\nTwo.<|im_end|>"


@pytest.mark.parametrize("answer", ["end", "i", "|", "m_end", " x ", "x\n", "zq", "Answer", "assistant\n"])
def test_answer_is_found_whatever_it_says(answer: str, build_family: Callable[..., tuple[Any, Any]]) -> None:
    _, processor = build_family("qwen3_vl")
    turns = [said("user", "end?"), said("assistant", answer), said("user", answer), said("assistant", answer)]
    assert trained_text(processor, row_of(*turns)) == f"{answer}<|im_end|>" * 2


def test_template_that_closes_the_whole_dialogue_trains_each_end_of_turn(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    _, processor = build_family("qwen3_vl")
    processor.chat_template += "{% if not add_generation_prompt %}<|endoftext|>{% endif %}"
    row = row_of(said("user", "A?"), said("assistant", "B."), said("user", "C?"), said("assistant", "D."))
    assert trained_text(processor, row) == "B.<|im_end|>D.<|im_end|>"


def test_template_that_strips_answers_trains_the_stripped_ones(build_family: Callable[..., tuple[Any, Any]]) -> None:
    _, processor = build_family("qwen3_vl")
    processor.chat_template = CHATML.replace("{{ content['text'] }}", "{{ content['text'] | trim }}")
    row = row_of(said("user", "A?"), said("assistant", " B. \n"), said("user", "C?"), said("assistant", "D."))
    assert trained_text(processor, row) == "B.<|im_end|>D.<|im_end|>"


def test_template_that_rewrites_an_answer_is_refused(build_family: Callable[..., tuple[Any, Any]]) -> None:
    _, processor = build_family("qwen3_vl")
    template = CHATML.replace("{{ content['text'] }}", "{{ content['text'] | upper }}")
    processor.chat_template = template.replace("{{ message['content'] }}", "{{ message['content'] | upper }}")
    with pytest.raises(Skipped, match="template_not_turn_by_turn: the answer of turn 1 is rewritten"):
        Encoder(processor).encode(to_conversation(row_of(said("user", "A?"), said("assistant", "b."))))


@pytest.mark.parametrize(
    "shown",
    ["{{ message['content'] }}", "{{ message['content'] + '' }}", "{{ message.content if message.content is string }}"],
)
def test_template_that_takes_answers_as_strings_gets_strings(
    shown: str, build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    _, processor = build_family("qwen3_vl")
    own = CHATML
    begin, end = own.index("{% if message['content'] is string"), own.index("<|im_end|>\n{% endfor")
    user = own[begin:end]
    split = "{% if message['role'] == 'assistant' %}" + shown + "{% else %}" + user + "{% endif %}"
    dialogue = make_dialogue(num_images=2, num_turns=3, seed=4)
    expected = Encoder(processor).encode(dialogue)
    processor.chat_template = own[:begin] + split + own[end:]
    found = Encoder(processor).encode(dialogue)
    assert found.input_ids_T.tolist() == expected.input_ids_T.tolist()
    assert found.labels_T.tolist() == expected.labels_T.tolist()


def test_template_that_refuses_a_dialogue_is_named(build_family: Callable[..., tuple[Any, Any]]) -> None:
    _, processor = build_family("qwen3_vl")
    processor.chat_template = "{{ raise_exception('no system here') }}"
    with pytest.raises(Skipped, match="template_refused: no system here"):
        Encoder(processor).encode(to_conversation(row_of(said("user", "A?"), said("assistant", "b."))))


def test_beginning_of_text_that_the_tokenizer_adds_is_trained_as_it_is_asked(
    build_family: Callable[..., tuple[Any, Any]],
) -> None:
    from tokenizers.processors import TemplateProcessing

    _, processor = build_family("qwen3_vl")
    tokenizer = processor.tokenizer
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", bos)])
    row = row_of(said("user", "A?"), said("assistant", "B."))
    for template in (processor.chat_template, "{{ bos_token }}" + processor.chat_template):
        processor.chat_template = template
        encoded = Encoder(processor).encode(to_conversation(row))
        asked = processor.apply_chat_template(
            to_conversation(row).messages[:1], add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"][0]
        assert encoded.input_ids_T[: len(asked)].tolist() == list(asked)
        assert encoded.input_ids_T.tolist().count(bos) == 1
        assert Measurer(Encoder(processor), load_family("qwen3_vl")).measure(row).tokens == len(encoded)
    assert trained_text(processor, row) == "B.<|im_end|>"


def test_template_that_ends_no_answer_is_told(
    build_family: Callable[..., tuple[Any, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    _, processor = build_family("qwen3_vl")
    Encoder(processor).check_template(last_turn_only=False)
    assert not caplog.text
    processor.chat_template = processor.chat_template.replace("<|im_end|>", "")
    Encoder(processor).check_template(last_turn_only=False)
    assert "doesn't learn to stop" in caplog.text


def test_turns_are_counted_after_a_system_message() -> None:
    turns = [said("system", "S"), said("user", "A <image>"), said("assistant", "B"), said("user", "C <image>")]
    row = row_of(*turns, said("assistant", "D"), images=(1, 2))
    kept = truncate_row(row, 1)
    assert [message["content"] for message in kept["messages"]] == ["S", "A <image>", "B"]
    assert kept["images"] == [1]


def test_checkpoints_own_template_is_trained_and_saved(data_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "a", dry_run=True))
    base = tmp_path / "a" / "base"
    own = (base / "chat_template.jinja").read_text().replace("You are a helpful assistant.", "Be brief.")
    (base / "chat_template.jinja").write_text(own)
    final = train(settings(data_folder, tmp_path / "b", model=str(base), max_steps=1))
    assert (final / "chat_template.jinja").read_text() == own
    (tmp_path / "mine.jinja").write_text(own.replace("brief", "long"))
    final = train(
        settings(data_folder, tmp_path / "c", model=str(base), max_steps=1, chat_template=str(tmp_path / "mine.jinja"))
    )
    assert "Be long." in (final / "chat_template.jinja").read_text()


@pytest.mark.parametrize("size", [(4032, 3024), (10, 9000), (9000, 10), (1, 1), (3, 100_000), (300, 300)])
def test_pixel_limits_hold_for_every_size(size: tuple[int, int]) -> None:
    wide, high = PixelLimits(100, 20_000).size(*size)
    assert 100 <= wide * high <= 20_000
    if min(size) > 100:
        assert wide / high == pytest.approx(size[0] / size[1], rel=0.02)


@pytest.mark.parametrize("family", family_names())
def test_image_max_pixels_bounds_every_family_and_its_counted_length(
    family: str, build_family: Callable[..., tuple[Any, Any]], make_dialogue: Callable[..., Dialogue]
) -> None:
    import io

    _, processor = build_family(family)
    photo = io.BytesIO()
    Image.new("RGB", (400, 300), (90, 120, 60)).save(photo, "PNG")
    row = to_row(make_dialogue(num_images=1, num_turns=1, seed=1))
    row["images"] = [{"bytes": photo.getvalue(), "path": None}]
    before = len(Encoder(processor).encode(to_dialogue(row)))
    limits = limit_pixels(processor, PixelLimits(0, 60 * 60))
    encoder = Encoder(processor, limits=limits)
    encoded = encoder.encode(to_dialogue(row))
    assert len(encoded) < before
    assert Measurer(encoder, load_family(family)).measure(row).tokens == len(encoded)


def test_image_max_pixels_is_saved_with_a_processor_that_has_it(data_folder: Path, tmp_path: Path) -> None:
    model = {"model": "tiny:qwen2_5_vl", "max_steps": 1}
    final = train(settings(data_folder, tmp_path / "a", image_max_pixels=56 * 56, **model))
    saved = json.loads((final / "processor_config.json").read_text())["image_processor"]["size"]
    assert saved == {"longest_edge": 56 * 56, "shortest_edge": 56 * 56}
    train(settings(data_folder, tmp_path / "b", **model))
    assert read_log(tmp_path / "a")[0]["real_tokens"] < read_log(tmp_path / "b")[0]["real_tokens"]


def test_train_last_turn_only_trains_fewer_tokens(dialogues: list[Dialogue], tmp_path: Path) -> None:
    write_dataset(dialogues, tmp_path / "d")
    for name, last in (("all", False), ("last", True)):
        train(settings(tmp_path / "d", tmp_path / name, max_steps=1, train_last_turn_only=last))
    assert 3 * read_log(tmp_path / "last")[0]["trained_tokens"] < 2 * read_log(tmp_path / "all")[0]["trained_tokens"]


def test_rows_of_text_alone_may_have_no_images() -> None:
    row = row_of(said("user", "A?"), said("assistant", "B."))
    for images in ([], None):
        assert to_conversation({**row, "images": images}).dialogue.images == ()
    with pytest.raises(Skipped, match=r"special_token: .*literal '<think>'"):
        to_conversation(row_of(said("user", "A?"), said("assistant", "<think>Hm.</think> B.")))
