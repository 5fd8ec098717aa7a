"""How many bytes of pictures are held at once, over all documents that are on their way."""

from __future__ import annotations

import asyncio


class ByteBudget:
    """Bytes held between the net and the shard; documents are numbered in the order in which they leave.

    Whoever asks for more than there is waits, except the document that leaves next: it always goes on, so nothing waits
    for ever. Held at most: the limit and one document.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: dict[int, int] = {}
        self._next = 0
        self._changed = asyncio.Condition()
        self.peak_bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return sum(self._held.values())

    async def take(self, document: int, size_bytes: int) -> float:
        """Wait for room and take it; returns the seconds waited."""
        start = asyncio.get_running_loop().time()
        async with self._changed:
            await self._changed.wait_for(
                lambda: document <= self._next or self.held_bytes + size_bytes <= self._limit_bytes
            )
            self._held[document] = self._held.get(document, 0) + size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        return asyncio.get_running_loop().time() - start

    async def leave(self, document: int) -> None:
        """A document has left: its bytes are free, the one after it is next."""
        async with self._changed:
            self._held.pop(document, None)
            self._next = document + 1
            self._changed.notify_all()
