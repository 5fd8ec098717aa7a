"""The collect stage: sampled documents to shards of candidates; a resumed run fetches only what is missing.

Shards are limited in documents and in bytes of images, which bounds the memory of later stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mmcr_dataset.collect.candidates import CandidateWriter, read_candidates
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.window import Item, fetch_in_order
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.stages import Removed, Stage

DOCUMENTS_A_SHARD = 100
BYTES_A_SHARD = 200_000_000
KNOWN = "known"  # reason in place of a document of a finished shard, of which ranks have fetched nothing again


def find_resume_point(stage: Stage) -> tuple[int, int]:
    """Where to resume: the first unfinished shard (or one with retries), and the number of documents before it."""
    number = num_before = 0
    while stage.is_finished(number) and not stage.has_retries(number):
        num_before += stage.num_in(number)
        number += 1
    return number, num_before


async def collect_shards(
    stage: Stage,
    first: int,
    documents: Iterator[Item],
    settings: FetchSettings,
    limits: ImageLimits,
    progress: Callable[[], object] = lambda: None,
) -> list[int]:
    """Write the shards from `first` on; returns the numbers of finished ones whose candidates changed.

    Args:
        stage: the collect stage.
        first: number of the first shard to write or to retry.
        documents: the sampled documents, from that shard's first on; or what ranks have found for them.
        settings: settings of the fetcher.
        limits: limits on an image.
        progress: called once for each document.
    """
    num_finished = first
    while stage.is_finished(num_finished):
        num_finished += 1
    stage.delete_from(num_finished)
    items = _to_items(stage, range(first, num_finished), documents)
    changed: list[int] = []
    shard: _Shard | None = None
    async with AsyncExitStack() as at_end:
        at_end.callback(lambda: shard.writer.abort() if shard else None)
        results = await at_end.enter_async_context(aclosing(fetch_in_order(items, settings, limits)))
        async for mended, result in results:
            if shard is not None and (shard.is_full if mended is None else shard.number != mended):
                changed += shard.finish(stage)
                shard = None
            if shard is None:
                number = num_finished if mended is None else mended
                num_finished += mended is None
                shard = _Shard(number, stage.shard(number, "parquet"), is_mended=mended is not None)
            shard.add(result)
            progress()
        if shard is not None:
            changed += shard.finish(stage)
            shard = None
    return changed


def _to_items(stage: Stage, finished: range, documents: Iterator[Item]) -> Iterator[tuple[int | None, Item]]:
    """(shard, item): known results of finished shards and their documents to retry, then (None, document)."""
    for number in finished:
        some = list(islice(documents, stage.num_in(number)))
        if not stage.has_retries(number) or all(document == Removed("", KNOWN, "") for document in some):
            continue
        rows: list[Candidate | Removed] = [*read_candidates(stage.shard(number, "parquet"))]
        known: dict[str, list[Candidate | Removed]] = {}
        for row in rows + stage.removed_rows(number):
            if isinstance(row, Candidate) or not row.retry:
                known.setdefault(row.id, []).append(row)
        for document in some:
            found = known.get(document.id)
            yield number, found.pop(0) if found else document
    for document in documents:
        yield None, document


@dataclass
class _Shard:
    """A shard that is being written."""

    number: int
    path: Path
    is_mended: bool
    num_kept: int = 0
    size_bytes: int = 0
    removed: list[Removed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = CandidateWriter(self.path)

    @property
    def is_full(self) -> bool:
        """True if the next document goes to the next shard."""
        full = self.num_kept + len(self.removed) >= DOCUMENTS_A_SHARD or self.size_bytes >= BYTES_A_SHARD
        return full or self.is_mended

    def add(self, result: Candidate | Removed) -> None:
        if isinstance(result, Removed):
            assert result.reason != KNOWN, f"{self.path}: {result.id!r} was not fetched, and is in no finished shard"
            self.removed.append(result)
            return
        self.writer.add(result)
        self.num_kept += 1
        self.size_bytes += sum(len(image.data) for image in result.images)

    def finish(self, stage: Stage) -> list[int]:
        """Finish the shard; returns its number if it replaces one with other candidates."""
        before = len(read_candidates(self.path)) if self.is_mended else self.num_kept
        stage.invalidate(self.number)
        self.writer.close()
        stage.finish(self.number, self.num_kept + len(self.removed), self.num_kept, self.removed)
        return [self.number] if before != self.num_kept else []
