"""Which dialogues are kept: rules, similarity of image and text, deduplication, contamination."""
