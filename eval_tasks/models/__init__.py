"""What is evaluated: a local checkpoint with a KV cache, an API model, a script."""
