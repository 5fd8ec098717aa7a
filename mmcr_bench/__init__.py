"""Published dialogues to a reviewed benchmark, and its judge."""
