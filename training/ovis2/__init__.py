"""Ovis2's own image tiling, and its visual head with less memory."""
