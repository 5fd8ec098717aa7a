"""A local checkpoint or Hub model with its processor: what transformers' own chat template makes of a dialogue."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from PIL.Image import Image, Resampling, new
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.models.checkpoint_revision import folder_revision
from eval_tasks.models.generation import GenerationSettings, LoadSettings, Wording
from eval_tasks.models.kv_cache import has_full_attention
from eval_tasks.models.model import NoReply
from mmcr_dataset.endpoint.thoughts import MARKS
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from mmcr_dataset.record.images import ImageError, decode_rgb
from mmcr_dataset.record.messages import Message, Question, to_message, to_messages
from mmcr_dataset.record.trial import SHORT_DIALOGUE, try_out

# Types whose kept cache gives the replies of `generate` token for token: tests/eval_tasks/models/test_families.py.
KEEPS_CACHE = frozenset(
    "ovis2 qwen2_vl qwen2_5_vl qwen3_vl qwen3_vl_moe smolvlm idefics2 idefics3 llava llava_next llava_onevision "
    "internvl aya_vision mistral3 glm4v perception_lm deepseek_vl".split()
)
_INERT = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "|": "¦"})
_PROBES = ((60, 40), (90, 120))  # sizes of two images, px


@dataclass
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        name: folder or Hub id.
        processor: its processor.
        model: its model, in evaluation mode on its device.
        revision: hash of the folder, or the Hub commit.
        generation: generation settings of the run, on top of the checkpoint's generation_config.json.
        wording: how the task that is asked is put, where it is not the template's own way.
    """

    name: str
    processor: Any
    model: Any
    revision: str
    generation: GenerationSettings
    wording: Wording = Wording()  # noqa: RUF009  (frozen)

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @cached_property
    def window(self) -> int:
        """Context window, in tokens."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 0) or 0) or 1 << 30

    @cached_property
    def ends(self) -> set[int]:
        """Token ids that end a reply: those of generation_config.json, as in `generate`, else the tokenizer's."""
        ends = self.model.generation_config.eos_token_id
        if ends is None:
            ends = self.tokenizer.eos_token_id
        return set(ends) if isinstance(ends, list) else {ends}

    @cached_property
    def image_token(self) -> int | None:
        """Id of the image placeholder."""
        config = self.model.config
        found: int | None = getattr(config, "image_token_id", getattr(config, "image_token_index", None))
        return found

    @cached_property
    def why_no_cache(self) -> str | None:
        """Why the KV cache can't be kept from turn to turn; None if it can."""
        config = self.model.config
        kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
        if getattr(config.get_text_config(), "cross_attention_layers", None):
            return "its text layers attend to the images by cross attention"
        if other := sorted(kinds - {"full_attention", "sliding_attention"}):
            return f"it has {', '.join(kind.replace('_', ' ') for kind in other)} layers"
        if not has_full_attention(config):
            return "it has sliding-window attention"
        if config.model_type not in KEEPS_CACHE:
            return f"{config.model_type} is not among the types it is tested with"
        attention = config.get_text_config()._attn_implementation
        if attention != "sdpa":
            return f"its attention is {attention}, the masks of a kept cache are those of sdpa"
        beams = self.model.generation_config.num_beams or 1
        return f"its generation_config.json searches with {beams} beams" if beams > 1 else None

    @cached_property
    def reads_images_alone(self) -> bool:
        """True if an image becomes the same tokens whatever other images the dialogue shows.

        LLaVA-OneVision cuts an image into tiles only if it is the only one.
        """
        images = [new("RGB", size, (90, 60, 120)) for size in _PROBES]
        asked: Any = to_messages(Question("a", (DialogueImage(b""),)))
        text = self.processor.apply_chat_template(asked, tokenize=False)
        try:
            alone = [self.inputs_of(text, [image])["input_ids"][0].tolist() for image in images]
            both = self.inputs_of(text + text, images)["input_ids"][0].tolist()
        except (ValueError, TypeError, RuntimeError, IndexError, KeyError):
            return False  # such a dialogue is prepared whole, at every new image
        count = [ids.count(self.image_token) for ids in (*alone, both)]
        return bool(count[0] + count[1] == count[2])

    def messages_of(self, dialogue: Dialogue, replies: Sequence[str]) -> list[Message]:
        """The dialogue so far, its replies made inert, and the run's system prompt in front."""
        messages: list[Any] = [*to_messages(dialogue, [self.inert(reply) for reply in replies])]
        if self.generation.system_prompt:
            messages.insert(0, to_message("system", self.generation.system_prompt))
        return messages

    def render(self, messages: Sequence[Message]) -> str:
        """The chat template's text, up to the generation prompt."""
        options, said = self.generation.template_options, self.wording.write(messages)
        text = str(self.processor.apply_chat_template(said, add_generation_prompt=True, tokenize=False, **options))
        return text + self.wording.begin(text)

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Put the next task in these words; returns what of them replies depend on.

        Raises:
            ValueError: the image processor doesn't take the options, or the text doesn't show images by that mark.
        """
        if wording.only_of_type not in ("", self.model.config.model_type):
            wording = Wording()
        images = self.processor.image_processor
        taken = getattr(getattr(images, "valid_kwargs", None), "__annotations__", {})
        if unknown := [name for name in wording.image_options if name not in taken]:
            raise ValueError(f"{self.name}: its image processor takes no {', '.join(unknown)}; choose other --rules")
        mark = wording.image_mark
        if mark is not None and mark.strip() != getattr(self.processor, "image_token", None):
            raise ValueError(f"{self.name}: {mark.strip()} is not its image token; choose other --rules")
        self.wording = wording
        return wording.describe()

    def special_tokens_of(self, text: str) -> dict[str, bool]:
        """Option of processor and tokenizer: where the template writes the first token, the tokenizer doesn't."""
        first = self.tokenizer.bos_token
        return {"add_special_tokens": False} if first is not None and text.startswith(first) else {}

    def inputs_of(self, text: str, images: Sequence[Image], **options: Any) -> Any:
        """The model's inputs for a rendered text, as `apply_chat_template(tokenize=True)` makes them.

        All images are one list, that of one dialogue.
        """
        shown = [list(images)] if images else None
        options = self.special_tokens_of(text) | (self.wording.options_of(len(images)) if images else {}) | options
        return self.processor(text=[text], images=shown, return_tensors="pt", **options)

    def decoded(self, images: Sequence[DialogueImage], num_before: int) -> list[Image]:
        """The images as RGB, after so many others; the first one enlarged where the wording says so.

        Raises:
            NoReply: one can't be decoded.
        """
        try:
            shown = [decode_rgb(image.data) for image in images]
        except ImageError as error:
            raise NoReply(error.reason, error.detail) from error
        if (scale := self.wording.first_image_scale) > 1 and shown and not num_before:
            width, height = shown[0].size
            shown[0] = shown[0].resize((width * scale, height * scale), Resampling.BILINEAR)
        return shown

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids without special tokens, but with the marks of thoughts where they are special."""
        if not self._special_marks:
            return str(self.tokenizer.decode(ids, skip_special_tokens=True))
        special = set(self.tokenizer.all_special_ids) - self._special_marks
        return str(self.tokenizer.decode([one for one in ids if one not in special], skip_special_tokens=False))

    @cached_property
    def _special_marks(self) -> set[int]:
        """Token ids of marks of thoughts that are special tokens."""
        known = self.tokenizer.added_tokens_encoder
        marks = {known[mark] for pair in MARKS for mark in pair if mark in known}
        return marks & set(self.tokenizer.all_special_ids)

    def inert(self, reply: str) -> str:
        """A reply whose special tokens are plain text: `<image>` in it shows no image."""
        return self._special.sub(lambda match: match.group().translate(_INERT), reply) if reply else reply

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        tokens = {token.content for token in added if token.special}
        for name in ("image_token", "video_token", "audio_token", "boi_token", "eoi_token"):
            token = getattr(self.processor, name, None)
            tokens.add(token if isinstance(token, str) else "")
        found = sorted((token for token in tokens if token.strip()), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, found)) or r"(?!)")


def load_checkpoint(place: str, load: LoadSettings, generation: GenerationSettings) -> Checkpoint:
    """The checkpoint of a folder or a Hub id, `ORG/NAME[@REVISION]`.

    Raises:
        ValueError: transformers can't load it.
    """
    name, _, revision = place.partition("@")
    folder = Path(name)
    if not folder.is_dir() and (name.startswith((".", "/")) or name.count("/") != 1):
        raise ValueError(f"--model hf:{name}: no such folder, and not the form ORG/NAME of a Hub id")
    named: dict[str, Any] = {"trust_remote_code": False} | ({"revision": revision} if revision else {})
    try:
        processor = AutoProcessor.from_pretrained(name, **named)
        model: Any = AutoModelForImageTextToText.from_pretrained(name, **load.options(), **named)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ValueError(f"--model hf:{name} can't be loaded: {error}") from error
    if load.device_map is None:
        model = model.to(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu")
    commit = getattr(model.config, "_commit_hash", None)
    hashed = folder_revision(folder) if folder.is_dir() else str(commit or revision or "unknown")
    checkpoint = Checkpoint(name, processor, model.eval(), hashed, generation)
    try_out(lambda: checkpoint.render(cast(Any, SHORT_DIALOGUE)), f"--model hf:{name}: its chat template")
    return checkpoint
