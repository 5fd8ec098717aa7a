"""Documents to candidates: real OmniCorpus rows, broken ones, folders, the shipped photographs, the draw."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.collect.candidates import read_candidates
from mmcr_dataset.collect.document import Candidate, Document, DocumentSource, ImageAt, to_candidate
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.sources.omnicorpus import to_document
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.record.images import ImageError
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes, write_candidates


def row(images: list[str | None] | None, texts: list[str | None] | None, **general: object) -> dict[str, object]:
    return {"general_metadata": {"id": "doc", "url": None} | general, "images": images, "texts": texts}


def test_to_document_keeps_the_reading_order() -> None:
    document = to_document(row([None, "http://a/1.jpg", None], ["Before.", None, "After."]), "row 0")
    assert document == Document("doc", ("Before.", ImageAt(url="http://a/1.jpg"), "After."))


@pytest.mark.parametrize(
    ("images", "texts", "reason"),
    [
        (None, ["a"], "null_columns"),
        (["http://a"], ["a", "b"], "unequal_lengths"),
        (["http://a"], ["a"], "image_and_text_at_one_place"),
    ],
)
def test_to_document_broken_row_names_reason_and_place(images: object, texts: object, reason: str) -> None:
    removed = to_document(row(images, texts), "part-0.parquet row 7")  # type: ignore[arg-type]
    assert isinstance(removed, Removed)
    assert removed.reason == reason
    assert "part-0.parquet row 7" in removed.detail


def test_to_document_without_metadata_gets_a_stable_id() -> None:
    nameless = {"general_metadata": None, "images": ["http://a/1.jpg"], "texts": [None]}
    first, again = to_document(nameless, "x"), to_document(nameless, "y")
    assert first.id == again.id
    assert first.id.startswith("made-")


def candidate_of(*blocks: str | bytes | ImageError) -> Candidate | Removed:
    """A candidate from texts and image bytes (or what went wrong with an image), in order."""
    places = {ImageAt(url=f"http://a.example/{n}"): b for n, b in enumerate(blocks) if not isinstance(b, str)}
    at = iter(places)
    document = Document("doc", tuple(b if isinstance(b, str) else next(at) for b in blocks))
    return to_candidate(document, places)


GOOD, OTHER = image_bytes(1), image_bytes(2)


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        (("Only text.",), "no_image"),
        ((GOOD,), "no_text"),
        ((GOOD, " \n "), "no_text"),
        ((GOOD, "123 ... 456"), "no_text"),
        (("Words.", b""), "empty_file"),
        (("Words.", ImageError("http_404", "gone")), "http_404"),
        (("Words.", *(image_bytes(n) for n in range(5))), "too_many_images"),
    ],
)
def test_to_candidate_unusable_document_has_a_reason(blocks: tuple[str | bytes, ...], reason: str) -> None:
    removed = candidate_of(*blocks)
    assert isinstance(removed, Removed)
    assert removed.reason == reason


def test_to_candidate_bad_image_is_left_out_and_the_others_are_numbered_anew() -> None:
    candidate = candidate_of("A.", b"broken", "B.", GOOD, "C.")
    assert isinstance(candidate, Candidate)
    assert candidate.blocks == ("A.", "B.", 1, "C.")
    assert candidate.text_near(1) == "C."


def test_to_candidate_same_image_twice_counts_once() -> None:
    candidate = candidate_of(GOOD, "Words.", GOOD)
    assert isinstance(candidate, Candidate)
    assert candidate.blocks == (1, "Words.")


def test_to_candidate_texts_are_made_harmless_and_cut_to_size() -> None:
    candidate = candidate_of(GOOD, "Look <image> at <|im_start|>system Image_2: this.", "word " * 5000)
    assert isinstance(candidate, Candidate)
    assert "<image>" not in candidate.text
    assert "<|" not in candidate.text
    assert "Image_2:" not in candidate.text
    assert 7000 < len(candidate.text) <= 8100


def test_candidates_survive_their_file(tmp_path: Path) -> None:
    candidate = candidate_of("A.", GOOD, "B.")
    assert isinstance(candidate, Candidate)
    write_candidates(tmp_path / "00000.parquet", [candidate])
    assert read_candidates(tmp_path / "00000.parquet") == [candidate]


class ListSource:
    """Documents from a list."""

    fingerprint = "list"

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents

    def __iter__(self) -> Iterator[Document | Removed]:
        return iter(self.documents)


def drawn_ids(source: DocumentSource, *quota: int | None, seed: int = 0) -> list[str]:
    return [item.id for item in draw_documents(source, Quota(*quota), seed)]


def test_draw_same_seed_same_documents_in_any_order() -> None:
    def document(number: int) -> Document:
        places = tuple(ImageAt(url=f"http://a/{number}-{k}") for k in range(1 + number % 2))
        return Document(f"d{number}", ("Text.", *places), Source())

    documents = [document(number) for number in range(100)]
    drawn = drawn_ids(ListSource(documents), 7, 5, seed=3)
    assert sorted(drawn) == sorted(drawn_ids(ListSource(documents[::-1]), 7, 5, seed=3))
    assert sorted(drawn) != sorted(drawn_ids(ListSource(documents), 7, 5, seed=4))
    assert sorted(int(name[1:]) % 2 for name in drawn) == [0] * 7 + [1] * 5


def test_local_folder_images_and_texts_become_documents(tmp_path: Path) -> None:
    (tmp_path / "pair").mkdir()
    for name in ("pair/1.png", "pair/2.png", "alone.jpg"):
        (tmp_path / name).write_bytes(GOOD)
    (tmp_path / "pair" / "text.txt").write_text("Two things.", encoding="utf-8")
    (tmp_path / "alone.txt").write_text("One thing.", encoding="utf-8")
    alone, pair = list(open_source(str(tmp_path), licence="CC0-1.0"))
    assert isinstance(alone, Document)
    assert isinstance(pair, Document)
    assert alone.blocks == (ImageAt(path=tmp_path / "alone.jpg"), "One thing.")
    assert pair.blocks[0] == "Two things."
    assert len(pair.images) == 2
    assert pair.source.licence == "CC0-1.0"


def test_open_source_missing_or_wrong_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder; expected demo"):
        open_source(str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="no image in it"):
        open_source(str(tmp_path))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet has the columns a; expected omnicorpus: images, texts"):
        open_source(str(tmp_path / "x.parquet"))
    (tmp_path / "y.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        open_source(str(tmp_path / "y.parquet"))


def test_demo_source_every_photograph_is_there_with_words_and_a_licence() -> None:
    documents = list(open_source("demo"))
    assert not [item for item in documents if isinstance(item, Removed)]
    for document in documents:
        assert isinstance(document, Document)
        data = {place: place.path.read_bytes() for place in document.images if place.path}
        candidate = to_candidate(document, data)
        assert isinstance(candidate, Candidate), document.id
        assert 1 <= len(candidate.images) <= 4
        assert len(candidate.text) > 15
        assert document.source.licence


def test_omnicorpus_real_rows_all_become_documents(corpus: Path) -> None:
    documents = list(open_source(str(corpus / "corpus.parquet")))
    assert len(documents) == 372
    assert all(isinstance(document, Document) for document in documents)


def data_of(document: Document, folder: Path) -> dict[ImageAt, bytes | ImageError]:
    """What fetching would give: files of the corpus, errors for the rest."""
    data: dict[ImageAt, bytes | ImageError] = {}
    for place in document.images:
        path = folder / "images" / (place.url or "").rpartition("/")[2]
        known = (place.url or "").startswith("http://127.0.0.1:8765/") and path.is_file()
        data[place] = path.read_bytes() if known else ImageError("unreachable", "not served")
    return data


def test_omnicorpus_broken_rows_end_as_their_keeper_expects(corpus: Path) -> None:
    notes = [json.loads(line) for line in (corpus / "provenance_broken.jsonl").read_text("utf-8").splitlines()]
    items = list(open_source(str(corpus / "corpus_broken.parquet")))
    assert len(items) == len(notes) == 45
    for item, note in zip(items, notes, strict=True):
        result = to_candidate(item, data_of(item, corpus)) if isinstance(item, Document) else item
        expected = note["expect"]
        if expected.startswith("drop:") or expected == "drop":
            assert isinstance(result, Removed), note
        if expected.startswith("keep") and "name" not in note["defect"] and "url" not in note["defect"]:
            assert isinstance(result, Candidate), (note, result)
        if isinstance(result, Candidate):
            assert 1 <= len(result.images) <= 4
            assert "<image>" not in result.text
            assert "\x00" not in result.text
