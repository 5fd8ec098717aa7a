"""Cost of a document in each stage by the size of the set: python -m benchmarks.dataset_scale [--sizes 10000 100000].

Builds a set with the offline writer from tar archives of documents with one tiny image each, without network, model or
similarity. Prints CPU microseconds (all threads) and bytes of peak memory a document for each stage, and by how much
the first grows from the smallest size to the largest. `--hashes 10000000` instead measures dedup alone, on random
hashes of which one in ten repeats an earlier one with up to 6 bits changed.

Every size runs in a process of its own. Memory is the highest resident size of a stage less that at its start.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmcr_dataset.publish.markdown_table import to_table

DOCUMENTS_AN_ARCHIVE = 10_000
DOCUMENTS_A_SHARD = 100
ORIGINALS, CHANGED_BITS_MAX = 100_000, 6  # of the repeated hashes
SIDE_PX, CELL_PX = 48, 6
TEXT = (
    "The village number {n} lies on a hill above the river. Its houses are built of grey stone, and most of them have "
    "a garden. In the summer many people come to see the market. The church was built by the owner of house {m}."
)
PAGE_BYTES = 4096
Costs = dict[str, tuple[float, float]]  # stage -> CPU microseconds and bytes a document


def write_archives(folder: Path, count: int) -> None:
    """Tar archives of documents with one image and one text each."""
    import numpy as np
    from PIL import Image

    folder.mkdir()
    chance = np.random.default_rng(count)
    for first in range(0, count, DOCUMENTS_AN_ARCHIVE):
        with tarfile.open(folder / f"{first:09d}.tar", "w") as archive:
            for number in range(first, min(count, first + DOCUMENTS_AN_ARCHIVE)):
                cells = chance.integers(0, 255, (SIDE_PX // CELL_PX,) * 2, dtype=np.uint8)
                image = io.BytesIO()
                Image.fromarray(cells.repeat(CELL_PX, 0).repeat(CELL_PX, 1)).save(image, "PNG")
                text = TEXT.format(n=number, m=number * 7 + 1).encode()
                for ending, data in (("png", image.getvalue()), ("txt", text)):
                    member = tarfile.TarInfo(f"{number:09d}.{ending}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


class Meter:
    """Measures stages of this process.

    Args:
        count: number of documents.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.costs: Costs = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        ended, highest, before = threading.Event(), [0], resident_bytes()

        def watch() -> None:
            while not ended.wait(0.02):
                highest[0] = max(highest[0], resident_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        start = time.process_time()
        try:
            yield
        finally:
            cpu_s = time.process_time() - start
            ended.set()
            watcher.join()
        self.costs[name] = (cpu_s / self._count * 1e6, max(0, highest[0] - before) / self._count)


def resident_bytes() -> int:
    """Resident size of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def measure_build(count: int, folder: Path) -> Costs:
    """The stages of a build of that many documents."""
    from mmcr_dataset import pipeline
    from mmcr_dataset.build_settings import BuildSettings
    from mmcr_dataset.collect.sources.open_source import open_source
    from mmcr_dataset.filters.contamination import Against
    from mmcr_dataset.filters.prescreen import prescreen
    from mmcr_dataset.generate.ranks import GenerateTask
    from mmcr_dataset.generate.run import generate
    from mmcr_dataset.generate.writer_settings import WriterSettings
    from mmcr_dataset.stage.takedowns import load_takedowns

    warm_up = count < 1000
    write_archives(folder / "source", count)
    settings = BuildSettings(str(folder / "source"), folder / "set", WriterSettings("offline"), matcher="none")
    taken_out, meter = load_takedowns(settings.out), Meter(count)
    against = Against([], taken_out)
    with meter.stage("collect"):
        counts = [pipeline.collect(settings, open_source(settings.source))]
    with meter.stage("prescreen"):
        prescreen(settings.work, against, settings.engine)
    with meter.stage("generate"):
        generated = generate(GenerateTask(settings.work, settings.writer, settings.engine))
        assert generated is not None, "the offline writer ends in this process"
    with meter.stage("filter"):
        counts += [generated, pipeline.filter_dialogues(settings, against, lambda: None)]
    with meter.stage("publish"):
        pipeline.publish(settings, counts, taken_out)
    if not warm_up and counts[-1].num_kept < 0.9 * count:
        raise ValueError(f"only {counts[-1].num_kept} of {count} documents were kept: {counts[-1].removed}")
    return meter.costs


def measure_dedup(count: int, folder: Path) -> Costs:
    """Dedup of that many documents with one image, as in a build: from what ranks found to the drops."""
    import numpy as np

    from mmcr_dataset.filters.documents import Documents
    from mmcr_dataset.stage.checks import Checks
    from mmcr_dataset.stage.engine import EngineSettings

    checks, meter, chance = Checks(folder / "checks"), Meter(count), np.random.default_rng(count)
    phashes = chance.integers(0, 1 << 64, count, dtype=np.uint64)
    repeated = np.flatnonzero(chance.random(count) < 0.1)[1:]
    copied = phashes[chance.integers(0, np.minimum(repeated, ORIGINALS))]
    for bits in chance.integers(0, 64, (CHANGED_BITS_MAX, len(repeated)), dtype=np.uint64):
        copied ^= np.where(chance.random(len(repeated)) < 0.5, np.uint64(1) << bits, np.uint64(0))
    phashes[repeated] = copied
    for first in range(0, count, DOCUMENTS_A_SHARD):
        some = [f"{phash:016x}" for phash in phashes[first : first + DOCUMENTS_A_SHARD].tolist()]
        ids = [f"{first + place:032x}" for place in range(len(some))]
        checks.write(first // DOCUMENTS_A_SHARD, "", ids, {}, [(place, phash, 0.5) for place, phash in enumerate(some)])
    with meter.stage("dedup"):
        documents = Documents(checks)
        first_of = documents.first_of(folder, EngineSettings())
        assert first_of is not None, "one process is never submitted to a queue"
        checks.drop(documents.repeats(first_of))
    if not (first_of != np.arange(count)).any():
        raise ValueError("no repeated hash was found")
    return meter.costs


MEASURES: dict[str, Callable[[int, Path], Costs]] = {"build": measure_build, "dedup": measure_dedup}


def run_alone(what: str, count: int) -> Costs:
    """Measure in a new process, after a run of few documents that loads what is loaded once."""
    command = [sys.executable, "-m", "benchmarks.dataset_scale", "--what", what, "--sizes", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {name: (cost[0], cost[1]) for name, cost in json.loads(done.stdout.splitlines()[-1]).items()}


def show(sizes: list[int], costs: list[Costs]) -> str:
    """The table: a line for each stage."""
    header = ["stage", *(column for size in sizes for column in (f"us at {size:,}", f"bytes at {size:,}")), "growth"]
    rows = []
    for name in costs[0]:
        numbers = [f"{value:,.{int(value < 100)}f}" for cost in costs for value in cost[name]]
        rows.append([name, *numbers, f"{costs[-1][name][0] / costs[0][name][0]:.2f}"])
    return to_table(header, rows, right=range(1, len(header)))


def main() -> None:
    """Measure and print, or run as one of the measured processes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of documents")
    parser.add_argument("--hashes", type=int, nargs="+", help="numbers of hashes: measure dedup alone")
    parser.add_argument("--what", choices=list(MEASURES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what is not None:
        logging.disable(logging.WARNING)
        for count in (100, args.sizes[0]):
            with tempfile.TemporaryDirectory() as place:
                costs = MEASURES[args.what](count, Path(place))
        print(json.dumps(costs))
        return
    what, sizes = ("dedup", args.hashes) if args.hashes else ("build", args.sizes)
    print(show(sizes, [run_alone(what, count) for count in sizes]))


if __name__ == "__main__":
    main()
