"""Tiny models of the types of transformers without a file in training/families/, by type."""

from __future__ import annotations

from benchmarks.tiny.further import FURTHER
from benchmarks.tiny.m_rope import M_ROPE
from benchmarks.tiny.plain import PLAIN
from benchmarks.tiny.recent import RECENT

TINY = dict(sorted((PLAIN | M_ROPE | RECENT | FURTHER).items()))
