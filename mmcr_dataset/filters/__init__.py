"""Filters on dialogues: rules, image-text similarity, deduplication, decontamination."""
