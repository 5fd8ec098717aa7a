"""Raw web documents to published multi-turn dialogues."""

__version__ = "0.2.0"
