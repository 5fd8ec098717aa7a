"""The controlled world: dialogues about images whose answers are computed."""
