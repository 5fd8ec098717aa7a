"""How many bytes of images are held at once, over all documents that are in flight."""

from __future__ import annotations

import asyncio


class ByteBudget:
    """Bytes held between the net and the shard; documents are numbered in the order in which they leave.

    Whoever asks for more than there is waits, except the document that leaves next: it always goes on, so nothing waits
    for ever. Held at most: the limit and one document.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._rooms: dict[int, Room] = {}
        self._next = 0
        self._changed = asyncio.Condition()
        self.held_bytes = 0
        self.peak_bytes = 0

    def room(self, document: int) -> Room:
        """The room of one document."""
        room = self._rooms[document] = Room(self, document)
        if document <= self._next:
            room.is_next.set()
        return room

    async def take(self, room: Room, size_bytes: int) -> None:
        """Wait for room and take it."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: room.is_next.is_set() or self.held_bytes + size_bytes <= self._limit_bytes
            )
            room.held_bytes += size_bytes
            self.held_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    async def leave(self, document: int) -> None:
        """A document has left: its bytes are free, the one after it is next."""
        async with self._changed:
            room = self._rooms.pop(document, None)
            self.held_bytes -= room.held_bytes if room else 0
            self._next = document + 1
            if self._next in self._rooms:
                self._rooms[self._next].is_next.set()
            self._changed.notify_all()


class Room:
    """What one document holds, and whether it is the next to leave."""

    def __init__(self, budget: ByteBudget, document: int) -> None:
        self._budget, self._document = budget, document
        self.held_bytes = 0
        self.is_next = asyncio.Event()

    async def take(self, size_bytes: int) -> None:
        """Wait until so many bytes more may be held."""
        await self._budget.take(self, size_bytes)

    async def wait_for_slot(self, slots: asyncio.Semaphore) -> bool:
        """Wait for a slot, False for going on without: the next to leave must not wait for others that wait for it."""
        if not slots.locked():
            return await slots.acquire()
        if self.is_next.is_set():
            return False
        acquired = asyncio.create_task(slots.acquire())
        turn = asyncio.create_task(self.is_next.wait())
        try:
            await asyncio.wait((acquired, turn), return_when=asyncio.FIRST_COMPLETED)
            return acquired.done()
        finally:
            turn.cancel()
            if not acquired.done():
                acquired.cancel()
