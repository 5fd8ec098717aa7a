"""Settings of the writer and its endpoint: flags of `build`."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
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
        writers: several models side by side, each with the share of the documents that it writes: MODEL=SHARE,... of
            the endpoint's server, or URL#MODEL=SHARE of another; the endpoint's model is one of them.
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
    writers: Annotated[str | None, arg(metavar="MODEL=SHARE,...")] = None
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
        if self.writers is not None and self.writer != "openai":
            raise ValueError(f"--writers {self.writers}: goes with --writer openai, got {self.writer}")
        if self.writers is not None:
            self.shares()

    def shares(self) -> list[tuple[Endpoint, float]]:
        """The endpoints, and the share (0..1) of the documents that each writes.

        Raises:
            ValueError: `writers` has another form, or doesn't name the endpoint's model.
        """
        assert self.endpoint is not None, "only endpoints have shares"
        if self.writers is None:
            return [(self.endpoint, 1.0)]
        weights: dict[str, float] = {}
        for piece in self.writers.split(","):
            name, _, share = piece.strip().rpartition("=")
            try:
                weight = float(share)
            except ValueError:
                weight = math.nan
            if not name or name in weights or not 0 < weight < math.inf:
                raise ValueError(f"--writers {self.writers}: {piece!r}: expected MODEL=SHARE, each model once")
            weights[name] = weight
        if self.endpoint.model not in weights:
            raise ValueError(
                f"--writers {self.writers}: the model {self.endpoint.model} of --endpoint is not one of them"
            )
        total = sum(weights.values())
        return [(self._endpoint_of(name, weight / total), weight / total) for name, weight in weights.items()]

    def endpoint_of(self, document_id: str) -> Endpoint:
        """The endpoint that writes about a document, by a hash of its id: the same one in every run."""
        shares = self.shares()
        place = int.from_bytes(hashlib.sha256(document_id.encode("utf-8", "replace")).digest()[:8], "big") / 2**64
        for endpoint, share in shares:
            if place < share:
                return endpoint
            place -= share
        return shares[-1][0]

    def _endpoint_of(self, name: str, share: float) -> Endpoint:
        assert self.endpoint is not None, "checked by shares"
        in_flight = max(1, round(self.endpoint.max_in_flight * share))
        if "#" not in name:
            return replace(self.endpoint, model=name, max_in_flight=in_flight)
        of_flags = self.endpoint
        return read_endpoint(
            name,
            "--writers",
            max_in_flight=in_flight,
            max_cost_usd=of_flags.max_cost_usd,
            timeout_s=of_flags.timeout_s,
        )
