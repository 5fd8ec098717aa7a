"""The report of the clusters with their images: sizes, nearest and farthest members, what stayed out and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmcr_dataset.pages.render import render_page
from mmcr_dataset.stage.stages import StageCount


@dataclass(frozen=True, slots=True)
class ShownCluster:
    """A cluster on the page.

    Attributes:
        members: (caption, image file) of each member, nearest to the centre first.
        distances: distance of each member from the centre.
    """

    members: Sequence[tuple[str, bytes]]
    distances: Sequence[float]


def show_cluster_report(
    clusters: Sequence[ShownCluster],
    sizes: Mapping[int, int],
    out: Mapping[str, Sequence[tuple[str, str, bytes]]],
    count: StageCount,
) -> str:
    """The page.

    Args:
        clusters: those that are shown; each with at most five members.
        sizes: number of clusters by number of images.
        out: reason -> (detail, caption, image file) of some images that stayed out.
        count: counts of the images.
    """
    return render_page(
        Path(__file__).parent / "clusters.html",
        title="Clusters",
        lead=f"{count.num_kept} of {count.num_in} images in {sum(sizes.values())} clusters; the first {len(clusters)} "
        "are shown. Distances are 1 - cosine from the centre of the cluster.",
        sizes=[(f"{size} images", number, str(number)) for size, number in sorted(sizes.items())],
        clusters=[_to_shown(one) for one in clusters],
        removed=[(name, number) for name, number in count.removed.items()],
        out={name: [(caption, data) for _, caption, data in rows] for name, rows in out.items()},
    )


def _to_shown(cluster: ShownCluster) -> dict[str, object]:
    """The nearest three and the farthest two members."""
    places = [*range(min(3, len(cluster.members))), *range(max(3, len(cluster.members) - 2), len(cluster.members))]
    return {
        "size": len(cluster.members),
        "farthest": cluster.distances[-1],
        "members": [
            (f"{cluster.distances[place]:.3f} {cluster.members[place][0]}", cluster.members[place][1])
            for place in places
        ],
    }
