"""The label hierarchy: each ImageNet class with its ancestors in WordNet 3.0, along the first hypernym.

wordnet_nouns.txt holds the classes of ImageNet-1k and ImageNet-21k-P and all their ancestors (12,945 synsets); its
licence is wordnet_nouns.LICENSE.txt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

# Too general to describe an image: ancestors of nearly every class.
GENERAL = frozenset(
    {
        "n00001740",  # entity
        "n00001930",  # physical entity
        "n00002137",  # abstraction
        "n00002452",  # thing
        "n00002684",  # object
        "n00003553",  # whole
        "n00004258",  # living thing
        "n00004475",  # organism
        "n00020827",  # matter
        "n00007347",  # causal agent
    }
)


@cache
def _table() -> dict[str, tuple[str, str]]:
    """Parent (empty for the root) and name by synset."""
    text = resources.files("mmcr_bench.select").joinpath("wordnet_nouns.txt").read_text(encoding="utf-8")
    table: dict[str, tuple[str, str]] = {}
    for line in text.splitlines():
        synset, parent, name = line.split("\t")
        table[synset] = (parent, name)
    return table


def name_of(synset: str) -> str:
    """First lemma of a synset.

    Example: `"n02084071"` -> `"dog"`
    """
    return _table()[synset][1]


@cache
def path_of(synset: str) -> tuple[str, ...]:
    """A synset and its ancestors, the root first.

    Raises:
        KeyError: it is neither an ImageNet class nor an ancestor of one.
    """
    parent = _table()[synset][0]
    return (*path_of(parent), synset) if parent else (synset,)


def levels_of(synsets: Sequence[str]) -> list[int]:
    """Number of ancestors of each class that are classes too: the levels that the 21k labeler scores separately.

    Source: Ridnik et al., "ImageNet-21K Pretraining for the Masses" (2021), semantic softmax.
    """
    classes = set(synsets)
    return [sum(ancestor in classes for ancestor in path_of(synset)[:-1]) for synset in synsets]
