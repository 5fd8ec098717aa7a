"""How the answer is read from a reply."""
