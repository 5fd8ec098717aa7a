"""A model with scripted replies from a JSON file, for tests and dry runs.

`{"d1": ["first turn", "second turn"], "d2": "every turn", "d3": {"failure": "timeout"}, "*": "all others"}`; a reply
`"$reference"` stands for the turn's own reference. `{"repeats": [...]}` has an answer for each of several samplings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from eval_tasks.models.generation import Wording
from eval_tasks.models.model import NoReply, Reply
from mmcr_dataset.record.dialogue import Dialogue


class ScriptedModel:
    """Replies from a JSON file.

    Raises:
        ValueError: the file is missing or not a JSON object.
    """

    def __init__(self, path: Path, batch_size: int = 4) -> None:
        if not path.is_file():
            raise ValueError(f"--model scripted:{path}: no such file")
        text = path.read_bytes()
        try:
            self._said = json.loads(text)
        except ValueError as error:
            raise ValueError(f"--model scripted:{path}: not JSON ({error})") from error
        if not isinstance(self._said, dict):
            raise ValueError(f"--model scripted:{path}: expected an object of dialogue id -> replies")
        self.name = f"scripted:{path.name}"
        self.revision = hashlib.sha256(text).hexdigest()[:16]
        self.batch_size = batch_size

    def describe(self) -> dict[str, Any]:
        """Nothing: the file is the revision."""
        return {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        return None

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Nothing is seen."""
        return {}

    def forget(self, dialogue: Dialogue) -> None:
        """Nothing to release."""

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The scripted reply to this turn.

        Raises:
            NoReply: the script has a failure or nothing for this turn.
        """
        said: Any = self._said.get(dialogue.id, self._said.get("*"))
        if isinstance(said, dict) and "repeats" in said:
            said = said["repeats"][repeat % len(said["repeats"])]
        if isinstance(said, list):
            said = said[len(replies)] if len(replies) < len(said) else None
        if isinstance(said, dict) and "failure" in said:
            raise NoReply(str(said["failure"]), "scripted")
        if not isinstance(said, str):
            raise NoReply("not_in_script", f"no reply for turn {len(replies) + 1} of dialogue {dialogue.id!r}")
        return Reply(dialogue.turns[len(replies)].assistant if said == "$reference" else said)
