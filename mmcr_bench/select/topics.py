"""Label counts -> eight domains -> forty topics -> the topic of each dialogue (paper 3.3).

The labels are sorted into domains by a chat model (paper) or by their nearest ancestor in WordNet (offline); the result
is a JSON file to be reviewed and edited before the bench is drawn.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_bench.select.labels import Labels, read_labels
from mmcr_bench.select.wordnet import name_of, path_of
from mmcr_dataset.record.dialogue import Dialogue

DOMAINS = ("humanity", "artifacts", "animals", "plants", "architecture", "nature", "education", "science")
TOPICS_A_DOMAIN = 5  # paper 3.3: "the top five most frequent tags"
SHARE_MAX = 0.5  # a label on a larger share of its domain's images is as general as the domain itself
_ANCHORS = {
    "n00007846": "humanity",  # person
    "n00021265": "humanity",  # food: nutrient
    "n07555863": "humanity",  # food: solid
    "n00407535": "humanity",  # activity
    "n00021939": "artifacts",  # artifact
    "n00015388": "animals",  # animal
    "n00017222": "plants",  # plant
    "n12992868": "plants",  # fungus
    "n13086908": "plants",  # plant part
    "n07705711": "plants",  # produce
    "n04341686": "architecture",  # structure
    "n04105893": "architecture",  # room
    "n09287968": "nature",  # geological formation
    "n00019128": "nature",  # natural object
    "n09225146": "nature",  # body of water
    "n00027167": "nature",  # location
    "n11408559": "nature",  # natural phenomenon
    "n06589574": "education",  # publication
    "n06349220": "education",  # written communication
    "n02870092": "education",  # book
    "n04146050": "education",  # school
    "n03660909": "education",  # library
    "n03661043": "education",  # library: building
    "n03038685": "education",  # classroom
    "n02846511": "education",  # blackboard
    "n04608567": "education",  # writing implement
    "n02870880": "education",  # bookcase
    "n04147495": "science",  # scientific instrument
    "n03733925": "science",  # measuring instrument
    "n03739693": "science",  # medical instrument
    "n03852280": "science",  # optical instrument
    "n02727825": "science",  # apparatus
    "n03082979": "science",  # computer
    "n04264914": "science",  # spacecraft
    "n09239740": "science",  # celestial body
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the bench: a label, its domain, and its number of images."""

    synset: str
    label: str
    domain: str
    num_images: int


def count_labels(labels: Iterable[Sequence[Labels]]) -> Counter[str]:
    """Number of images with each label."""
    return Counter(synset for images in labels for image in images for synset in set(image))


def sort_offline(synsets: Iterable[str]) -> dict[str, str]:
    """The domain of each label by its nearest anchor among its ancestors; labels without one are omitted."""
    domains: dict[str, str] = {}
    for synset in synsets:
        nearest = next((one for one in reversed(path_of(synset)) if one in _ANCHORS), None)
        if nearest is not None:
            domains[synset] = _ANCHORS[nearest]
    return domains


def choose_topics(
    counts: Mapping[str, int], domains: Mapping[str, str], per_domain: int = TOPICS_A_DOMAIN
) -> list[Topic]:
    """The most frequent labels of each domain, none a descendant of another.

    A label on more than half of the images of its domain's most frequent label is skipped if enough others are left:
    "animal" is no topic of the animals. Ancestors and descendants of a chosen label are skipped too, so that topics
    don't share images.
    """
    topics: list[Topic] = []
    for domain in DOMAINS:
        own = sorted((s for s in counts if domains.get(s) == domain), key=lambda s: (-counts[s], s))
        most = counts[own[0]] if own else 0
        narrow = [synset for synset in own if counts[synset] <= SHARE_MAX * most]
        chosen = _choose(narrow, per_domain, [])
        chosen = _choose(own, per_domain, chosen)
        topics += [Topic(synset, name_of(synset), domain, counts[synset]) for synset in chosen]
    return topics


def _choose(synsets: Sequence[str], number: int, chosen: Sequence[str]) -> list[str]:
    """The chosen labels plus the first ones that are no ancestor, descendant or namesake of a chosen one."""
    found = list(chosen)
    for synset in synsets:
        if len(found) == number:
            break
        nested = any(synset in path_of(other) or other in path_of(synset) for other in found)
        if not nested and name_of(synset) not in map(name_of, found):
            found.append(synset)
    return found


def assign_topics(
    labels: Mapping[str, Sequence[Labels]], topics: Sequence[Topic], counts: Mapping[str, int]
) -> dict[str, Topic]:
    """The topic of each dialogue with a topic's label on one of its images; of several topics the rarest."""
    by_synset = {topic.synset: topic for topic in topics}
    assigned: dict[str, Topic] = {}
    for id_, images in labels.items():
        own = {synset for image in images for synset in image} & by_synset.keys()
        if own:
            assigned[id_] = by_synset[min(own, key=lambda synset: (counts[synset], synset))]
    return assigned


@dataclass(frozen=True, slots=True)
class Tagging:
    """Labels and topics of a data set's dialogues, by id."""

    labels: Mapping[str, Sequence[Labels]]
    topics: Mapping[str, Topic]

    def tag(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue with its domain, its topic and the labels of its images."""
        topic = self.topics.get(dialogue.id)
        labels = self.labels.get(dialogue.id) or [()] * len(dialogue.images)
        images = tuple(
            replace(image, labels=tuple(map(name_of, synsets)))
            for image, synsets in zip(dialogue.images, labels, strict=True)
        )
        domain, label = (topic.domain, topic.label) if topic is not None else (None, None)
        return replace(dialogue, domain=domain, topic=label, images=images)


def load_tagging(labels_path: Path, topics_path: Path) -> Tagging:
    """Labels and topics from their files.

    Raises:
        ValueError: a file is missing or broken.
    """
    for path, command in ((labels_path, "tag"), (topics_path, "topics")):
        if not path.is_file():
            raise ValueError(f"{path}: no such file; write it with `python -m mmcr_bench {command}`")
    labels = read_labels(labels_path)
    return Tagging(labels, assign_topics(labels, read_topics(topics_path), count_labels(labels.values())))


def write_topics(path: Path, topics: Sequence[Topic], num_images: int, sorter: str) -> None:
    """Write the topics to a JSON file for review.

    Args:
        path: output file.
        topics: the topics.
        num_images: number of labeled images.
        sorter: how the labels were sorted into domains.
    """
    by_domain: dict[str, list[dict[str, object]]] = defaultdict(list)
    for topic in topics:
        by_domain[topic.domain].append({"synset": topic.synset, "label": topic.label, "num_images": topic.num_images})
    value = {"sorted_by": sorter, "num_images": num_images, "domains": by_domain}
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_topics(path: Path) -> list[Topic]:
    """Read the topics of a file, as written by `write_topics` and edited by hand.

    Raises:
        ValueError: the file is malformed, a domain or synset is unknown, or a synset occurs twice.
    """
    topics: list[Topic] = []
    try:
        domains = json.loads(path.read_text(encoding="utf-8"))["domains"]
        for domain, entries in domains.items():
            if domain not in DOMAINS:
                raise ValueError(f"domain {domain!r}, expected some of {list(DOMAINS)}")
            for entry in entries:
                path_of(entry["synset"])
                key = "num_images" if "num_images" in entry else "num_pictures"  # name of version 0.1
                topics.append(Topic(entry["synset"], str(entry["label"]), domain, int(entry[key])))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path}: not a valid topics file ({error}); write one with `python -m mmcr_bench topics`"
        ) from error
    twice = [synset for synset, count in Counter(topic.synset for topic in topics).items() if count > 1]
    if twice:
        raise ValueError(f"{path}: {twice} occurs twice; every topic belongs to one domain")
    return topics
