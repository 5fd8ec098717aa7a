"""Levels of the looks of a group-sequential test, so that all looks together have the error rate of one test.

Lan and DeMets (Biometrika 70, 1983) with the spending function of the O'Brien-Fleming type: little is spent early, and
the last look has nearly the level of a single test. The levels come from the joint distribution of the statistics at
the looks, by recursive integration (Armitage, McPherson and Rowe, 1969).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_POINTS = 1201  # of the grid between the boundaries: levels are exact to 4 digits
_Z_MAX = 9.0


def spent_alpha(share: float, alpha: float) -> float:
    """The two-sided error spent once this share of the data is known, alpha / 2 on each side in the end."""
    from scipy.stats import norm

    return float(4 * norm.sf(norm.isf(alpha / 4) / np.sqrt(share)))


def nominal_levels(shares: Sequence[float], alpha: float) -> list[float]:
    """Two-sided p-value below which each look gives a verdict.

    Args:
        shares: share of the data known at each look, increasing, the last one 1.
        alpha: chance of a false verdict at any look.

    Raises:
        ValueError: the shares don't increase to 1.

    Example: `nominal_levels([0.5, 1], 0.05)` -> `[0.0031, 0.0490]`
    """
    from scipy.stats import norm

    befores = [0.0, *shares[:-1]]
    if not shares or shares[-1] != 1 or any(b <= a for a, b in zip(befores, shares, strict=True)):
        raise ValueError(f"shares of the looks are {list(shares)}, expected increasing shares that end with 1")
    levels = list[float]()
    scores: NDArray[np.float64] = np.zeros(1)  # z * sqrt(share), a sum with independent increments
    chances: NDArray[np.float64] = np.ones(1)  # of each score without a verdict so far
    for before, share in zip(befores, shares, strict=True):
        step = float(np.sqrt(share - before))
        due = spent_alpha(share, alpha) - (spent_alpha(before, alpha) if before else 0.0)
        bound = _boundary(scores / step, chances, float(np.sqrt(share)) / step, due)
        levels.append(float(2 * norm.sf(bound)))
        grid = np.linspace(-bound, bound, _POINTS) * np.sqrt(share)
        width = np.full(_POINTS, grid[1] - grid[0])
        width[[0, -1]] /= 2  # trapezoids
        density = (norm.pdf((grid[:, None] - scores[None, :]) / step) / step * chances[None, :]).sum(axis=1)
        scores, chances = grid, density * width
    return levels


def _boundary(scores_P: NDArray[np.float64], chances_P: NDArray[np.float64], scale: float, due: float) -> float:
    """The |z| that a look first crosses with a chance of `due`; P scores so far, in units of the increment's SD."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    def excess(z: float) -> float:
        beyond = norm.sf(z * scale - scores_P) + norm.cdf(-z * scale - scores_P)
        return float((chances_P * beyond).sum()) - due

    return _Z_MAX if excess(_Z_MAX) >= 0 else float(brentq(excess, 0.0, _Z_MAX))
