"""The collect stage on the ranks of an engine: a rank reads whole parts of the source, this process only their counts.

Ranks screen, draw and fetch; what they found is read back in order, so that shards have the same bytes as in a plain
run. With a quota, how many parts are needed is known only from their counts: ranks count parts in waves, each as large
as the share seen so far makes likely, and fetch those of the waves before. Nothing beyond the quota is fetched.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, chain, count, islice, repeat, takewhile
from math import ceil, inf
from pathlib import Path

from mmcr_dataset.collect.document import Document, DocumentSource
from mmcr_dataset.collect.draw import (
    NOTES_NAME,
    Drawn,
    Part,
    Quota,
    draw_documents,
    parts_in_order,
    read_notes,
    write_note,
)
from mmcr_dataset.collect.shards import KNOWN
from mmcr_dataset.collect.visits import (
    DOCUMENTS_A_PIECE,
    Visit,
    VisitTask,
    read_counts,
    read_results,
    visit_parts,
    write_visit,
)
from mmcr_dataset.collect.web.window import Item
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.shard_job import may_try_again, run_shards
from mmcr_dataset.stage.stages import Removed, Stage, write_text

_FOLDER = "1_fetched"
_MARGIN = 1.1  # parts counted for each that the share of documents seen so far asks for
_NONE_SEEN = 10  # parts counted for each so far if these have no document of a kind
_KNOWN = Removed("", KNOWN, "")
_Numbered = tuple[int, Part]


def visits_folder(work: Path, stage: Stage) -> Path:
    """Folder of what ranks have found with the settings of a collect stage."""
    return work.resolve() / _FOLDER / stage.fingerprint[:16]


def drop_visits(work: Path) -> None:
    """Delete what ranks have found, when all of it is in shards; a kill leaves nothing that is half deleted in use."""
    folder, former = work / _FOLDER, work / f"{_FOLDER}.former"
    shutil.rmtree(former, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder.rename(former))


@dataclass(frozen=True)
class _Block:
    """Documents that this process has drawn, as a part."""

    name: str
    documents: list[Document | Removed]
    num_rows: None = None

    def __iter__(self) -> Iterator[Document | Removed]:
        return iter(self.documents)


def _to_blocks(documents: Iterator[Document | Removed]) -> Iterator[_Block]:
    for number in count():
        some = list(islice(documents, DOCUMENTS_A_PIECE))
        if not some:
            return
        yield _Block(str(number), some)


class _FinishedShards:
    """Which of the drawn documents, by their position, are in finished shards."""

    def __init__(self, stage: Stage, start: int) -> None:
        self._stage, self._start = stage, start
        self._ends = list(accumulate(stage.num_in(number) for number in takewhile(stage.is_finished, count())))
        self.num = self._ends[-1] if self._ends else 0

    def to_retry(self, start: float, end: float) -> frozenset[str]:
        """Ids of the documents to retry in the shards that hold some of these positions; before `start` are none."""
        shards = range(
            bisect_right(self._ends, max(start, self._start)), min(bisect_left(self._ends, end) + 1, len(self._ends))
        )
        return frozenset(row.id for number in shards for row in self._stage.removed_rows(number) if row.retry)


class DrawOnRanks:
    """A draw by ranks: the quota that is left, the parts of the set so far, and the visits that the next job makes.

    Args:
        source: the documents.
        quota: number to sample; not modified.
        stage: the collect stage.
        start: number of documents to skip, for resuming: those of the first finished shards.
        task: settings of the draw, and of the fetcher over all ranks together; its folder is `visits_folder`.
        work: the work folder.
        engine: where the ranks run.
    """

    def __init__(
        self,
        source: DocumentSource,
        quota: Quota,
        stage: Stage,
        start: int,
        task: VisitTask,
        work: Path,
        engine: EngineSettings,
    ) -> None:
        self._task, self._work, self._engine, self._start = task, work, engine, start
        self._fingerprint = stage.fingerprint
        self._finished = _FinishedShards(stage, start)
        self._notes = stage.folder / NOTES_NAME
        self._noted = read_notes(self._notes)
        self._parts: Iterator[_Numbered] = enumerate(parts_in_order(source, quota, task.seed))
        self._quota = quota
        self._drawn: list[tuple[int, int | None]] = []  # part, its number of documents if all are in shards
        self._position: float = 0  # of the next part's first document; infinite behind a part that isn't counted
        self._draw_here_if_few(source, start)
        self._left = replace(self._quota)
        self._is_new = not self._task.folder.exists()
        known = self._task.folder / "finished.txt"
        if not known.is_file() or int(known.read_text()) > self._finished.num:
            shutil.rmtree(self._task.folder, ignore_errors=True)  # it relies on shards that a kill has undone
        write_text(known, str(self._finished.num))
        self._to_fetch: list[int] = []
        self._to_count: list[int] = []
        self._not_noted: list[int] = []

    def _draw_here_if_few(self, source: DocumentSource, start: int) -> None:
        """Where there are more ranks than parts, the documents are drawn here, and blocks of them are the parts."""
        least = max(2, self._engine.num_ranks)
        first = list(islice(self._parts, least))
        self._parts = chain(first, self._parts)
        if len(first) == least:
            return
        draw = partial(draw_documents, source, self._quota, self._task.seed, self._task.screen, self._notes)
        is_all = start and start == sum(drawn.num for drawn in self._noted.values())
        is_complete = is_all and not any(True for _ in draw(start))
        number = start // DOCUMENTS_A_PIECE
        self._position = start if is_complete else number * DOCUMENTS_A_PIECE
        self._drawn.append((-1, self._position))
        self._parts = enumerate(_to_blocks(draw(self._position)), number)
        self._quota = Quota(None, None)
        self._task = replace(self._task, folder=self._task.folder / "drawn_here")

    def results(self) -> Iterator[Item] | None:
        """What was found for all documents, in order; None if a job was submitted to a queue.

        Raises:
            ValueError: the engine is not installed, or a rank failed.
        """
        waiting: deque[_Numbered] = deque()  # counted, not yet decided
        while not self._left.is_met and (one := waiting.popleft() if waiting else next(self._parts, None)):
            if self._is_decided(one):
                self._add(one)
                continue
            waiting.extend([one, *islice(self._parts, self._num_to_count(one))])
            if not self._count(waiting):
                return None
        has_only_retries = self._is_new and bool(self._to_fetch) and self._position == self._finished.num
        if has_only_retries and not may_try_again(self._work, "collect", self._fingerprint, self._engine):
            return repeat(_KNOWN, self._finished.num - self._start)
        return islice(self._read_results(), self._start, None) if self._run() else None

    def _is_decided(self, one: _Numbered) -> bool:
        """True if it is known what is drawn of a part: it is counted, or the quota that is left has no number."""
        return not (self._left.single or self._left.multi) or self._counts_of(one) is not None

    def _counts_of(self, one: _Numbered) -> Drawn | None:
        number, part = one
        if isinstance(part, _Block):
            return Drawn.of(part.name, part)
        visited = read_counts(self._task.folder, number)
        return self._noted.get(part.name) or (visited and visited.counts)

    def _num_to_count(self, one: _Numbered) -> int | None:
        """How many parts behind the first undecided one to count: as many as those before make likely; None for all."""
        if self._quota.total is None:
            return None  # a plain run reads all of them, too
        number, _ = one
        pairs = ((self._quota.single or 0, self._left.single), (self._quota.multi or 0, self._left.multi))
        needed = [number * (left / (whole - left) if whole > left else _NONE_SEEN) for whole, left in pairs if left]
        return max(self._engine.num_ranks, ceil(_MARGIN * max(needed))) - 1

    def _count(self, parts: Iterable[_Numbered]) -> bool:
        """Count parts, and fetch those decided before; False if the job was submitted to a queue."""
        for number, part in parts:
            if self._counts_of((number, part)) is None:
                write_visit(self._task.folder, number, Visit(part, None))
                self._to_count.append(number)
        return self._run()

    def _add(self, one: _Numbered) -> None:
        """Add what is drawn of a part to the set; it is visited if something of it is to be fetched."""
        number, part = one
        counts, start = self._counts_of(one), self._position
        quota = self._left.binding(counts)
        drawn = None if counts is None else self._left.take(counts)
        self._position = inf if drawn is None else start + drawn.num
        again = self._finished.to_retry(start, self._position)
        is_noted = isinstance(part, _Block) or part.name in self._noted
        if drawn is not None and is_noted and self._position <= self._finished.num and not again:
            self._drawn.append((number, drawn.num))
            return
        self._drawn.append((number, None))
        self._not_noted += [] if is_noted else [number]
        if not self._is_fetched(number):
            write_visit(self._task.folder, number, Visit(part, quota, int(max(0, self._finished.num - start)), again))
            self._to_fetch.append(number)

    def _run(self) -> bool:
        """Make the visits; False if the job was submitted to a queue.

        Raises:
            ValueError: a rank failed.
        """
        fetch, num = self._task.fetch, max(1, min(self._engine.num_ranks, len(self._to_fetch)))
        share = replace(
            fetch,
            max_in_flight=max(1, fetch.max_in_flight // num),
            max_in_flight_host=max(1, fetch.max_in_flight_host // num),
        )
        visit = partial(visit_parts, replace(self._task, fetch=share))
        if not run_shards("collect", visit, [*self._to_fetch, *self._to_count], self._work, self._engine):
            return False
        missing = [number for number in self._to_fetch if not self._is_fetched(number)]
        missing += [number for number in self._to_count if read_counts(self._task.folder, number) is None]
        if missing:
            raise ValueError(
                f"collect: {len(missing)} parts of the source were not finished, the first is number {missing[0]}, "
                f"see {self._work / 'engine' / 'collect'}; run the same command again to resume"
            )
        self._to_fetch, self._to_count = [], []
        return True

    def _is_fetched(self, number: int) -> bool:
        visited = read_counts(self._task.folder, number)
        return visited is not None and visited.is_fetched

    def _read_results(self) -> Iterator[Item]:
        """Note the counts of the parts; then what was found for all documents, in order."""
        for number in self._not_noted:
            visited = read_counts(self._task.folder, number)
            assert visited is not None, f"part {number} was drawn, but not visited"
            write_note(self._notes, visited.counts)
        return chain.from_iterable(
            read_results(self._task.folder, number) if num is None else repeat(_KNOWN, num)
            for number, num in self._drawn
        )
