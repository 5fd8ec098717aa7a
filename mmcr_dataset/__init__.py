"""Raw web documents to published multi-turn dialogues."""
