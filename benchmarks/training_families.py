"""python -m benchmarks.training_families [TYPE ...]: which models of transformers train; tiny ones, random weights.

For each type dialogues are encoded with the checkpoint's own chat template and packed, or padded with the reason; a
step is trained; and the saved folder generates with plain transformers. Prints a Markdown table.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from benchmarks.tiny import TINY
from benchmarks.training_dialogues import make_dialogue
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import to_messages
from mmcr_dataset.record.row import to_row
from training.config import TrainConfig
from training.data.collate import check_labels, pad
from training.data.encode import Encoded, Encoder
from training.data.lengths import Measurer
from training.data.loss_mask import NO_LOSS
from training.data.packing import pack, rope_of
from training.families import family_names, family_of, load_family
from training.families.family import Family
from training.model.load import choose_attention
from training.model.read_family import read_model
from training.model.tiny import dialogue_texts, train_tokenizer
from training.model.varlen import register_varlen
from training.train import train


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
        difference: largest difference of logits in a batch from those alone, relative to the largest logit; 0 if every
            micro-batch has one dialogue.
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
        check_labels(encoder)
        dialogues = [dialogue for dialogue in some_dialogues() if dialogue.images or not family.alone]
        encoded = [encoder.encode(dialogue) for dialogue in dialogues]
        wrong = sum(not _labels_are_right(encoder, *pair) for pair in zip(dialogues, encoded, strict=True))
        measurer = Measurer(encoder, family)
        lengths = [measurer.measure(to_row(dialogue)).tokens for dialogue in dialogues]
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
        if family.alone:
            return 0.0
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
    """Logits of a batch, with the attention that training would take; of one dialogue with sdpa."""
    attention = "sdpa"
    if packed and len(encoded) > 1:
        batch = pack(encoded, rope_of(model))
        begins = batch.pop("cu_seq_lens")
        attention, _ = choose_attention(TrainConfig(model="m"), model.config.get_text_config(), None)
        if attention == "varlen":
            attention, longest = register_varlen(), int(begins.diff().max())
            batch |= {
                "cu_seq_lens_q": begins,
                "cu_seq_lens_k": begins,
                "max_length_q": longest,
                "max_length_k": longest,
            }
    else:
        batch = pad(encoded, pad_id)
    batch.pop("labels")
    with_images = [one.images for one in encoded if one.images]
    images = family.join_images(with_images) if with_images else {}
    model.set_attn_implementation({"text_config": attention})
    found: torch.Tensor = model(**batch, **images, use_cache=False).logits
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
    asked = processor(text=[text], images=[images], add_special_tokens=False, return_tensors="pt").to(
        dtype=torch.float32
    )
    said = model.generate(**asked, max_new_tokens=4, do_sample=False)
    return said.shape[1] > asked["input_ids"].shape[1]


_TIMM = "its image encoder is timm's, which isn't installed here"
_NO_CHAT = "not a chat model: it has no turns"
_NOT_BUILT = "no tiny one written"
REFUSED = {
    "blip": _NO_CHAT, "blip-2": _NO_CHAT, "florence2": _NO_CHAT, "git": _NO_CHAT, "instructblip": _NO_CHAT,
    "instructblipvideo": _NO_CHAT, "kosmos-2": _NO_CHAT, "kosmos-2.5": _NO_CHAT, "pix2struct": _NO_CHAT,
    "pp_chart2table": _NO_CHAT, "pp_formulanet": _NO_CHAT, "udop": _NO_CHAT, "vision-encoder-decoder": _NO_CHAT,
    "t5gemma2": "an encoder-decoder: no causal language model",
    "pi0": "gives actions of a robot, not text", "evolla": "reads proteins, not images",
    "diffusion_gemma": "a diffusion of blocks, not a causal language model",
    "idefics2": "its processor rewrites the text around images and doesn't tell where",
    "paligemma": "its processor inserts tokens and doesn't tell where; it has no chat template",
    "fast_vlm": _TIMM, "gemma3n": _TIMM, "perception_lm": _TIMM,
}  # fmt: skip


def show_others() -> str:
    """The types of `AutoModelForImageTextToText` that aren't in the table, with the reason."""
    known = {*TINY, *family_names()}
    reasons: dict[str, list[str]] = {}
    for model_type in sorted(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES):
        if model_type not in known:
            reasons.setdefault(REFUSED.get(model_type, _NOT_BUILT), []).append(f"`{model_type}`")
    rows = [f"| {reason} | {', '.join(types)} |" for reason, types in sorted(reasons.items())]
    return "\n".join(["| why not in the table | types |", "| --- | --- |", *rows])


def main() -> None:
    """Print the table."""
    columns = ("type", "batches", "wrong lengths", "wrong labels", "logits differ", "trained, unmoved", "frozen, moved")
    print(f"| {' | '.join(columns)} | generates |")
    print("| --- " * (len(columns) + 1) + "|")
    for model_type in sys.argv[1:] or sorted({*TINY, *family_names()}):
        print(check(model_type).show(), flush=True)
    if not sys.argv[1:]:
        print("\n" + show_others())


if __name__ == "__main__":
    main()
