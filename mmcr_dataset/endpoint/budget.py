"""Money: what was spent, what the requests that are out may still cost, and the line that they don't cross together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mmcr_dataset.endpoint.prices import find_price


class EndpointUnusable(ValueError):
    """No request to this endpoint can succeed (key, quota, model name, budget); the run stops, nothing is lost."""


class Budget:
    """The money of one endpoint.

    Args:
        model: whose price counts; a model that is not in the table costs nothing that we know of.
        limit_usd: never crossed; None is no limit.
        spent_usd: what was spent before.
        share: of the table's price that is paid (half by the Batch API).

    Raises:
        EndpointUnusable: there is a limit and no price.
    """

    def __init__(self, model: str, limit_usd: float | None, spent_usd: float, share: float = 1.0) -> None:
        self.price = find_price(model)
        if limit_usd is not None and self.price is None:
            raise EndpointUnusable(
                f"no price known for model {model!r}, so a limit of {limit_usd} USD can't be kept; add the model to "
                "mmcr_dataset/endpoint/prices.json"
            )
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self._share = share
        self._reserved_usd = 0.0
        self._released = asyncio.Event()

    def most_usd(self, request: Mapping[str, Any]) -> float:
        """The most that a request can cost."""
        return 0.0 if self.price is None else self._share * self.price.most_usd(request)

    def cost_usd(self, usage: Mapping[str, Any], most_usd: float) -> float:
        """What a reply cost by its usage; the most it can have cost where the server doesn't say."""
        if self.price is None:
            return 0.0
        if usage.get("prompt_tokens") is None or usage.get("completion_tokens") is None:
            return most_usd
        return self._share * self.price.cost_usd(usage["prompt_tokens"], usage["completion_tokens"])

    def spend(self, usage: Mapping[str, Any], most_usd: float) -> float:
        """Count a reply as paid; what it cost."""
        usd = self.cost_usd(usage, most_usd)
        self.spent_usd += usd
        return usd

    def lose(self, usd: float) -> None:
        """Count money that may have been spent on nothing."""
        self.spent_usd += usd

    @asynccontextmanager
    async def reserve(self, request: Mapping[str, Any]) -> AsyncIterator[float]:
        """Set aside the most that a request can cost while it is out; near the limit, wait for others to come back.

        Raises:
            EndpointUnusable: nothing is out any more and the request could still cross the limit.
        """
        most = self.most_usd(request)
        while not self.has_room(most):
            if self._reserved_usd <= 0:
                raise self.out_of_money(most)
            self._released.clear()
            await self._released.wait()
        self._reserved_usd += most
        try:
            yield most
        finally:
            self._reserved_usd = max(0.0, self._reserved_usd - most)
            if self._reserved_usd < 1e-12:  # what is left of sums is no money
                self._reserved_usd = 0.0
            self._released.set()

    def has_room(self, usd: float) -> bool:
        """True if so much more can be spent whatever the requests that are out will cost."""
        return self.limit_usd is None or self.spent_usd + self._reserved_usd + usd <= self.limit_usd

    def out_of_money(self, usd: float) -> EndpointUnusable:
        """The error that says so."""
        return EndpointUnusable(
            f"stopped before crossing --max_cost_usd {self.limit_usd}: {self.spent_usd:.4f} USD are spent and the next "
            f"request may cost {usd:.4f}; raise the limit and run the same command again, answered requests are not "
            "paid twice"
        )
