"""Who writes the dialogues, and how: the flags of `build` about the writer and its endpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

from mmcr_dataset.endpoint.address import Endpoint, read_endpoint
from mmcr_dataset.endpoint.batch_folder import MAX_REQUESTS, MAX_SIZE_BYTES


def to_endpoint(
    endpoint: str | None = None,
    max_in_flight: int = 16,
    max_cost_usd: float | None = None,
    request_timeout_s: float = 180.0,
) -> Endpoint | None:
    """The endpoint that a writer asks.

    Args:
        endpoint: URL#MODEL of an OpenAI-compatible server (OpenAI, vLLM, ...), e.g. https://host/v1#gpt-4o-2024-11-20;
            its key is read from OPENAI_API_KEY. For Azure URL#DEPLOYMENT?api_version=2024-10-21.
        max_in_flight: requests in flight at once (max concurrency).
        max_cost_usd: stop before this sum is crossed.
        request_timeout_s: timeout of one request.
    """
    if endpoint is None:
        return None
    return read_endpoint(
        endpoint, "--endpoint", max_in_flight=max_in_flight, max_cost_usd=max_cost_usd, timeout_s=request_timeout_s
    )


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How requests are cut into files for the Batch API, and how often what failed is asked again."""

    max_requests: int = MAX_REQUESTS
    max_size_bytes: int = MAX_SIZE_BYTES
    max_rounds: int = 5


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How dialogues are written.

    Attributes:
        writer: openai (any OpenAI-compatible endpoint), openai-batch (its Batch API) or offline (no model: sentences
            and measured facts, for demos and tests).
        endpoint: where and whom to ask; none for offline.
        temperature: sampling temperature; None for the endpoint's default.
        max_tokens: limit of a reply; one that reaches it is asked for once more with twice the limit.
        max_side_px: images are sent with their longer side at most this.
        detail: image detail, for endpoints that know it.
        batches: for openai-batch: how requests are cut into files.
    """

    writer: Literal["openai", "openai-batch", "offline"] = "openai"
    endpoint: Annotated[Endpoint | None, arg(constructor=to_endpoint)] = None
    temperature: float | None = None
    max_tokens: int = 4096
    max_side_px: int = 1024
    detail: Literal["low", "high", "auto"] | None = None
    batches: Suppress[BatchSettings] = field(default_factory=BatchSettings)

    def __post_init__(self) -> None:
        if (self.writer != "offline") != (self.endpoint is not None):
            raise ValueError(
                f"--writer {self.writer}: --endpoint URL#MODEL goes with openai and openai-batch, and only with them"
            )
