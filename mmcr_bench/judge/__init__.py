"""Judges: what a model replied to a dialogue becomes scores."""

from mmcr_bench.judge.judge import open_judge, word_f1
from mmcr_bench.judge.judgement import Judge, Judgement

__all__ = ["Judge", "Judgement", "open_judge", "word_f1"]
