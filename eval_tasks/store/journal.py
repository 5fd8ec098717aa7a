"""The journal of a run: every reply, appended and flushed before the next turn is asked.

An interrupted run resumes within a dialogue. The key of a reply covers everything it depends on, so a changed prompt,
image, model or decoding setting is asked again. Failures are logged, and retried.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eval_tasks.models.model import Reply
from eval_tasks.task import Failure, Sample, Task
from mmcr_dataset.record.messages import images_in, to_messages, without_images


def reply_key(
    task: Task, sample: Sample, replies: Sequence[str], model: dict[str, Any], decoding: dict[str, Any]
) -> str:
    """Key of a reply: hash of task and version, sample id, messages, images, model and revision, decoding.

    Args:
        task: the task.
        sample: the sample.
        replies: replies of the earlier turns.
        model: name and revision.
        decoding: decoding settings.
    """
    messages = to_messages(sample.dialogue, replies)
    request = {
        "task": [task.name, task.version],
        "sample": sample.dialogue.id,
        "messages": without_images(messages),
        "pictures": [image.sha256 for image in images_in(messages)],
        "model": model,
        "decoding": decoding,
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode("ascii")).hexdigest()


def journal_name(rank: int) -> str:
    """File name of the journal of a rank."""
    return f"journal-{rank}.jsonl" if rank else "journal.jsonl"


class Journal:
    """An open journal file, locked by one process; replies in the folder's other journals are found too.

    Raises:
        ValueError: another process writes it, or a line other than the last is malformed.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._replies: dict[str, Reply] = {}
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ValueError(
                f"{path}: another run writes this journal; wait for it or choose another --output_dir"
            ) from error
        self._file.seek(0)
        torn = self._read(path, self._file.read())
        if torn:
            self._file.truncate(self._file.tell() - torn)
        for other in path.parent.glob("journal*.jsonl"):
            if other != path:
                self._read(other, other.read_bytes())

    def _read(self, path: Path, content: bytes) -> int:
        """Load the replies; returns the number of bytes of a truncated last line."""
        lines = content.split(b"\n")
        torn = lines.pop()
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
                if entry["reply"] is not None:
                    self._replies[entry["key"]] = Reply(entry["reply"], bool(entry.get("truncated", False)))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path} line {number} is not a journal entry ({error}); fix or remove it") from error
        return len(torn)

    def find(self, key: str) -> Reply | None:
        """The stored reply, None if there is none yet."""
        return self._replies.get(key)

    def store(self, key: str, sample: Sample, turn: int, reply: Reply) -> None:
        """Store a reply.

        Args:
            key: `reply_key` of the reply.
            sample: the sample.
            turn: number of the turn, from 1.
            reply: the reply.
        """
        self._replies[key] = reply
        truncated = {"truncated": True} if reply.is_truncated else {}
        self._write({"key": key, "id": sample.dialogue.id, "turn": turn, "reply": reply, **truncated})

    def store_failure(self, key: str, sample: Sample, turn: int, failure: Failure) -> None:
        """Log a failed turn.

        Args:
            key: `reply_key` of the missing reply.
            sample: the sample.
            turn: number of the turn, from 1.
            failure: the reason.
        """
        self._write({"key": key, "id": sample.dialogue.id, "turn": turn, "reply": None, **failure._asdict()})

    def _write(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, ensure_ascii=True).encode("ascii") + b"\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
