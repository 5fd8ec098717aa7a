"""Data set folder and Hub: shards, card, checks, upload, takedown, import."""
