"""Rows to batches: mixture, encoding, loss mask, packing, steps."""
