"""MMCR-Exact: its totals, the figure of accuracy by distance, and the form that other harnesses read."""
