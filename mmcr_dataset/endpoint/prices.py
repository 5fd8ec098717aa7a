"""What requests cost: the price table (prices.json: edit it as prices change), tokens without a tokenizer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

_MAX_TILES = 8  # the most that an image is cut into, whatever its size
DEFAULT_MAX_TOKENS = 4096  # of a reply, where a request sets no limit


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens in and out, and what an image counts.

    Attributes:
        usd_per_m_in: for a million tokens of the request.
        usd_per_m_out: for a million tokens of the reply.
        image_tokens: for an image of any size.
        tile_tokens: for each tile of 512 x 512 pixels besides; none with detail "low".
    """

    usd_per_m_in: float
    usd_per_m_out: float
    image_tokens: int = 85
    tile_tokens: int = 170

    def cost_usd(self, prompt_tokens: float, completion_tokens: float) -> float:
        """What that many tokens cost."""
        return (prompt_tokens * self.usd_per_m_in + completion_tokens * self.usd_per_m_out) / 1e6

    def tokens_of_image(self, size: tuple[int, int] | None, detail: str | None) -> int:
        """Tokens that an image of that many pixels counts; the most possible where the size isn't known."""
        if detail == "low":
            return self.image_tokens
        return self.image_tokens + self.tile_tokens * (_MAX_TILES if size is None else _num_tiles(size))

    def most_usd(self, request: Mapping[str, Any]) -> float:
        """The most that a request can cost: every reply as long as it may be, every image as large as it may be."""
        tokens = 0
        for message in request["messages"]:
            content = message["content"]
            blocks: list[Mapping[str, Any]] = [{"text": content}] if isinstance(content, str) else content
            for block in blocks:
                if block.get("text") is not None:
                    tokens += most_tokens(block["text"])
                else:
                    tokens += self.tokens_of_image(None, block["image_url"].get("detail"))
        return self.cost_usd(
            tokens, request.get("max_tokens") or request.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
        )


def find_price(model: str) -> Price | None:
    """The price of a model by its longest known prefix in prices.json, None if it isn't listed."""
    table: dict[str, dict[str, Any]] = json.loads(
        resources.files("mmcr_dataset.endpoint").joinpath("prices.json").read_text()
    )
    known = [name for name in table if model.startswith(name)]
    return Price(**table[max(known, key=len)]) if known else None


def most_tokens(text: str) -> int:
    """Upper end of the tokens of a text: three bytes each, so that one sign of Chinese counts as one token."""
    return len(text.encode("utf-8", "replace")) // 3 + 1


def about_tokens(text: str) -> int:
    """About the tokens of an English text."""
    return len(text) // 4 + 1


def _num_tiles(size: tuple[int, int]) -> int:
    """Tiles of an image after it is brought into 2048 x 2048 and its shorter side to at most 768 pixels."""
    scale = min(1.0, 2048 / max(size), 768 / min(size))
    return math.ceil(size[0] * scale / 512) * math.ceil(size[1] * scale / 512)
