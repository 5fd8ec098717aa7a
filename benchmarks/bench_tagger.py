"""python benchmarks/bench_tagger.py: images/s of `tag` against the network alone, and accuracy of its domains.

Needs the real documents of ../shared/data/corpus, whose domains are known.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmcr_bench.select.labels import BATCH, OfflineLabeler, read_labels, write_labels
from mmcr_bench.select.topics import DOMAINS, choose_topics, count_labels, sort_offline
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import MAX_IMAGES, Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "data" / "corpus"


def load_documents() -> tuple[list[Dialogue], dict[str, str]]:
    """The documents as single-turn dialogues, and the known domain of each."""
    dialogues, domains = [], {}
    for line in (CORPUS / "provenance.jsonl").read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        names = [image["name"] for image in document["images"]][:MAX_IMAGES]
        images = tuple(DialogueImage((CORPUS / "images" / name).read_bytes()) for name in names)
        turn = Turn(introduce(range(1, len(names) + 1), "What is this?"), "An image.")
        dialogues.append(Dialogue(document["id"], (turn,), images))
        domains[document["id"]] = document["mmcr_domain"]
    return dialogues, domains


def main() -> None:
    """Measure and print."""
    dialogues, known = load_documents()
    labeler = OfflineLabeler()
    images = [decode_rgb(image.data) for dialogue in dialogues for image in dialogue.images]
    begun = time.perf_counter()
    for start in range(0, len(images), BATCH):
        labeler.label(images[start : start + BATCH])
    bare_s = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dialogues, Path(folder) / "data")
        begun = time.perf_counter()
        write_labels(Path(folder) / "data", labeler, Path(folder) / "labels.jsonl")
        tag_s = time.perf_counter() - begun
        labels = read_labels(Path(folder) / "labels.jsonl")
    count = len(images)
    print(f"bare network {count / bare_s:.1f} images/s, tag (reads and decodes too) {count / tag_s:.1f}, "
          f"ratio {bare_s / tag_s:.2f}")  # fmt: skip

    counts = count_labels(labels.values())
    domain_of = sort_offline(counts)
    confusion: Counter[tuple[str, str]] = Counter()
    for id_, shown in labels.items():
        votes = Counter(domain_of[tags[-1]] for tags in shown if tags and tags[-1] in domain_of)
        confusion[known[id_], votes.most_common(1)[0][0] if votes else "none"] += 1
    right = sum(confusion[domain, domain] for domain in DOMAINS)
    print(f"\nthe tagger's domain is the known one for {right} of {len(labels)} documents")
    print("known \\ tagged  " + "".join(f"{name[:9]:>11}" for name in (*DOMAINS, "none")))
    for domain in DOMAINS:
        print(f"{domain:<16}" + "".join(f"{confusion[domain, name]:>11}" for name in (*DOMAINS, "none")))
    print("\ntopics:", ", ".join(f"{t.domain}/{t.label} {t.num_images}" for t in choose_topics(counts, domain_of)))


if __name__ == "__main__":
    main()
