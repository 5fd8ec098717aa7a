"""Dialogues to a fine-tuned vision-language model."""

from mmcr_dataset import __version__

__all__ = ["__version__"]
