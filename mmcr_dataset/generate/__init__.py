"""Candidates to dialogues: prompts, writers, the reply parser, the cost estimate."""
