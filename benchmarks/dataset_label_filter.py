"""ROC AUC of `--filter labels`, on documents with matching images and texts.

    python -m benchmarks.dataset_label_filter --source corpus.parquet --images images/

`--source` are OmniCorpus-CC rows, `--images` the folder with the files of their URLs. Each image is matched with its
own text and with texts of others; prints the share of pairs in which its own scores higher (AUC), and the share of
matching pairs kept at several thresholds.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np

from mmcr_dataset.collect.document import Document
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.filters.clip_match import LabelMatcher, split_text

OTHERS = 5  # negative texts per image


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument(
        "--leave-out", default="planet", help="skip documents whose id contains this (fiction; default: %(default)s)"
    )
    args = parser.parse_args()
    items = []
    for document in open_source(str(args.source)):
        if not isinstance(document, Document) or len(document.images) != 1 or args.leave_out in document.id:
            continue
        path = args.images / (document.images[0].url or "").rpartition("/")[2]
        pieces = [piece for block in document.blocks if isinstance(block, str) for piece in split_text(block)]
        items.append((path.read_bytes(), pieces[:12]))
    matcher = LabelMatcher()
    rng = random.Random(0)
    right = np.array(matcher.match(items))
    wrong_pairs = [
        (image, items[rng.choice([n for n in range(len(items)) if n != index])][1])
        for index, (image, _) in enumerate(items)
        for _ in range(OTHERS)
    ]
    wrong = np.array(matcher.match(wrong_pairs))
    print(f"{len(items)} documents, {len(wrong)} wrong pairs")
    print(f"own text scores higher in {(right[:, None] > wrong[None]).mean():.1%} of the pairs")
    for threshold in (0.1, 0.15, 0.2, 0.25, 0.3):
        kept = (right >= threshold).mean(), (wrong >= threshold).mean()
        print(f"--similarity-min {threshold:.2f}: keeps {kept[0]:6.1%} of the right, {kept[1]:6.1%} of the wrong")


if __name__ == "__main__":
    main()
