"""The draw: seeded, even over all files, no more read than needed, and what the documents must be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.language import reason_not_english
from mmcr_dataset.collect.screen import Screen, read_limits
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes
from tests.local_hub import LocalHub
from tests.local_web import LocalWeb, Page
from tests.mmcr_dataset.publish.test_hub import program

TEXT = "This is the old lighthouse on the small island in the sea, and the harbour is behind it."


def filler(name: str) -> str:
    """Two thousand characters that don't compress, so that a row has a real one's size."""
    return "".join(hashlib.sha256(f"{name} {n}".encode()).hexdigest() for n in range(32))


def row(name: str, num_images: int = 1, **general: object) -> dict[str, Any]:
    images = [f"http://a.example/{name}-{n}.jpg" for n in range(num_images)]
    return {
        "general_metadata": {"id": name, "url": f"http://a.example/{filler(name)}"} | general,
        "images": [*images, None],
        "texts": [None] * num_images + [TEXT],
    }


def parquet_of(rows: list[dict[str, Any]], rows_a_group: int) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, row_group_size=rows_a_group)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def many_files() -> dict[str, bytes]:
    """Thirty files of ten row groups of twenty documents, two singles for each multi."""
    return {
        f"CC-{file // 10}/{file:02d}.parquet": parquet_of(
            [row(f"f{file}-r{number}", 1 + (number % 3 == 2)) for number in range(200)], 20
        )
        for file in range(30)
    }


def write_files(folder: Path, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def drawn(spec: str, single: int | None, multi: int | None, seed: int = 0, **more: Any) -> list[str]:
    return [item.id for item in draw_documents(open_source(spec), Quota(single, multi), seed, **more)]


def test_draw_parquet_takes_the_numbers_asked_for_and_no_document_twice(
    tmp_path: Path, many_files: dict[str, bytes]
) -> None:
    spec = write_files(tmp_path, many_files)
    ids = drawn(spec, 100, 30)
    assert len(ids) == len(set(ids)) == 130
    assert Counter(int(name.split("-r")[1]) % 3 == 2 for name in ids) == {False: 100, True: 30}
    assert ids == drawn(spec, 100, 30)
    assert set(ids) != set(drawn(spec, 100, 30, seed=1))
    assert len({name.split("-")[0] for name in ids}) >= 6
    assert len(drawn(spec, None, None)) == 6000
    singles = sum(number % 3 != 2 for _ in range(30) for number in range(200))
    assert len(drawn(spec, 100_000, 5)) == singles + 5


def test_draw_every_document_has_the_same_chance(tmp_path: Path) -> None:
    files = {
        f"{file}.parquet": parquet_of([row(f"f{file}-r{n}") for n in range(10 * groups)], 10)
        for file, groups in enumerate((1, 3, 8))
    }
    spec = write_files(tmp_path, files)
    counts = Counter(name for seed in range(300) for name in drawn(spec, 30, 0, seed=seed))
    assert len(counts) == 120
    by_file = Counter(name.split("-")[0] for name in counts.elements())
    shares = [by_file[f"f{file}"] / (300 * 30) for file in range(3)]
    assert shares == pytest.approx([1 / 12, 3 / 12, 8 / 12], abs=0.03)
    assert 40 < min(counts.values()) <= max(counts.values()) < 115  # each is expected 75 times


DRAW = """
import sys
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.sources.open_source import open_source

source = open_source(sys.argv[1])
for item in draw_documents(source, Quota(int(sys.argv[2]), int(sys.argv[3])), 0):
    print(item.id)
"""


def test_draw_from_the_hub_reads_footers_and_the_row_groups_it_needs(
    tmp_path: Path, many_files: dict[str, bytes]
) -> None:
    with LocalHub() as hub:
        hub.put("org/corpus", many_files)
        said = program(hub, tmp_path, "-c", DRAW, "hub:org/corpus", "50", "25")
        assert said.returncode == 0, said.stderr[-2000:]
        whole = sum(map(len, many_files.values()))
        read = sum(size for _, size in hub.reads)
        assert len(hub.reads) < 120  # 30 footers, then a few of 300 row groups with their footers
        local = drawn(write_files(tmp_path / "copy", many_files), 50, 25)
        assert said.stdout.split() == local
        hub.reads.clear()
        said = program(hub, tmp_path, "-c", DRAW, "omnicorpus:hub:org/corpus@main:CC-1/1[0-4].parquet", "5", "5")
        assert said.returncode == 0, said.stderr[-2000:]
        assert {path for path, _ in hub.reads} <= {f"CC-1/{n}.parquet" for n in range(10, 15)}
    assert read < 0.35 * whole, (read, whole)


def test_build_from_the_hub_again_reads_no_row_group_twice(tmp_path: Path) -> None:
    def page(path: str, _: int) -> Page:
        return Page(image_bytes(int(path[1:-4])))

    with LocalHub() as hub, LocalWeb(page) as web:
        files = {}
        for file in range(5):
            rows = [row(f"f{file}-r{number}") for number in range(100)]
            for number, values in enumerate(rows):
                values["images"][0] = f"{web.url}/{100 * file + number}.png"
            files[f"{file}.parquet"] = parquet_of(rows, 50)
        hub.put("org/corpus", files)
        sampled = ["--source", "hub:org/corpus", "--single", "120", "--multi", "0", "--allow-loopback"]
        fixed = ["-m", "mmcr_dataset", "build", "--out", "set", "--writer", "offline", "--filter", "none"]
        first = program(hub, tmp_path, *fixed, *sampled)
        assert "120 in, 120 kept" in first.stderr
        asked, read = web.requests.copy(), len(hub.reads)
        hub.reads.clear()
        again = program(hub, tmp_path, *fixed, *sampled)
        assert "120 in, 120 kept" in again.stderr
        assert web.requests == asked
        assert len(hub.reads) <= 6 < read  # the footers, to know the order


def test_draw_lines_from_the_hub_are_read_in_few_requests(tmp_path: Path) -> None:
    lines = [
        {
            "url": filler(str(n)),
            "text_list": [TEXT],
            "image_info": [{"raw_url": f"http://a/{n}", "matched_text_index": 0}],
        }
        for n in range(300)
    ]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with LocalHub() as hub:
        hub.put("org/mmc4", {"a.jsonl": data, "b.jsonl.gz": gzip.compress(data)})
        said = program(hub, tmp_path, "-c", DRAW, "hub:org/mmc4", "500", "0")
        assert said.returncode == 0, said.stderr[-2000:]
        assert len(said.stdout.split()) == 500
        assert len(hub.reads) <= 6


def test_draw_from_the_hub_wrong_names_are_clear_errors(tmp_path: Path, many_files: dict[str, bytes]) -> None:
    with LocalHub() as hub:
        hub.put("org/corpus", {"README.md": b"# nothing"})
        flags = ["-m", "mmcr_dataset", "build", "--out", "set", "--writer", "offline", "--filter", "none", "--source"]
        for spec, words in (
            ("hub:org/other", "no such data set or revision"),
            ("hub:org/corpus@v9", "no such data set or revision"),
            ("hub:org/corpus", "no file that ends in .parquet"),
            ("hub:org", "expected hub:ORG/NAME"),
        ):
            said = program(hub, tmp_path, *flags, spec)
            assert said.returncode == 2
            assert words in said.stderr
            assert len(said.stderr.splitlines()) == 1, said.stderr


def test_draw_again_leaves_parts_out_that_are_done(tmp_path: Path, many_files: dict[str, bytes]) -> None:
    spec = write_files(tmp_path / "rows", many_files)
    notes = tmp_path / "drawn.jsonl"
    ids = drawn(spec, 100, 30, notes=notes)
    lines = notes.read_text().splitlines()
    assert len(lines) >= 6
    broken = json.loads(lines[0])["part"].partition("#")[0]
    (tmp_path / "rows" / broken).write_bytes(many_files[broken].replace(b"lighthouse", b"lighthousE"))
    notes.write_text("\n".join(lines) + '\n{"part": "half a li')
    assert drawn(spec, 100, 30, notes=notes, start=60) == ids[60:]


def test_draw_broken_and_screened_rows_are_passed_on_and_do_not_count(tmp_path: Path) -> None:
    rows = [row(f"r{n}", 1, politics_prob=n / 100) for n in range(100)]
    rows += [row("many", 7), row("none", 0), {"general_metadata": {"id": "odd"}, "images": None, "texts": ["a"]}]
    (tmp_path / "a.parquet").write_bytes(parquet_of(rows, 1000))
    screen = Screen(max_probability={"politics": 0.495})
    items = list(draw_documents(open_source(str(tmp_path)), Quota(20, 0), 3, screen))
    reasons = Counter(item.reason for item in items if isinstance(item, Removed))
    assert reasons == {"politics": 50, "too_many_images": 1, "no_image": 1, "null_columns": 1}
    assert sum(isinstance(item, Document) for item in items) == 20


def test_draw_reads_the_images_probabilities_and_nothing_else_of_them(tmp_path: Path) -> None:
    rows = [row(f"r{n}") | {"metadata": [{"unsafe_prob": n / 10, "p_hash": filler(str(n))}, None]} for n in range(10)]
    (tmp_path / "a.parquet").write_bytes(parquet_of(rows, 10))
    screen = Screen({"unsafe": 0.35})
    items = list(draw_documents(open_source(str(tmp_path)), Quota(None, None), 0, screen))
    assert [item.reason for item in items if isinstance(item, Removed)] == ["unsafe"] * 6
    assert [item.probabilities for item in items if isinstance(item, Document)] == [
        {"unsafe": n / 10} for n in range(4)
    ]


def probable(**values: float) -> Document:
    return Document("d", (ImageAt(url="http://a.example/1.jpg"), TEXT), probabilities=values)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (probable(), None),
        (probable(unsafe=0.5, toxic=0.1, fluency=0.3), None),
        (probable(unsafe=0.51), "unsafe"),
        (probable(toxic=0.2), "toxic"),
        (probable(fluency=0.29), "low_fluency"),
        (Document("d", ()), "no_image"),
        (Document("d", (ImageAt(url="http://a"), "Der alte Turm ist auf der Insel. " * 9)), "not_english"),
    ],
)
def test_screen_limits_are_inclusive_and_nulls_pass(document: Document, reason: str | None) -> None:
    screen = Screen({"unsafe": 0.5, "toxic": 0.1}, {"fluency": 0.3})
    removed = screen.reason_to_skip(document)
    assert (removed.reason if removed else None) == reason


def test_read_limits_names_the_piece_that_is_wrong() -> None:
    assert read_limits("--max_probability", "unsafe=0.5, toxic=1e-3,") == {"unsafe": 0.5, "toxic": 0.001}
    assert read_limits("--max_probability", "") == {}
    with pytest.raises(ValueError, match="--max_probability unsafe: expected NAME=NUMBER"):
        read_limits("--max_probability", "unsafe")
    with pytest.raises(ValueError, match=r"--max_probability spam=.*: expected one of advertisement"):
        Screen({"spam": 0.5})
    with pytest.raises(ValueError, match="expected a probability from 0 to 1"):
        Screen({"unsafe": 5})


def test_build_limit_on_what_the_source_does_not_measure_is_refused(tmp_path: Path) -> None:
    settings = BuildSettings(
        "demo", tmp_path / "set", WriterSettings("offline"), matcher="none", screen=Screen({"unsafe": 0.5})
    )
    with pytest.raises(ValueError, match="--source demo: has no score unsafe"):
        build(settings)


LANGUAGES = {
    "German": "Der alte Leuchtturm steht seit mehr als hundert Jahren auf der Insel und zeigt den Schiffen den Weg, "
    "auch wenn es in der Nacht stürmt.",
    "French": "Le vieux phare est depuis plus de cent ans sur la petite île et montre aux bateaux le chemin du port "
    "pendant la nuit.",
    "Spanish": "El viejo faro está desde hace más de cien años en la isla y muestra a los barcos el camino del puerto "
    "por la noche.",
    "Dutch": "De oude vuurtoren staat al meer dan honderd jaar op het eiland en wijst de schepen in de nacht de weg "
    "naar de haven.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_why_not_english_names_the_language(language: str) -> None:
    assert f"reads as {language}" in (reason_not_english(LANGUAGES[language]) or "")


@pytest.mark.parametrize(
    ("text", "english"),
    [
        (TEXT, True),
        ("", True),
        ("Canon EOS 5D, 50 mm, f/1.8", True),
        ("Musée d'Orsay, Paris", True),
        ("Старый маяк стоит на острове уже более ста лет.", False),
        ("这座古老的灯塔矗立在小岛上已有一百多年", False),
        ("منارة قديمة على جزيرة صغيرة في البحر", False),
        (TEXT + " The sign says «Старый маяк».", True),
        ("kivi talo vesi puu meri saari laiva yö tuuli aalto " * 5, False),
    ],
)
def test_why_not_english_short_texts_pass_other_scripts_do_not(text: str, english: bool) -> None:
    assert (reason_not_english(text) is None) == english


def test_why_not_english_real_documents_all_pass(corpus: Path) -> None:
    for item in open_source(str(corpus / "corpus.parquet")):
        assert isinstance(item, Document)
        assert reason_not_english("\n".join(b for b in item.blocks if isinstance(b, str))) is None, item.id
