"""Which dialogues the bench gets: image labels, topics, the draw."""
