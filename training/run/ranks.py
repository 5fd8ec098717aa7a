"""Ranks that agree: one value for all of them, and an error of one is an error of all, so that none is left waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

T = TypeVar("T")


def raise_together(error: str | None) -> None:
    """Raise on all ranks if one of them has an error; called by all.

    Raises:
        ValueError: with the error of the first rank that has one.
    """
    found = [one for one in gather_object([error]) if one is not None]
    if found:
        raise ValueError(found[0])


def on_first_rank(make: Callable[[], T]) -> T:
    """The value that rank 0 makes, on all ranks; called by all.

    Raises:
        ValueError: on all ranks, what `make` raised on rank 0.
    """
    error: str | None = None
    values: list[T | None] = [None]
    if PartialState().is_main_process:
        try:
            values = [make()]
        except ValueError as said:
            error = str(said)
    raise_together(error)
    value: T = broadcast_object_list(values)[0]
    return value
