"""MMDU's way to dialogues: images of related pages, clustered."""
