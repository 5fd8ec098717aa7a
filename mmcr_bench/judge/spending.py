"""The limit of what a command may spend on judges: set once by the command, kept by every judge that it opens."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.prices import find_price

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spending:
    """What judges may cost.

    Attributes:
        max_cost_usd: limit, what the judge's ledger already holds included; None for none.
        allow_unknown_price: ask a judge whose price is not in prices.json; the limit can't hold for it.
    """

    max_cost_usd: float | None = None
    allow_unknown_price: bool = False

    def __post_init__(self) -> None:
        if self.max_cost_usd is not None and not self.max_cost_usd >= 0:
            raise ValueError(f"--max_cost_usd {self.max_cost_usd}: expected 0 or more US dollars")

    def check(self, endpoint: Endpoint) -> None:
        """Refuse a judge of unknown price: one with a limit, or at another machine.

        Raises:
            ValueError: its price is unknown, and --allow_unknown_price isn't given.
        """
        if self.allow_unknown_price or find_price(endpoint.model) is not None:
            return
        if self.max_cost_usd is None and is_own_machine(endpoint.base_url):
            return
        raise ValueError(
            f"judge {endpoint.model!r} at {endpoint.base_url}: its price is unknown, so nobody can say or limit what "
            "it costs; add it to mmcr_dataset/endpoint/prices.json, or pass --allow_unknown_price"
        )

    def limit(self, endpoint: Endpoint, ledger: Ledger, share: float) -> Endpoint:
        """The endpoint with its share of what is left to spend."""
        if self.max_cost_usd is None or find_price(endpoint.model) is None:
            return endpoint
        spent = ledger.totals().usd
        return replace(endpoint, max_cost_usd=spent + share * max(0.0, self.max_cost_usd - spent))


def is_own_machine(base_url: str) -> bool:
    """True for an address of this machine, whose requests nobody bills."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_NONE = Spending(allow_unknown_price=True)  # for callers in Python, who set no limit
_CURRENT: ContextVar[Spending] = ContextVar("spending", default=_NONE)


def current_spending() -> Spending:
    """The limit that is in force."""
    return _CURRENT.get()


@contextmanager
def spending(max_cost_usd: float | None, allow_unknown_price: bool) -> Iterator[None]:
    """Set the limit for every judge opened and asked inside.

    Raises:
        ValueError: the limit is negative.
    """
    token = _CURRENT.set(Spending(max_cost_usd, allow_unknown_price))
    try:
        yield
    finally:
        _CURRENT.reset(token)
