"""A file that one process at a time may hold; the system lets go of it when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

_guard = threading.Lock()
_held: dict[Path, tuple[int, int]] = {}  # by path: file descriptor, how many times this process holds it


class FileLock:
    """The right to a file, told by a lock file beside it. Within one process it may be held several times."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def acquire(self) -> bool:
        """True if this process holds it now, False if another one does."""
        with _guard:
            descriptor, count = _held.get(self._path, (-1, 0))
            if count == 0:
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    return False
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
            _held[self._path] = descriptor, count + 1
            return True

    def owner(self) -> str:
        """Number of the process that holds it, as it wrote it there."""
        return self._path.read_text(encoding="ascii", errors="replace").strip() or "(unknown)"

    def release(self) -> None:
        """Give it back."""
        with _guard:
            descriptor, count = _held.pop(self._path)
            if count > 1:
                _held[self._path] = descriptor, count - 1
            else:
                os.close(descriptor)
