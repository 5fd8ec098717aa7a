"""A MediaWiki export and its images as documents: licences, captions, hostile and damaged exports; WIT rows."""

from __future__ import annotations

import bz2
import gzip
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.collect.sources import wiki_dump
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.collect.sources.wiki_dump import read_pages, read_site
from mmcr_dataset.collect.sources.wiki_folder import WikiSource
from mmcr_dataset.collect.sources.wiki_text import Shown, read_article, read_file_notes
from mmcr_dataset.mmdu.made_wiki import write_made_wiki
from mmcr_dataset.stage.stages import Removed

NAMES = {"file": 6, "image": 6, "category": 14, "datei": 6}


@pytest.fixture(scope="session")
def wiki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wiki") / "made"
    write_made_wiki(folder, 40, seed=3)
    return folder


def test_made_wiki_gives_every_image_with_its_own_licence_and_author(wiki: Path) -> None:
    items = list(open_source(str(wiki), by_image=True))
    documents = [item for item in items if isinstance(item, Document)]
    assert Counter(item.reason for item in items if isinstance(item, Removed)) == {
        "non_free_file": 1,
        "no_licence": 1,
        "missing_file": 1,
    }
    assert len(documents) == len(list((wiki / "images").iterdir())) - 2
    for document in documents:
        image, caption, tags, *_ = document.blocks
        assert isinstance(image, ImageAt)
        assert image.path is not None
        assert image.path.is_file()
        assert (image.name or "").startswith("https://wiki.example/wiki/File:")
        assert str(tags).startswith("Categories: ")
        assert "{{" not in str(caption)
        assert (document.source.licence or "").startswith(("CC BY", "CC0", "public domain"))
        assert "User:" in (document.source.licence or "")
        assert (document.source.document_url or "").startswith("https://wiki.example/wiki/")


def test_pages_are_documents_of_all_their_images_with_the_licence_of_each(wiki: Path) -> None:
    documents = [item for item in WikiSource(wiki) if isinstance(item, Document)]
    assert {len(document.images) for document in documents} == {0, 1, 2, 3}
    three = next(document for document in documents if len(document.images) == 3)
    assert (three.source.licence or "").count(".png: ") == 3
    assert not any("Description" in str(block) or "References" in str(block) for block in three.blocks)


def test_licence_from_outside_is_for_images_without_one_only(wiki: Path) -> None:
    documents = [item for item in WikiSource(wiki, "own work", by_image=True) if isinstance(item, Document)]
    assert sum("own work" in (document.source.licence or "") for document in documents) == 1
    assert not any("Fair_use" in str(document.blocks[0]) for document in documents)


@pytest.mark.parametrize("suffix", [".xml.gz", ".xml.bz2"])
def test_packed_exports_read_alike(suffix: str, wiki: Path, tmp_path: Path) -> None:
    data = (wiki / "wiki.xml").read_bytes()
    packed = tmp_path / f"wiki{suffix}"
    packed.write_bytes(gzip.compress(data) if suffix.endswith("gz") else bz2.compress(data))
    assert list(read_pages(packed)) == list(read_pages(wiki / "wiki.xml"))
    assert read_site(packed).address("A b") == "https://wiki.example/wiki/A_b"


BOMB = """<?xml version="1.0"?><!DOCTYPE mediawiki [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>
<mediawiki><page><title>&b;</title></page></mediawiki>"""


@pytest.mark.parametrize("text", [BOMB, "<!-- <mediawiki --> <!DOCTYPE a []><mediawiki/>", "<html></html>", ""])
def test_document_types_and_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    for read in (read_site, lambda path: list(read_pages(path))):
        with pytest.raises(ValueError, match=r"document type|MediaWiki XML export"):
            read(path)


def test_damaged_export_keeps_what_is_before_and_says_so(wiki: Path, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(wiki / "images")  # a link that leads out is not followed
    for path in (wiki / "images").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = (wiki / "wiki.xml").read_bytes()
    (tmp_path / "wiki.xml").write_bytes(data[: len(data) // 2])
    items = list(WikiSource(tmp_path, by_image=True))
    assert isinstance(items[-1], Removed)
    assert items[-1].reason == "damaged_export"
    assert sum(isinstance(item, Document) for item in items) > 10


def test_endless_page_ends_the_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiki_dump, "PAGE_BYTES_MAX", 200_000)
    path = tmp_path / "a.xml.bz2"
    page = "<page><title>A</title><revision><text>" + "a" * 1000 + "</text></revision></page>"
    path.write_bytes(bz2.compress(f"<mediawiki>{page * 500}<page><text>{'a' * 10**6}".encode()))
    found = read_pages(path)
    assert [next(found).title for _ in range(400)] == ["A"] * 400
    with pytest.raises(ValueError, match="a page of more than 200,000 bytes"):
        list(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[File:a b.jpg|thumb|left|200px|alt=x|The ''old'' [[bridge|stone bridge]]]]", "The old stone bridge"),
        ("[[Datei:A_b.jpg|mini|upright=1.2|Eine Brücke]]", "Eine Brücke"),
        ("[[Image:A b.jpg]]", ""),
        ("<gallery mode=packed>\nFile:A b.jpg|In '''May'''\n</gallery>", "In May"),
        ("{{Infobox bridge|image=A b.jpg|caption=Seen from [[the bank]]}}", "Seen from the bank"),
        ("{{Infobox bridge|image=[[File:A b.jpg|250px]]|image_caption=Seen}}", "Seen"),
    ],
)
def test_images_of_wikitext(text: str, expected: str) -> None:
    article = read_article(f"Some words before it, which are long enough. {text} And a sentence behind it.", NAMES)
    assert [block for block in article.blocks if isinstance(block, Shown)] == [Shown("A_b.jpg", expected)]
    assert not any("thumb" in str(block) or "File" in block for block in article.blocks if isinstance(block, str))


@pytest.mark.parametrize(
    ("text", "licence", "author"),
    [
        ("{{Information|author=[[User:Ada|Ada]]}}{{self|GFDL|cc-by-sa-4.0}}", "GFDL", "Ada"),
        ("{{Information|author=Jo}}{{cc-by-sa-3.0,2.5}}", "CC BY-SA 3.0", "Jo"),
        ("{{PD-USGov-NASA}}", "public domain", None),
        ("{{Cc-zero}}", "CC0 1.0", None),
        ("{{Information|author=}} mine", None, None),
    ],
)
def test_licences_of_file_pages(text: str, licence: str | None, author: str | None) -> None:
    notes = read_file_notes(text)
    assert (notes.licence, notes.author, notes.is_free) == (licence, author, True)


@pytest.mark.parametrize("as_lists", [True, False])
def test_rows_of_wit_base_give_their_english_captions(as_lists: bool, tmp_path: Path) -> None:
    english = {"language": "en", "page_url": "https://en.example/wiki/B", "page_title": "Bridge"}
    english |= {"caption_reference_description": "The old bridge", "context_page_description": "It spans a river."}
    german = {**english, "language": "de", "page_title": "Brücke"}

    def features(*entries: dict[str, str]) -> object:
        return {name: [one[name] for one in entries] for name in english} if as_lists else list(entries)

    shared = {"image_url": "https://files.example/a.jpg", "caption_attribution_description": "by Ada"}
    rows = [{**shared, "wit_features": features(german, english)}, {**shared, "wit_features": features(german)}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-00000.parquet")
    for spec in (str(tmp_path), f"wit:{tmp_path}"):
        good, bad = open_source(spec)
        assert isinstance(good, Document)
        assert good.blocks[1:] == ("Bridge: The old bridge", "It spans a river.")
        assert good.source.licence == "by Ada"
        assert isinstance(bad, Removed)
        assert bad.reason == "not_english"


def test_wit_rows_are_one_document_an_image(tmp_path: Path) -> None:
    row = {
        "language": "en",
        "page_url": "https://en.example/wiki/Bridge",
        "image_url": "https://files.example/a.jpg",
        "page_title": "Bridge",
        "caption_reference_description": "The old bridge",
        "caption_attribution_description": "English: by Ada",
        "context_page_description": "A bridge spans a river.",
    }
    pq.write_table(pa.Table.from_pylist([row, row | {"image_url": None}]), tmp_path / "wit.parquet")
    good, bad = open_source(str(tmp_path), "CC BY-SA 3.0")
    assert isinstance(good, Document)
    assert good.blocks == (ImageAt(url=row["image_url"]), "Bridge: The old bridge", "A bridge spans a river.")
    assert (good.source.document_url, good.source.licence) == (row["page_url"], "CC BY-SA 3.0; English: by Ada")
    assert isinstance(bad, Removed)
    assert bad.reason == "no_image"
