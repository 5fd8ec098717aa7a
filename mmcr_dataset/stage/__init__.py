"""Stages of a build on disk, progress, and engines that run them on several ranks."""
