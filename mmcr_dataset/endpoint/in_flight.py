"""Requests that were sent and have no stored outcome yet, in a file beside the ledger.

A killed process can't store the answers to what it had in flight, though they may be paid for. Whoever opens the ledger
next counts them as paid, at the most that they can cost, as broken transfers are counted.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

KILLED = "killed_in_flight"
ENDING = ".in_flight"


class InFlight:
    """The file: `+ ID KEY USD` before a request is sent, `- ID` when its outcome is stored or it was not paid.

    A line survives a kill of the process when `begin` returns. The file is written by the ledger's owner only.

    Args:
        ledger: path of the ledger.
    """

    def __init__(self, ledger: Path) -> None:
        self._path = ledger.with_name(ledger.name + ENDING)
        self._file: int | None = None
        self._open: set[str] = set()

    def read(self) -> Iterator[tuple[str, str, float]]:
        """Id, key and cost of the requests of an earlier process without an outcome; a cut line was never sent."""
        if not self._path.is_file():
            return
        begun: dict[str, tuple[str, float]] = {}
        for line in self._path.read_text("ascii", "replace").splitlines(keepends=True):
            words = line.split() if line.endswith("\n") else []
            if len(words) == 4 and words[0] == "+":
                begun[words[1]] = (words[2], float(words[3]))
            elif len(words) == 2 and words[0] == "-":
                begun.pop(words[1], None)
        for entry, (key, usd) in begun.items():
            yield entry, key, usd

    def clear(self) -> None:
        """Delete the file, when what it says is in the ledger."""
        self._path.unlink(missing_ok=True)

    def begin(self, key: str, usd: float) -> str:
        """Note a request before it is sent; returns the name of the entry.

        Args:
            key: of the request.
            usd: the most that it can cost.
        """
        entry = uuid.uuid4().hex
        self._append(f"+ {entry} {key} {usd!r}\n")
        self._open.add(entry)
        return entry

    def end(self, entry: str) -> None:
        """Note that the outcome of a request is stored, or that it was not paid."""
        if entry in self._open:
            self._open.remove(entry)
            self._append(f"- {entry}\n")

    def close(self) -> None:
        """Close the file; it is deleted if no request is without an outcome."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if not self._open:
            self.clear()

    def _append(self, line: str) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(self._file, line.encode("ascii"))
