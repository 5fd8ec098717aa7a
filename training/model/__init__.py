"""The model that is trained: how it is loaded, which of its parts train, what a step costs."""

from training.model.load import encoding_processor, load_model

__all__ = ["encoding_processor", "load_model"]
