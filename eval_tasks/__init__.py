"""A model to numbers: tasks, the one loop, reports."""

from mmcr_dataset import __version__

__all__ = ["__version__"]
