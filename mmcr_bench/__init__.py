"""Published dialogues to a reviewed benchmark, and its judge."""

from mmcr_dataset import __version__

__all__ = ["__version__"]
