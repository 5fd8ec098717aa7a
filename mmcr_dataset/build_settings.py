"""The settings of a build, each declared once: the flags of `python -m mmcr_dataset build`, their help and defaults.

Light: nothing heavy is imported, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mmcr_dataset.collect.screen import Screen
from mmcr_dataset.endpoint.batch_folder import MAX_REQUESTS, MAX_SIZE_BYTES
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.record.images import ImageLimits

arg = tyro.conf.arg


def to_endpoint(
    endpoint: str | None = None,
    max_in_flight: int = 16,
    max_cost_usd: float | None = None,
    request_timeout_s: float = 180.0,
) -> Endpoint | None:
    """The endpoint that a writer asks.

    Args:
        endpoint: URL#MODEL of an OpenAI-compatible server, e.g. https://host/v1#gpt-4o-2024-11-20; its key is read
            from OPENAI_API_KEY.
        max_in_flight: requests in flight at once (max concurrency).
        max_cost_usd: stop before this sum is crossed.
        request_timeout_s: timeout of one request.
    """
    if endpoint is None:
        return None
    base_url, _, model = endpoint.partition("#")
    return Endpoint(
        base_url, model, max_in_flight=max_in_flight, max_cost_usd=max_cost_usd, timeout_s=request_timeout_s
    )


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How images are fetched from the web: rate limits, timeouts, retries with backoff.

    Attributes:
        max_in_flight: requests in flight at once.
        max_in_flight_host: of them to one host.
        max_attempts: tries for one image, the first included; only what can get better is tried again.
        timeout_s: timeout of one try.
        backoff_s: the first wait before another try is about twice this; each further one is twice as long.
        image_timeout_s: timeout of all tries and waits of one image together; None is three times that of one try.
        max_redirects: redirects followed for one image.
        max_held_bytes: bytes of images held in memory at once, over all documents.
        allow_loopback: fetch from 127.0.0.0/8 and ::1 too, for local copies.
        user_agent: how the fetcher presents itself.
    """

    max_in_flight: Annotated[int, arg(name="fetch_in_flight")] = 64
    max_in_flight_host: Annotated[int, arg(name="fetch_per_host")] = 8
    max_attempts: Annotated[int, arg(name="fetch_attempts")] = 3
    timeout_s: Annotated[float, arg(name="fetch_timeout_s")] = 20.0
    backoff_s: tyro.conf.Suppress[float] = 0.5
    image_timeout_s: tyro.conf.Suppress[float | None] = None
    max_redirects: tyro.conf.Suppress[int] = 5
    max_held_bytes: tyro.conf.Suppress[int] = 256_000_000
    allow_loopback: bool = False
    user_agent: tyro.conf.Suppress[str] = "mmcr-dataset/0.1 (research data set; honours X-Robots-Tag: noai)"

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "max_in_flight_host", "max_attempts", "max_held_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"fetching: {name} is {getattr(self, name)}, expected at least 1")
        for name in ("timeout_s", "total_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"fetching: {name} is {getattr(self, name)}, expected seconds above 0")
        if min(self.max_redirects, self.backoff_s) < 0:
            raise ValueError(f"fetching: max_redirects {self.max_redirects} or backoff_s {self.backoff_s} is below 0")

    @property
    def total_timeout_s(self) -> float:
        """Timeout of all tries of one image together."""
        return 3 * self.timeout_s if self.image_timeout_s is None else self.image_timeout_s


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
    batches: tyro.conf.Suppress[BatchSettings] = field(default_factory=BatchSettings)

    def __post_init__(self) -> None:
        if (self.writer != "offline") != (self.endpoint is not None):
            raise ValueError(
                f"--writer {self.writer}: --endpoint URL#MODEL goes with openai and openai-batch, and only with them"
            )


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where the paid stage runs.

    Attributes:
        name: local (this process), datatrove-local (processes on this machine), slurm (a job array) or ray (the
            cluster of RAY_ADDRESS, or one on this machine).
        num_ranks: tasks the shards are dealt to; requests in flight and the limit of cost are dealt with them.
        partition: of Slurm: where its tasks run.
        time: time limit of a Slurm task.
    """

    name: Annotated[Literal["local", "datatrove-local", "slurm", "ray"], arg(name="engine")] = "local"
    num_ranks: Annotated[int, arg(name="ranks")] = 8
    partition: Annotated[str | None, arg(name="slurm_partition")] = None
    time: Annotated[str, arg(name="slurm_time")] = "24:00:00"

    def __post_init__(self) -> None:
        if self.num_ranks < 1:
            raise ValueError(f"--ranks {self.num_ranks}: expected at least 1")
        if (self.name == "slurm") != (self.partition is not None):
            raise ValueError(f"--engine {self.name}: --slurm_partition goes with slurm, and only with it")


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """A build: documents to dialogues to a data set folder.

    Attributes:
        source: demo; a file or folder; or hub:ORG/NAME[@REVISION][:GLOB], read in pieces. The kind is seen from the
            files, or written before as KIND:PLACE: omnicorpus, obelics (Parquet), mmc4 (.jsonl, .gz, .zip),
            webdataset (.tar), folder (images with .txt files beside them).
        out: folder of the data set; its name is the data set's name. Stages go to its neighbour, the name + .work.
        num_single: documents of one image to take; None for all.
        num_multi: documents of several images to take; None for all.
        seed: of the draw.
        licence: license of the images and texts, where the source does not say.
        matcher: similarity of image and text by none, labels, open_clip (which is ViT-L-14/openai) or
            open_clip:MODEL/PRETRAINED.
        similarity_min: least cosine of each image and its text.
        keep_rate: share of the dialogues to keep by similarity, instead of a threshold.
        evaluation_sets: decontamination: leave out dialogues that show an image of it; a folder, Parquet or
            VLMEvalKit TSV.
        estimate_only: say what the writer would cost, and stop before it.
        screen: what a document must be before its images are fetched.
        fetch: how images are fetched.
        writer: who writes the dialogues, and how.
        engine: where the writer runs.
        limits: what an image may be.
    """

    source: Annotated[str, arg(metavar="[KIND:]PLACE")]
    out: Annotated[Path, arg(name="output_dir")]
    writer: WriterSettings
    num_single: Annotated[int | None, arg(name="single", metavar="N")] = None
    num_multi: Annotated[int | None, arg(name="multi", metavar="N")] = None
    seed: int = 0
    licence: str | None = None
    matcher: Annotated[str, arg(name="filter")] = "open_clip"
    similarity_min: Annotated[float | None, arg(metavar="X")] = None
    keep_rate: Annotated[float | None, arg(metavar="X")] = None
    evaluation_sets: Annotated[tuple[Path, ...], arg(name="evaluation_set"), tyro.conf.UseAppendAction] = ()
    estimate_only: Annotated[bool, arg(name="estimate")] = False
    screen: Screen = field(default_factory=Screen)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    limits: tyro.conf.Suppress[ImageLimits] = field(default_factory=ImageLimits)

    def __post_init__(self) -> None:
        for flag, number in (("--single", self.num_single), ("--multi", self.num_multi)):
            if number is not None and number < 0:
                raise ValueError(f"{flag} {number}: expected a number of documents, 0 or more")
        if self.keep_rate is not None and not 0 < self.keep_rate <= 1:
            raise ValueError(f"--keep_rate {self.keep_rate}: expected a share above 0 and at most 1")
        if self.similarity_min is not None and self.keep_rate is not None:
            raise ValueError("--similarity_min and --keep_rate: give one of them")
        if self.matcher == "none" and (self.similarity_min is not None or self.keep_rate is not None):
            raise ValueError("--filter none measures nothing: leave --similarity_min and --keep_rate out")
        if self.engine.name != "local" and self.writer.writer != "openai":
            raise ValueError(f"--engine {self.engine.name}: goes with --writer openai, got {self.writer.writer}")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--output_dir {self.out}: a file is in the way")

    @property
    def work(self) -> Path:
        """Folder of the stages, beside the data set so that publishing can't pick it up."""
        return self.out.with_name(self.out.name + ".work")
