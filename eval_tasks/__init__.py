"""A model to numbers: tasks, the one loop, reports."""
