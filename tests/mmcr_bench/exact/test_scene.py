"""Scenes: held-out parts, uniform attributes."""

from __future__ import annotations

import numpy as np
import pytest

from mmcr_bench.exact.scene import (
    DOMAINS,
    EMPTY,
    draw_scene,
    has_held_out_combination,
    held_out_combinations,
    is_held_out,
)


def test_one_scene_in_ten_is_held_out() -> None:
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 4, size=(4000, 9, 2))
    assert 0.085 < np.mean([is_held_out(scene) for scene in scenes]) < 0.12


@pytest.mark.parametrize("name", DOMAINS)
def test_a_scene_belongs_to_its_split(name: str) -> None:
    rng, domain = np.random.default_rng(1), DOMAINS[name]
    for side in domain.cells:
        for held_out in (True, False):
            for _ in range(20):
                scene = draw_scene(rng, domain, side, held_out)
                assert is_held_out(scene) is held_out
                assert held_out or not has_held_out_combination(domain, scene)
                assert scene.shape == (len(domain.cells[side]), 2)


@pytest.mark.parametrize("name", DOMAINS)
def test_attributes_stay_uniform_without_the_held_out_combinations(name: str) -> None:
    """Else a colour would say something about a shape, and "red" would be a better guess than "blue"."""
    rng, domain = np.random.default_rng(2), DOMAINS[name]
    side = max(domain.cells)
    cells = np.concatenate([draw_scene(rng, domain, side, held_out=False) for _ in range(1500)])
    cells = cells[cells[:, 0] != EMPTY]
    for attribute, one in enumerate(domain.attributes):
        shares = np.bincount(cells[:, attribute], minlength=len(one.values)) / len(cells)
        assert np.abs(shares - 1 / len(one.values)).max() < 0.02
    assert not {(int(a), int(b)) for a, b in cells} & held_out_combinations(domain)


def test_every_value_appears_in_a_held_out_combination_at_most_once() -> None:
    for domain in DOMAINS.values():
        pairs = held_out_combinations(domain)
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) > 0
