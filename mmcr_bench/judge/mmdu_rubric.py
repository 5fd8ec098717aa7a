"""MMDU's dimensions: six and an overall score, bands for 1-2, 3-4, 5-6, 7-8, 9-10 (arXiv 2406.11833), in our words."""

from __future__ import annotations

from mmcr_bench.judge.rubric import Dimension

MMDU_KEYS = {
    "overall": "Overall Score",
    "creativity": "Creativity",
    "richness": "Richness",
    "visual_perception": "Visual Perception",
    "logical_coherence": "Logical Coherence",
    "answer_accuracy": "Answer Accuracy",
    "image_relationship": "Image Relationship Understanding",
}
MMDU_BANDS = {  # for 1-2, 3-4, 5-6, 7-8, 9-10
    "creativity": "nothing new; some of it new, of low quality; mostly creative, little that is new; new and of high "
    "quality; highly new and outstanding beside the reference",
    "richness": "neither depth nor breadth; few explanations and examples, little variety; the necessary facts only; "
    "deep, with useful facts beyond; exceptionally deep, broad and varied beside the reference",
    "visual_perception": "what it says of the pictures is wrong; little of what they show, with errors; few of their "
    "facts, the basic ones; matches the pictures well, much of what they show; matches them and tells more "
    "than the reference",
    "logical_coherence": "incoherent; partly coherent, many logical errors; mostly coherent, weak where it is complex; "
    "very few errors; flawless even where it is complex, better than the reference",
    "answer_accuracy": "wrong or beside the question; partly right, incomplete; right at its base, lacks detail; "
    "right, detailed, answers all of it; right, detailed, and useful beyond what was expected",
    "image_relationship": "mixes the pictures up; tells few differences, with confusion; tells and relates them at a "
    "basic level; tells them apart and relates them with what they share and where they differ; the same, richer than "
    "the reference",
    "overall": "beside the question, false or harmful; harmless but poor; meets the need at its base, some dimensions "
    "are weak; good in every dimension; answers all that was asked and clearly surpasses the reference",
}
MMDU_NAMES = tuple(MMDU_KEYS)
MMDU_CRITERIA = (
    *(name for name in MMDU_KEYS if name != "overall"),
    "cluster",
)  # of a review; the last is of the images


def _bands(name: str) -> tuple[str, str, str, str, str]:
    worst, poor, fair, good, best = MMDU_BANDS[name].split("; ")
    return worst, poor, fair, good, best


MMDU_DIMENSIONS = tuple(Dimension(name, key, key, _bands(name)) for name, key in MMDU_KEYS.items() if name != "overall")
CLUSTER = Dimension(
    "cluster",
    "Cluster",
    "Images of one topic",
    (
        "the images have nothing to do with each other",
        "several images belong to another topic, or show the very same object",
        "one image belongs to another topic, or two show the very same object",
        "one topic, told from different objects",
        "one topic, and the images explain each other",
    ),
)
