"""`mini`: a vision-language model of 0.4 million weights, of the true Qwen3-VL classes, with random weights.

Its image encoder reads patches of 16 pixels and merges four of them, so that a cell of 32 pixels is one visual token.
The trained weights lie in training/mini/; `python -m experiments.mini` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from training.families import load_family
from training.model.tiny import train_tokenizer

FAMILY = "qwen3_vl"
_WIDTH = 64
_VOCABULARY = 768
_TEXT = {"hidden_size": _WIDTH, "intermediate_size": 3 * _WIDTH, "num_key_value_heads": 4, "head_dim": _WIDTH // 4}
_WEIGHTS_STD = 0.1  # about 1 / sqrt(width); with the default of 0.02 the first lesson takes twice as many steps
_POSITIONS_SCALE = 20.0  # as large as the embedded patches, or the places of things are lost in them
_ROTATION = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "mrope_interleaved": True}
_VISION = {
    "depth": 1,
    "hidden_size": 48,
    "intermediate_size": 96,
    "out_hidden_size": _WIDTH,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
}


def write_mini(folder: Path, texts: Iterable[str], seed: int) -> int:
    """Write a checkpoint with random weights and a tokenizer trained on the texts; returns the number of weights."""
    import torch

    family = load_family(FAMILY)
    model, processor = family.to_tiny(train_tokenizer(texts, family, _VOCABULARY))
    for part, sizes in ((model.config.text_config, _TEXT), (model.config.vision_config, _VISION)):
        for name, value in sizes.items():
            setattr(part, name, value)
        part.initializer_range = _WEIGHTS_STD
    model.config.text_config.rope_parameters = _ROTATION
    torch.manual_seed(seed)
    mini = type(model)(model.config)
    mini.model.visual.pos_embed.weight.data.mul_(_POSITIONS_SCALE)
    mini.save_pretrained(folder)
    processor.save_pretrained(folder)
    return sum(weight.numel() for weight in mini.parameters())
