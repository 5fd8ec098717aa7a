"""Cost of requests: the price table (prices.json; edit it as prices change) and token estimates without a tokenizer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

_MAX_TILES = 8  # upper bound for an image of any size
DEFAULT_MAX_TOKENS = 4096  # assumed for a request without max_tokens


@dataclass(frozen=True, slots=True)
class Price:
    """Price of a model: US dollars per million tokens, and the tokens of an image.

    Attributes:
        usd_per_m_in: per million prompt tokens.
        usd_per_m_out: per million completion tokens.
        image_tokens: base tokens of an image of any size.
        tile_tokens: added for each tile of 512 x 512 pixels, except with detail "low".
    """

    usd_per_m_in: float
    usd_per_m_out: float
    image_tokens: int = 85
    tile_tokens: int = 170

    def cost_usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Cost of that many tokens."""
        return (prompt_tokens * self.usd_per_m_in + completion_tokens * self.usd_per_m_out) / 1e6

    def tokens_of_image(self, size: tuple[int, int] | None, detail: str | None) -> int:
        """Tokens of an image of (width, height) pixels; the upper bound where the size is None."""
        if detail == "low":
            return self.image_tokens
        return self.image_tokens + self.tile_tokens * (_MAX_TILES if size is None else _num_tiles(size))

    def worst_case_usd(self, request: Mapping[str, Any]) -> float:
        """Upper bound of a request's cost: the longest reply allowed, and images of the largest size."""
        tokens = 0
        for message in request["messages"]:
            content = message["content"]
            blocks: list[Mapping[str, Any]] = [{"text": content}] if isinstance(content, str) else content
            for block in blocks:
                if block.get("text") is not None:
                    tokens += worst_case_tokens(block["text"])
                else:
                    tokens += self.tokens_of_image(None, block["image_url"].get("detail"))
        return self.cost_usd(
            tokens, request.get("max_tokens") or request.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
        )


def find_price(model: str) -> Price | None:
    """The price of a model by the longest matching prefix in prices.json, None if it isn't listed."""
    table: dict[str, dict[str, Any]] = json.loads(
        resources.files("mmcr_dataset.endpoint").joinpath("prices.json").read_text()
    )
    known = [name for name in table if model.startswith(name)]
    return Price(**table[max(known, key=len)]) if known else None


def worst_case_tokens(text: str) -> int:
    """Upper bound of a text's tokens: three bytes each, so that one Chinese character counts as one token."""
    return len(text.encode("utf-8", "replace")) // 3 + 1


def estimate_tokens(text: str) -> int:
    """Estimated tokens of an English text."""
    return len(text) // 4 + 1


def _num_tiles(size: tuple[int, int]) -> int:
    """Tiles of an image after it is scaled to fit 2048 x 2048 and its shorter side to at most 768 pixels."""
    scale = min(1.0, 2048 / max(size), 768 / min(size))
    return math.ceil(size[0] * scale / 512) * math.ceil(size[1] * scale / 512)
