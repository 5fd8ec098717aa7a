"""The dialogue record, its chat messages, its published row, its images and text."""
