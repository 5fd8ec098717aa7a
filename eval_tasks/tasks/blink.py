"""BLINK: fourteen visual tasks that people solve in a blink, about one to four images; validation split.

Source: Hub BLINK-Benchmark/BLINK (14 configurations, split val), or VLMEvalKit's BLINK.tsv
Licence: Apache-2.0 · Rows: 1901
Metric: accuracy over all rows, and by task · Paper: arXiv 2404.12390

Columns: lmms-eval blink/utils.py; prompt and letter: VLMEvalKit image_mcq.py (both August 2026). The labels
of Relative_Reflectance were corrected in 2025 and 2026: results.json names the table's md5 or the revision that was
read, and VLMEvalKit's table of before May 2026 is said to be another version. BLINK's own test_benchmark.py reads `(B)`
as a word, or a reply of one letter, and lets a chat model match the rest.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_parts

CONFIGS = (
    *("Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test", "Jigsaw"),
    *("Multi-view_Reasoning", "Object_Localization", "Relative_Depth", "Relative_Reflectance"),
    *("Semantic_Correspondence", "Spatial_Relation", "Visual_Correspondence", "Visual_Similarity"),
)
COLUMNS = (("category", "sub_task"), ("index", "idx"))
HUB = HubRows("BLINK-Benchmark/BLINK", "val", columns=COLUMNS)
PARTS = [replace(HUB, config=config) for config in CONFIGS]
LOAD = partial(load_parts, parts=PARTS, stem="BLINK")
TASK = choice_task("blink", __doc__, ChoiceRows(HUB, load=LOAD, interleaved=True), VLMEVALKIT)
