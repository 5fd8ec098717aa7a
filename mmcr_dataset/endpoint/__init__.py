"""Paid requests to OpenAI-compatible endpoints: client, rate limit, budget, ledger, Batch API."""
