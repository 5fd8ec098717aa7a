"""Images from the web: which addresses are allowed, timeouts, retries, memory in flight."""
