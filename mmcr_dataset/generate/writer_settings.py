"""Settings of the writer and its endpoint: flags of `build`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Suppress, arg

from mmcr_dataset.endpoint.address import Endpoint, read_endpoint
from mmcr_dataset.endpoint.batch_folder import MAX_REQUESTS, MAX_SIZE_BYTES
from mmcr_dataset.record.recipe import RecipeName


def to_endpoint(
    endpoint: str | None = None,
    max_in_flight: int = 16,
    max_cost_usd: float | None = None,
    request_timeout_s: float = 180.0,
) -> Endpoint | None:
    """The endpoint of a writer.

    Args:
        endpoint: URL#MODEL of an OpenAI-compatible server (OpenAI, vLLM, ...), e.g. https://host/v1#gpt-4o-2024-11-20;
            its key is read from OPENAI_API_KEY. For Azure URL#DEPLOYMENT?api_version=2024-10-21.
        max_in_flight: max concurrency: requests in flight at once.
        max_cost_usd: cost limit in US dollars; the run stops before it is exceeded.
        request_timeout_s: timeout of one request.
    """
    if endpoint is None:
        return None
    return read_endpoint(
        endpoint, "--endpoint", max_in_flight=max_in_flight, max_cost_usd=max_cost_usd, timeout_s=request_timeout_s
    )


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Limits of one file for the Batch API, and the number of rounds in which failed requests are retried."""

    max_requests: int = MAX_REQUESTS
    max_size_bytes: int = MAX_SIZE_BYTES
    max_rounds: int = 5


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """Settings of the writer.

    Attributes:
        writer: openai (any OpenAI-compatible endpoint), openai-batch (its Batch API) or offline (no model: template
            sentences and image statistics, for demos and tests).
        endpoint: the endpoint; None for offline.
        temperature: sampling temperature; None for the endpoint's default.
        max_tokens: token limit of a reply; a truncated reply is requested again with twice the limit.
        max_side_px: images are downscaled to a longer side of at most this.
        detail: image detail, for endpoints that support it.
        batches: for openai-batch: limits of a file, and number of rounds.
        attempts: how often a document is asked for, where the reply can't be read as a dialogue.
        recipe: mmcr (a dialogue about one page, 4 or 8 turns) or mmdu (about the images of several related pages, which
            are clustered first; up to 27 turns, written over several requests).
    """

    writer: Literal["openai", "openai-batch", "offline"] = "openai"
    endpoint: Annotated[Endpoint | None, arg(constructor=to_endpoint)] = None
    temperature: float | None = None
    max_tokens: int = 4096
    max_side_px: int = 1024
    detail: Literal["low", "high", "auto"] | None = None
    batches: Suppress[BatchSettings] = field(default_factory=BatchSettings)
    attempts: int = 2
    recipe: RecipeName = "mmcr"

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"--attempts {self.attempts}: expected at least 1")
        if self.recipe == "mmdu" and self.writer == "openai-batch":
            raise ValueError(
                "--recipe mmdu --writer openai-batch: each request of a dialogue carries the replies before it, which "
                "a batch can't; use --writer openai"
            )
        if (self.writer != "offline") != (self.endpoint is not None):
            raise ValueError(
                f"--writer {self.writer}: --endpoint URL#MODEL is required for openai and openai-batch only"
            )
