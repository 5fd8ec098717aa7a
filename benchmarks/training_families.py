"""python -m benchmarks.training_families [TYPE ...]: which models of transformers train; tiny ones, random weights.

For each type dialogues are encoded with the checkpoint's own chat template and packed, or padded with the reason; a
step is trained; and the saved folder generates with plain transformers. Prints a Markdown table.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from benchmarks.training_dialogues import make_dialogue
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import to_messages
from mmcr_dataset.record.row import to_row
from training.config import TrainConfig
from training.data.collate import pad
from training.data.encode import Encoded, Encoder
from training.data.lengths import Measurer
from training.data.loss_mask import NO_LOSS
from training.data.packing import merge_size_of, pack
from training.families import family_names, family_of, load_family
from training.families.family import Family, chatml_template, content_template, tiny_text_settings
from training.model.read_family import read_model
from training.model.tiny import dialogue_texts, train_tokenizer
from training.train import train

_SIDE, _PATCH = 56, 14
_VISION = {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": _SIDE,
    "patch_size": _PATCH,
}  # fmt: skip
_SIZE = {"height": _SIDE, "width": _SIDE}
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Tiny:
    """A tiny model of a type: its chat template, its tokens, and how it is built.

    Attributes:
        template: the chat template.
        end: the token that ends a turn.
        named: tokens that the processor knows by name.
        others: more special tokens.
        build: (tokenizer, settings of the language part) -> model and processor.
    """

    template: str
    end: str
    named: dict[str, str]
    others: tuple[str, ...]
    build: Callable[[Any, dict[str, Any]], tuple[Any, Any]]

    def make(self, texts: Iterable[str]) -> tuple[Any, Any]:
        """The model and its processor, with a tokenizer trained on these texts."""
        from transformers import PreTrainedTokenizerFast

        special = tuple(dict.fromkeys(("<|endoftext|>", self.end, *self.others, *self.named.values())))
        family = Family("", "", {}, special_tokens=special, end_of_turn=self.end)
        bare = train_tokenizer(texts, family)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=bare.backend_tokenizer, pad_token="<|endoftext|>", eos_token=self.end,
            extra_special_tokens=self.named,
        )  # fmt: skip
        torch.manual_seed(0)
        model, processor = self.build(tokenizer, tiny_text_settings(tokenizer, self.end))
        processor.chat_template = self.template
        return model, processor


def _internvl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    length = (_SIDE // _PATCH // 2) ** 2
    config = t.InternVLConfig(
        text_config=t.Qwen2Config(**text), vision_config=t.InternVLVisionConfig(**_VISION),
        image_token_id=tokenizer.context_image_token_id, image_seq_length=length, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.GotOcr2ImageProcessor(crop_to_patches=True, size=_SIZE, min_patches=1, max_patches=4)
    videos = t.InternVLVideoProcessor(size=_SIZE)
    processor = t.InternVLProcessor(images, tokenizer, videos, image_seq_length=length)
    return t.InternVLForConditionalGeneration(config), processor


def _llava(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.LlavaConfig(
        text_config=t.LlamaConfig(**text), vision_config=t.CLIPVisionConfig(**_VISION),
        image_token_index=tokenizer.image_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_SIZE)
    processor = t.LlavaProcessor(images, tokenizer, _PATCH, "default", num_additional_image_tokens=1)
    return t.LlavaForConditionalGeneration(config), processor


def _llava_next(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    grids = [[_SIDE * rows, _SIDE * columns] for rows in (1, 2) for columns in (1, 2)]
    config = t.LlavaNextConfig(
        text_config=t.MistralConfig(**text), vision_config=t.CLIPVisionConfig(**_VISION),
        image_token_index=tokenizer.image_token_id, image_grid_pinpoints=grids, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.LlavaNextImageProcessor(size={"shortest_edge": _SIDE}, crop_size=_SIZE, image_grid_pinpoints=grids)
    processor = t.LlavaNextProcessor(images, tokenizer, _PATCH, "default", num_additional_image_tokens=1)
    return t.LlavaNextForConditionalGeneration(config), processor


def _gemma3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**text | {"head_dim": 32, "sliding_window": 64}),
        vision_config=t.SiglipVisionConfig(**_VISION, vision_use_head=False), mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id, eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )  # fmt: skip
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(size=_SIZE), tokenizer, image_seq_length=4)
    model = t.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.02)  # zero by default
    return model, processor


def _idefics3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = _VISION | {"image_size": 64, "patch_size": 16}
    config = t.Idefics3Config(
        text_config=t.LlamaConfig(**text), vision_config=vision, image_token_id=tokenizer.image_token_id,
        pad_token_id=text["pad_token_id"], scale_factor=2, tie_word_embeddings=True,
    )  # fmt: skip
    edge = {"longest_edge": 64}
    images = t.Idefics3ImageProcessor(size={"longest_edge": 128}, max_image_size=edge, do_image_splitting=True)
    return t.Idefics3ForConditionalGeneration(config), t.Idefics3Processor(images, tokenizer, image_seq_len=4)


def _mistral3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Mistral3Config(
        text_config=t.MistralConfig(**text), vision_config=t.PixtralVisionConfig(**_VISION | {"head_dim": 24}),
        image_token_index=tokenizer.image_token_id, spatial_merge_size=2, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": _PATCH, "width": _PATCH})
    processor = t.PixtralProcessor(images, tokenizer, patch_size=_PATCH, spatial_merge_size=2, image_token="[IMG]")
    return t.Mistral3ForConditionalGeneration(config), processor


def _qwen2_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    config = t.Qwen2VLConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config={
            "depth": 2, "embed_dim": 48, "hidden_size": text["hidden_size"], "num_heads": 2, "patch_size": _PATCH,
            "spatial_merge_size": 2, "mlp_ratio": 2,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=True,
    )  # fmt: skip
    images = t.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    processor = t.Qwen2VLProcessor(images, tokenizer, t.Qwen2VLVideoProcessor())
    return t.Qwen2VLForConditionalGeneration(config), processor


def _qwen3_vl_moe(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "rope_theta": 5e6, "mrope_interleaved": True}
    more = {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    config = t.Qwen3VLMoeConfig(
        text_config=text | more | {"rope_parameters": rope, "output_router_logits": True},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": 16,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
    )  # fmt: skip
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    images = t.Qwen2VLImageProcessor(patch_size=16, size=size)
    processor = t.Qwen3VLProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())
    return t.Qwen3VLMoeForConditionalGeneration(config), processor


def _qwen3_5(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e6, "partial_rotary_factor": 0.25}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = ["linear_attention", "linear_attention", "full_attention"]
    config = t.Qwen3_5Config(
        text_config=text | linear | {"head_dim": 32, "layer_types": layers, "rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": 16,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "num_position_embeddings": 64,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=True,
    )  # fmt: skip
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    images = t.Qwen2VLImageProcessor(patch_size=16, size=size)
    return t.Qwen3_5ForConditionalGeneration(config), t.Qwen3VLProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())


def _glm4v(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = t.Glm4vConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": _PATCH,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "image_size": _SIDE,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        image_start_token_id=tokenizer.image_start_token_id, image_end_token_id=tokenizer.image_end_token_id,
        video_start_token_id=tokenizer.video_token_id, video_end_token_id=tokenizer.video_token_id,
    )  # fmt: skip
    images = t.Glm4vImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    return t.Glm4vForConditionalGeneration(config), t.Glm4vProcessor(images, tokenizer, t.Glm4vVideoProcessor())


_GLM = {
    "image_token": "<|image|>", "video_token": "<|video|>", "image_start_token": "<|begin_of_image|>",
    "image_end_token": "<|end_of_image|>",
}  # fmt: skip
_GLM_TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    f"{content_template('<|begin_of_image|><|image|><|end_of_image|>')}"
    "{% if message['role'] == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_QWEN = {
    "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}  # fmt: skip
_QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
_INTERNVL = {
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}  # fmt: skip
_MISTRAL = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
_GEMMA = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
_GEMMA_TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    f"{content_template('<start_of_image>')}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_VICUNA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    f"{content_template('<image>')}"
    "{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
_MISTRAL_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    f" {content_template('[IMG]')}</s>"
    "{% else %}[INST]"
    f"{content_template('[IMG]')}[/INST]"
    "{% endif %}{% endfor %}"
)
_ROWS = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))

TINY = {
    "gemma3": Tiny(_GEMMA_TEMPLATE, "<end_of_turn>", _GEMMA, ("<start_of_turn>",), _gemma3),
    "glm4v": Tiny(
        _GLM_TEMPLATE, "<|endoftext|>", _GLM,
        ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_video|>"), _glm4v,
    ),
    "idefics3": Tiny(
        load_family("smolvlm").chat_template, "<end_of_utterance>", {"image_token": "<image>"},
        ("<|im_start|>", "<fake_token_around_image>", "<global-img>", *_ROWS), _idefics3,
    ),
    "internvl": Tiny(chatml_template("<IMG_CONTEXT>", None), "<|im_end|>", _INTERNVL, _CHATML, _internvl),
    "llava": Tiny(_VICUNA_TEMPLATE, "</s>", {"image_token": "<image>"}, (), _llava),
    "llava_next": Tiny(_VICUNA_TEMPLATE, "</s>", {"image_token": "<image>"}, (), _llava_next),
    "mistral3": Tiny(
        _MISTRAL_TEMPLATE, "</s>", _MISTRAL,
        ("[INST]", "[/INST]"), _mistral3,
    ),
    "qwen2_vl": Tiny(
        chatml_template(_QWEN_IMAGE, "You are a helpful assistant."), "<|im_end|>", _QWEN, _CHATML, _qwen2_vl,
    ),
    "qwen3_5": Tiny(chatml_template(_QWEN_IMAGE, None), "<|im_end|>", _QWEN, _CHATML, _qwen3_5),
    "qwen3_vl_moe": Tiny(chatml_template(_QWEN_IMAGE, None), "<|im_end|>", _QWEN, _CHATML, _qwen3_vl_moe),
}  # fmt: skip


def some_dialogues() -> list[Dialogue]:
    """Six dialogues of one or three images, and one of text."""
    rng = np.random.default_rng(0)
    words = Dialogue("words", (Turn(("Only words?",), "Only words."), Turn(("Sure?",), "Yes.")))
    return [*(make_dialogue(rng, number, 60, number % 3 == 2, 100 + 17 * number) for number in range(6)), words]


@dataclass(frozen=True)
class Checked:
    """What was found about a type.

    Attributes:
        model_type: of `config.json`.
        packed: `packed`, or why it is padded.
        wrong_lengths: dialogues whose length isn't the one counted without decoding their images.
        wrong_labels: dialogues whose trained text isn't their answers and ends of turn.
        difference: largest difference of logits in a batch from those alone, relative to the largest logit.
        unmoved: trained weight tensors that a step left as they were.
        moved: frozen weight tensors that a step changed.
        generates: the saved folder generates with plain transformers.
    """

    model_type: str
    packed: str
    wrong_lengths: int
    wrong_labels: int
    difference: float
    unmoved: int
    moved: int
    generates: bool

    def show(self) -> str:
        """A row of the table."""
        cells = (
            f"`{self.model_type}`", self.packed, self.wrong_lengths, self.wrong_labels, f"{self.difference:.0e}",
            self.unmoved, self.moved, "yes" if self.generates else "no",
        )  # fmt: skip
        return f"| {' | '.join(map(str, cells))} |"


def build(model_type: str, folder: Path) -> Path:
    """Save a tiny model of a type into a folder."""
    texts = list(dialogue_texts(some_dialogues()))
    if model_type in TINY:
        model, processor = TINY[model_type].make(texts)
    else:
        family = load_family(model_type)
        torch.manual_seed(0)
        model, processor = family.to_tiny(train_tokenizer(texts, family))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def check(model_type: str) -> Checked:
    """Check a type."""
    with tempfile.TemporaryDirectory() as place:
        folder = build(model_type, Path(place) / "start")
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        processor = AutoProcessor.from_pretrained(folder)
        family = read_model(family_of(str(folder)), model)
        encoder = Encoder(processor)
        encoded = [encoder.encode(dialogue) for dialogue in some_dialogues()]
        wrong = sum(not _labels_are_right(encoder, *pair) for pair in zip(some_dialogues(), encoded, strict=True))
        measurer = Measurer(encoder, family)
        lengths = [measurer.measure(to_row(dialogue)).tokens for dialogue in some_dialogues()]
        off = sum(length != len(one) for length, one in zip(lengths, encoded, strict=True))
        difference = _difference(family, model, encoded, int(processor.tokenizer.pad_token_id))
        final = _train(folder, Path(place))
        unmoved, moved = _movements(family, model, final)
        return Checked(
            model_type, family.no_packing or "packed", off, wrong, difference, unmoved, moved, _generates(final)
        )


def _labels_are_right(encoder: Encoder, dialogue: Dialogue, encoded: Encoded) -> bool:
    tokenizer = encoder.processor.tokenizer
    text = tokenizer.decode(encoded.input_ids_T[encoded.labels_T != NO_LOSS], skip_special_tokens=False)
    pieces = [piece.strip() for piece in text.split(tokenizer.eos_token)]
    return pieces == [*(answer.strip() for answer in dialogue.references), ""]


def _difference(family: Family, model: Any, encoded: list[Encoded], pad_id: int) -> float:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:  # random tables start so small that all contexts give nearly the same logits
                parameter.normal_(0, 0.1)
        alone = [_logits(family, model, [one], family.no_packing is None, pad_id)[0, : len(one)] for one in encoded]
        together = _logits(family, model, encoded, family.no_packing is None, pad_id)
    if family.no_packing is None:
        apart = [
            together[0, begin:end] for begin, end in itertools.pairwise(itertools.accumulate([0, *map(len, alone)]))
        ]
    else:
        apart = [row[: len(one)] for row, one in zip(together, alone, strict=True)]
    largest = max(float(one.abs().max()) for one in alone)
    return max(float((a - b).abs().max()) for a, b in zip(apart, alone, strict=True)) / largest


def _logits(family: Family, model: Any, encoded: list[Encoded], packed: bool, pad_id: int) -> torch.Tensor:
    batch = pack(encoded, merge_size_of(family, model.config)) if packed and len(encoded) > 1 else pad(encoded, pad_id)
    batch.pop("labels")
    batch.pop("cu_seq_lens", None)
    images = [one.images for one in encoded if one.images]
    found: torch.Tensor = model(**batch, **(family.join_images(images) if images else {}), use_cache=False).logits
    return found


def _train(folder: Path, place: Path) -> Path:
    write_dataset(some_dialogues(), place / "data")
    config = TrainConfig(
        model=str(folder), data=[str(place / "data")], output_dir=str(place / "out"), freeze=["vision"], max_steps=1,
        global_batch_dialogues=7, bin_tokens=4096, precision="float32", learning_rate=1e-2, lr_schedule="constant",
    )  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):
        return train(config)


def _movements(family: Family, model: Any, final: Path) -> tuple[int, int]:
    before = dict(AutoModelForImageTextToText.from_pretrained(final.parents[1] / "start").named_parameters())
    after = dict(AutoModelForImageTextToText.from_pretrained(final).named_parameters())
    same = {name: torch.equal(value, after[name]) for name, value in before.items()}
    frozen = {name for name in before if name.startswith(family.parts["vision"])}
    return sum(same[name] for name in before if name not in frozen), sum(not same[name] for name in frozen)


def _generates(final: Path) -> bool:
    model, processor = AutoModelForImageTextToText.from_pretrained(final), AutoProcessor.from_pretrained(final)
    dialogue = some_dialogues()[0]
    text = Encoder(processor).render_text(to_messages(dialogue), ask=True)
    images = [decode_rgb(image.data) for image in dialogue.images]
    asked = processor(text=[text], images=[images], add_special_tokens=False, return_tensors="pt")
    said = model.generate(**asked, max_new_tokens=4, do_sample=False)
    return said.shape[1] > asked["input_ids"].shape[1]


def main() -> None:
    """Print the table."""
    columns = ("type", "batches", "wrong lengths", "wrong labels", "logits differ", "trained, unmoved", "frozen, moved")
    print(f"| {' | '.join(columns)} | generates |")
    print("| --- " * (len(columns) + 1) + "|")
    for model_type in sys.argv[1:] or sorted({*TINY, *family_names()}):
        print(check(model_type).show(), flush=True)


if __name__ == "__main__":
    main()
