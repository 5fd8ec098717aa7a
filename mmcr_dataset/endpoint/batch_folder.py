"""State of the Batch API's batches on disk, beside the ledger; a run killed at any moment resumes from it.

batches/00003.jsonl        the requests with their images; deleted after the upload
batches/00003.asked.jsonl  the same requests in the ledger's form, one a line; the hash of a line is its custom_id
batches/00003.json         the state: written -> uploaded -> created -> merged (or refused)
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from mmcr_dataset.endpoint.ledger import Asked, key_of
from mmcr_dataset.stage.stages import numbered, write_text

MAX_REQUESTS = 50_000  # limits of the Batch API for one file
MAX_SIZE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        number: in the names of its files.
        stage: `written`, `uploaded`, `created`, `merged` or `refused`.
        mark: unique text in the batch's metadata, by which it is found on the server.
        num_requests: requests in it.
        most_usd: upper bound of its cost (the name in the state file).
        file_id: the server's id of the uploaded requests.
        batch_id: the server's id of the batch.
        base_url: endpoint that it was made for; None in a state of version 0.1.
        model: model that is asked.
    """

    number: int
    stage: str
    mark: str
    num_requests: int
    most_usd: float
    file_id: str | None = None
    batch_id: str | None = None
    base_url: str | None = None
    model: str | None = None


class BatchFolder:
    """The folder of batches; only the process that holds the ledger may use it."""

    def __init__(self, folder: Path, base_url: str | None = None, model: str | None = None) -> None:
        self._folder, self.base_url, self.model = folder, base_url, model
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.unfinished"):
            path.unlink()

    def batches(self) -> list[Batch]:
        """All batches, in the order they were written."""
        return [Batch(**json.loads(path.read_text())) for _, path in numbered(self._folder, "json")]

    def open_batches(self) -> list[Batch]:
        """The batches whose answers are not in the ledger yet."""
        return [batch for batch in self.batches() if batch.stage not in ("merged", "refused")]

    def requests(self, batch: Batch) -> Path:
        """Path of the file that is uploaded."""
        return self._folder / f"{batch.number:05d}.jsonl"

    def answers(self, batch: Batch, kind: str) -> Path:
        """Path of a batch's file of a kind: `asked`, `output` or `error`."""
        return self._folder / f"{batch.number:05d}.{kind}.jsonl"

    def asked(self, batch: Batch) -> dict[str, Asked]:
        """The requests of a batch by key."""
        lines = self.answers(batch, "asked").read_text(encoding="utf-8").splitlines()
        return {key: Asked(key, line) for line in lines for key in [key_of(line)]}

    def save(self, batch: Batch, **changes: str | None) -> Batch:
        """Write a batch's new state, and delete the files that this state no longer needs."""
        batch = replace(batch, **changes)  # type: ignore[arg-type]  # only names and stages change
        write_text(self._folder / f"{batch.number:05d}.json", json.dumps(asdict(batch), indent=1))
        if batch.stage != "written":
            self.requests(batch).unlink(missing_ok=True)
        if batch.stage in ("merged", "refused"):
            for kind in ("asked", "output", "error"):
                self.answers(batch, kind).unlink(missing_ok=True)
        return batch

    def new_file(self) -> BatchFile:
        """A new file to write requests to."""
        numbers = [int(path.name.split(".")[0]) for path in self._folder.glob("[0-9]*.*")]
        return BatchFile(self, self._folder, max(numbers, default=-1) + 1)


class BatchFile:
    """A file of requests that is being written; `close` makes a batch of it."""

    def __init__(self, owner: BatchFolder, folder: Path, number: int) -> None:
        self._owner, self._number = owner, number
        self._paths = [folder / f"{number:05d}.jsonl", folder / f"{number:05d}.asked.jsonl"]
        self._files: list[IO[bytes]] = [path.with_name(path.name + ".unfinished").open("wb") for path in self._paths]
        self.num_requests = self.size_bytes = 0
        self.worst_case_usd = 0.0

    def add(self, asked: Asked, line: bytes, worst_case_usd: float) -> None:
        """Write one request."""
        self._files[0].write(line)
        self._files[1].write(asked.text.encode("ascii") + b"\n")
        self.num_requests += 1
        self.size_bytes += len(line)
        self.worst_case_usd += worst_case_usd

    def has_room(self, size_bytes: int, max_requests: int, max_size_bytes: int) -> bool:
        """True if a further line of that size stays within the limits."""
        return self.num_requests < max_requests and self.size_bytes + size_bytes <= max_size_bytes

    def close(self) -> Batch | None:
        """Put the files in place; returns the batch, None if it has no requests."""
        for file, path in zip(self._files, self._paths, strict=True):
            file.close()
            unfinished = path.with_name(path.name + ".unfinished")
            if self.num_requests:
                unfinished.replace(path)
            else:
                unfinished.unlink()
        if not self.num_requests:
            return None
        batch = Batch(self._number, "written", uuid.uuid4().hex, self.num_requests, self.worst_case_usd)
        batch = replace(batch, base_url=self._owner.base_url, model=self._owner.model)
        return self._owner.save(batch)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Number and JSON object of each line of a file of answers, None for a line that is no object."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            yield number, value if isinstance(value, dict) else None
