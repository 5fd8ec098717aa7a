"""Dialogues to a fine-tuned vision-language model."""
