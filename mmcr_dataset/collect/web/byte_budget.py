"""Limit on the bytes of images in memory, over all documents in flight."""

from __future__ import annotations

import asyncio


class ByteBudget:
    """Bytes in memory between network and shard; documents are numbered in output order.

    A request beyond the limit waits, except for the next document in output order: it always proceeds, which rules out
    deadlock. The peak is at most the limit plus one document.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._reservations: dict[int, Reservation] = {}
        self._next = 0
        self._changed = asyncio.Condition()
        self.held_bytes = 0
        self.peak_bytes = 0

    def reserve(self, document: int) -> Reservation:
        """The reservation of one document."""
        reservation = self._reservations[document] = Reservation(self)
        if document <= self._next:
            reservation.is_next.set()
        return reservation

    async def take(self, reservation: Reservation, size_bytes: int) -> None:
        """Wait until the bytes fit below the limit, and reserve them."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: reservation.is_next.is_set() or self.held_bytes + size_bytes <= self._limit_bytes
            )
            reservation.held_bytes += size_bytes
            self.held_bytes += size_bytes
            self.peak_bytes = max(self.peak_bytes, self.held_bytes)

    async def release(self, document: int) -> None:
        """Free the bytes of a document that was written; the following one is next."""
        async with self._changed:
            reservation = self._reservations.pop(document, None)
            self.held_bytes -= reservation.held_bytes if reservation else 0
            self._next = document + 1
            if self._next in self._reservations:
                self._reservations[self._next].is_next.set()
            self._changed.notify_all()


class Reservation:
    """The bytes of one document, and whether it is the next in output order."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self.is_next = asyncio.Event()

    async def take(self, size_bytes: int) -> None:
        """Wait until that many more bytes may be held, and reserve them."""
        await self._budget.take(self, size_bytes)

    async def wait_for_slot(self, slots: asyncio.Semaphore) -> bool:
        """Wait for a slot; False to proceed without one, because the next document in output order must not wait."""
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
