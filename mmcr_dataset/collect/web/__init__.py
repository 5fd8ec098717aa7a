"""Fetch images from the web: allowed addresses (SSRF protection), timeouts, retries, bounded memory."""
