"""A run around the steps: checkpoints, progress, throughput, loss curve, model card."""
