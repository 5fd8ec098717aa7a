"""Cost control: what was spent, what the requests in flight may still cost, and the limit on both together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mmcr_dataset.endpoint.prices import find_price


class EndpointUnusable(ValueError):
    """No request to this endpoint can succeed (key, quota, model, budget); the run stops, paid answers are kept."""


def read_count(value: object) -> int | None:
    """A number of tokens, which some servers send as a text; None if it is none."""
    try:
        count = int(value) if isinstance(value, float) else int(str(value))
    except (ValueError, OverflowError):
        return None
    return count if 0 <= count < 10**9 else None


class Budget:
    """Spending at one endpoint.

    Args:
        model: its price in the table counts; a model that is not listed counts as free.
        limit_usd: never exceeded; None for no limit.
        spent_usd: spent by earlier runs.
        share: of the listed price that is charged (0.5 for the Batch API).

    Raises:
        EndpointUnusable: there is a limit, and the model's price is unknown.
    """

    def __init__(self, model: str, limit_usd: float | None, spent_usd: float, share: float = 1.0) -> None:
        self.price = find_price(model)
        if limit_usd is not None and self.price is None:
            raise EndpointUnusable(
                f"no price known for model {model!r}, so a limit of {limit_usd} USD can't be kept; add the model to "
                "mmcr_dataset/endpoint/prices.json"
            )
        self.limit_usd = limit_usd
        self.spent_usd = self._before_usd = spent_usd
        self._share = share
        self._reserved_usd = 0.0
        self._group = [self]
        self._released = asyncio.Event()

    def join(self, other: Budget) -> None:
        """Keep one limit together with another endpoint of the same ledger, before either spends."""
        self._group += other._group
        for budget in self._group:
            budget._group = self._group

    def worst_case_usd(self, request: Mapping[str, Any]) -> float:
        """Upper bound of a request's cost."""
        return 0.0 if self.price is None else self._share * self.price.worst_case_usd(request)

    def cost_usd(self, usage: Mapping[str, Any], worst_case_usd: float) -> float:
        """Cost of a reply by its reported usage, the upper bound where the server reports none."""
        if self.price is None:
            return 0.0
        num_in, num_out = (read_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens"))
        if num_in is None or num_out is None:
            return worst_case_usd
        return self._share * self.price.cost_usd(num_in, num_out)

    def spend(self, usage: Mapping[str, Any], worst_case_usd: float) -> float:
        """Add the cost of a reply; returns it."""
        usd = self.cost_usd(usage, worst_case_usd)
        self.spent_usd += usd
        return usd

    def add_unanswered(self, usd: float) -> None:
        """Add the possible cost of a request that got no usable answer."""
        self.spent_usd += usd

    def show(self) -> str:
        """Cost so far, if the model's price is known."""
        return f"{self.spent_usd:.4f} USD" if self.price else "price unknown"

    @asynccontextmanager
    async def reserve(self, request: Mapping[str, Any]) -> AsyncIterator[float]:
        """Reserve a request's upper bound while it is in flight; near the limit, wait until others have finished.

        Raises:
            EndpointUnusable: nothing is in flight any more, and the request could still exceed the limit.
        """
        worst_case_usd = self.worst_case_usd(request)
        while not self.has_room(worst_case_usd):
            if all(budget._reserved_usd <= 0 for budget in self._group):
                raise self.limit_error(worst_case_usd)
            self._released.clear()
            await self._released.wait()
        self._reserved_usd += worst_case_usd
        try:
            yield worst_case_usd
        finally:
            self._reserved_usd = max(0.0, self._reserved_usd - worst_case_usd)
            if self._reserved_usd < 1e-12:  # rounding error of the sums
                self._reserved_usd = 0.0
            for budget in self._group:
                budget._released.set()

    def has_room(self, usd: float) -> bool:
        """True if this amount fits below the limit, whatever the requests in flight will cost."""
        if self.limit_usd is None:
            return True
        new_usd = sum(budget.spent_usd - budget._before_usd + budget._reserved_usd for budget in self._group)
        return self._before_usd + new_usd + usd <= self.limit_usd

    def limit_error(self, usd: float) -> EndpointUnusable:
        """The error for a request that could exceed the limit."""
        return EndpointUnusable(
            f"stopped before crossing --max_cost_usd {self.limit_usd}: {self.spent_usd:.4f} USD are spent and the next "
            f"request may cost {usd:.4f}; raise the limit and run the same command again, answered requests are not "
            "paid twice"
        )
