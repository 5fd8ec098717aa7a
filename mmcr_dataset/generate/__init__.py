"""Candidates to dialogues: prompts, writers, the parser of replies, the estimate of cost."""
