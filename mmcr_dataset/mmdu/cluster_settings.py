"""Settings of the clusters of `--recipe mmdu`: flags of `build`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import arg

from mmcr_dataset.record.recipe import MMDU


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How the images of `--recipe mmdu` are embedded and clustered.

    Attributes:
        embedder: models (sentence-transformers and open_clip), models:TEXT_MODEL[#MODEL/PRETRAINED of open_clip], or
            offline (word counts and colours, no model: for demos and tests).
        text_weight: weight of the text's similarity, 0 to 1; the image's has the rest.
        cluster_method: agglomerative (mean distance below a limit) or hdbscan (density, without a limit).
        cluster_distance: largest mean distance (1 - cosine) within a topic; default that of the embedder.
        same_distance: two images closer than this show the same object, and the later one stays out.
        cluster_images_min: images of a cluster at least.
        cluster_images_max: images of a cluster at most; larger topics are divided.
        images_a_page: images of one page in a cluster at most.
    """

    embedder: str = "models"
    text_weight: float = 0.5
    cluster_method: Literal["agglomerative", "hdbscan"] = "agglomerative"
    cluster_distance: Annotated[float | None, arg(metavar="X")] = None
    same_distance: float = 0.02
    cluster_images_min: int = MMDU.images_min
    cluster_images_max: int = MMDU.images_max
    images_a_page: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.text_weight <= 1:
            raise ValueError(f"--text_weight {self.text_weight}: expected 0 (images alone) to 1 (texts alone)")
        least, most = self.cluster_images_min, self.cluster_images_max
        if not MMDU.images_min <= least <= most <= MMDU.images_max:
            raise ValueError(
                f"--cluster_images_min {least} --cluster_images_max {most}: expected {MMDU.images_min} to "
                f"{MMDU.images_max} images, and no minimum above the maximum"
            )
        if self.images_a_page < 1:
            raise ValueError(f"--images_a_page {self.images_a_page}: expected at least 1")
