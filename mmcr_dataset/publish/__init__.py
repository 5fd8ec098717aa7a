"""Dialogues to a data set on disk and on the Hub: shards, card, checks, upload, takedown, import."""
