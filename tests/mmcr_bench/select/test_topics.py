"""Labels, topics and domains: the tree, both readings of a network, the choice of topics, the way into a bench."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmcr_bench.__main__ import main
from mmcr_bench.select.labels import (
    Labels,
    TimmLabeler,
    labels_from_distribution,
    labels_from_levels,
    read_labels,
    write_labels,
)
from mmcr_bench.select.sort_labels import read_sorted
from mmcr_bench.select.topics import DOMAINS, assign_topics, choose_topics, count_labels, read_topics, sort_offline
from mmcr_bench.select.wordnet import levels_of, name_of, path_of
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.load import load_dialogues
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

DOG, TABBY, TERRIER, BOTTLE = "n02084071", "n02123045", "n02095314", "n02823428"


def names(labels: Labels) -> list[str]:
    return [name_of(synset) for synset in labels]


def test_tree_holds_the_path_of_every_class() -> None:
    timm_data = pytest.importorskip("timm.data")
    for subset, count in (("imagenet-1k", 1000), ("imagenet-21k-miil", 11221)):
        info = timm_data.ImageNetInfo(subset)
        for index in range(0, count, 9):
            path = path_of(info.index_to_label_name(index))
            assert name_of(path[0]) == "entity"
            assert len(set(path)) == len(path)


def test_path_of_a_breed_goes_through_dog_and_mammal() -> None:
    assert [word for word in names(path_of(TERRIER)) if word in ("animal", "mammal", "dog", "terrier")] == [
        "animal",
        "mammal",
        "dog",
        "terrier",
    ]


def test_labels_stop_where_the_network_hesitates() -> None:
    synsets = [TERRIER, "n02099601", TABBY, BOTTLE]  # a terrier, a golden retriever, a tabby cat, a bottle
    assert names(labels_from_distribution(np.array([0.9, 0.05, 0.03, 0.02]), synsets))[-1] == name_of(TERRIER)
    assert names(labels_from_distribution(np.array([0.45, 0.45, 0.05, 0.05]), synsets))[-1] == "hunting dog"
    assert names(labels_from_distribution(np.array([0.3, 0.2, 0.4, 0.1]), synsets))[-1] == "carnivore"
    assert labels_from_distribution(np.array([0.2, 0.1, 0.2, 0.5]), synsets) == ()  # only "whole" holds more than half


def test_labels_by_levels_take_the_best_of_each_level_that_is_sure() -> None:
    synsets = ["n00015388", "n00021939", DOG, "n02121808", TERRIER, "n02099601"]  # animal, artifact, dog, cat, breeds
    levels = levels_of(synsets)
    assert levels == [0, 0, 1, 1, 2, 2]
    assert names(labels_from_levels(np.array([9.0, 0, 9, 0, 0, 0]), synsets, levels)) == ["animal", "dog"]
    assert labels_from_levels(np.zeros(6), synsets, levels) == ()


def test_offline_domains_follow_the_nearest_ancestor() -> None:
    found = sort_offline(
        [TERRIER, BOTTLE, "n11939491", "n02870880", "n04266014", "n09193705", "n03781244", "n07697537"]
    )
    assert list(found.values()) == [
        "animals", "artifacts", "plants", "education", "science", "nature", "architecture", "humanity",
    ]  # fmt: skip


def test_topics_are_frequent_not_too_general_and_never_within_each_other() -> None:
    images: list[Labels] = [path_of(TERRIER)[7:]] * 6 + [path_of(TABBY)[7:]] * 5 + [path_of("n01530575")[7:]] * 4
    counts = count_labels([images])
    chosen = choose_topics(counts, sort_offline(counts), per_domain=3)
    assert {topic.domain for topic in chosen} == {"animals"}
    for topic in chosen:
        assert not any(topic.synset in path_of(other.synset) for other in chosen if other != topic)
    assert sum(topic.num_images for topic in chosen) <= 15


def test_dialogue_with_two_topics_goes_to_the_rarer() -> None:
    labels = {f"d{n}": [path_of(TERRIER)] for n in range(5)} | {"both": [path_of(TERRIER), path_of(BOTTLE)]}
    counts = count_labels(labels.values())
    topics = choose_topics({TERRIER: counts[TERRIER], BOTTLE: counts[BOTTLE]}, sort_offline([TERRIER, BOTTLE]))
    assigned = assign_topics(labels, topics, counts)
    assert assigned["both"].synset == BOTTLE
    assert assigned["d0"].synset == TERRIER


class StripedLabeler:
    """Knows dark images as dogs and bright ones as bottles."""

    name = "striped"

    def __init__(self) -> None:
        self.num_seen = 0

    def label(self, images: list[Image.Image]) -> list[Labels]:
        self.num_seen += len(images)
        return [path_of(TERRIER if np.asarray(image).mean() < 127 else BOTTLE)[6:] for image in images]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "mmcr-310k"
    dialogues = [patchwork_dialogue(f"s{n}", [patchwork(n)]) for n in range(70)]
    dialogues += [patchwork_dialogue(f"m{n}", [patchwork(100 + 2 * n), patchwork(101 + 2 * n)]) for n in range(10)]
    dialogues.append(patchwork_dialogue("broken", [b"no image"], hashed=False))
    write_dataset(dialogues, folder)
    return folder


def test_labeling_goes_on_where_it_was_killed(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.jsonl"
    first = StripedLabeler()
    assert write_labels(dataset, first, out) == (81, 1)
    assert first.num_seen == 90
    whole = read_labels(out)
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:50]) + lines[50][:17])
    again = StripedLabeler()
    assert write_labels(dataset, again, out)[0] == 31
    assert again.num_seen < 60
    assert read_labels(out) == whole
    with pytest.raises(ValueError, match="labels by striped, expected other"):
        read_labels(out, "other")


def test_topics_to_bench(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, topics = tmp_path / "labels.jsonl", tmp_path / "topics.json"
    write_labels(dataset, StripedLabeler(), labels)
    flags = ["--labels", str(labels)]
    figure = tmp_path / "topics.png"
    arguments = ["topics", str(dataset), *flags, "--out", str(topics), "--per-domain", "1", "--figure", str(figure)]
    assert main(arguments) == 0
    assert min(Image.open(figure).size) > 500
    shown = capsys.readouterr().out
    assert "90 images with" in shown
    assert "1 dialogues have no topic" in shown
    assert {topic.domain for topic in read_topics(topics)} == {"animals", "artifacts"}
    out = tmp_path / "mmcr-bench"
    arguments = ["build", str(dataset), "--out", str(out), "--single", "2", "--multi", "1", *flags]
    assert main([*arguments, "--topics", str(topics)]) == 0
    bench = list(load_dialogues(str(out), split="test"))
    assert Counter(dialogue.domain for dialogue in bench) == {"animals": 3, "artifacts": 3}
    assert all(dialogue.topic and dialogue.images[0].labels for dialogue in bench)
    assert main(arguments) == 2
    assert "need each other" in capsys.readouterr().err


def test_labels_are_sorted_by_a_chat_model_once(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.jsonl"
    write_labels(dataset, StripedLabeler(), labels)

    def answer(request: dict[str, Any]) -> str:
        keys = re.findall(r"^- (.*): \d+$", request["messages"][0]["content"], re.M)
        return json.dumps({key: "animals" if "dog" in key or "terrier" in key else "none" for key in keys})

    with FakeChatServer(answer) as server:
        arguments = ["topics", str(dataset), "--labels", str(labels), "--out", str(tmp_path / "topics.json")]
        arguments += ["--sorter", f"api:{server.base_url}#m", "--ledger", str(tmp_path / "ledger")]
        assert main(arguments) == 0
        assert main(arguments) == 0
        assert len(server.requests) == 1
    assert {topic.domain for topic in read_topics(tmp_path / "topics.json")} == {"animals"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("I would put dogs with the animals.", "not a JSON object"),
        ('{"dog": "animals"}', "omitted \\['cat'\\]"),
        ('{"dog": "animals", "cat": "animals", "cow": "animals"}', "invented \\['cow'\\]"),
        ('{"dog": "animals", "cat": "pets"}', "unknown domains"),
    ],
)
def test_sorting_that_is_not_whole_is_named(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        read_sorted(text, {"dog": DOG, "cat": "n02121808"})
    assert read_sorted('So: {"dog": "animals", "cat": "none"}', {"dog": DOG, "cat": "n0"}) == {DOG: "animals"}


@pytest.mark.parametrize(
    "value",
    [
        "[]",
        '{"domains": {"pets": []}}',
        '{"domains": {"animals": [{"synset": "n1", "label": "x", "num_images": 1}]}}',
        json.dumps({"domains": {d: [{"synset": DOG, "label": "dog", "num_images": 1}] for d in DOMAINS[:2]}}),
    ],
)
def test_topics_file_that_is_broken_is_named(value: str, tmp_path: Path) -> None:
    (tmp_path / "topics.json").write_text(value)
    with pytest.raises(ValueError, match=r"topics\.json"):
        read_topics(tmp_path / "topics.json")


def test_timm_labeler_reads_both_kinds_of_network() -> None:
    pytest.importorskip("timm")
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    for name in ("mobilenetv3_small_050.lamb_in1k", "mobilenetv3_large_100.miil_in21k"):
        found = TimmLabeler(name, pretrained=False).label([image, image])
        assert len(found) == 2
        assert found[0] == found[1]
    with pytest.raises(ValueError, match="timm has no model 'resnet_of_mine'"):
        TimmLabeler("resnet_of_mine")
