"""Near-duplicates within a data set and images shared with evaluation sets: found, shown, removed, counted."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmcr_dataset.__main__ import main
from mmcr_dataset.filters.dedup import ImageIndex
from mmcr_dataset.filters.image_sets import read_images
from mmcr_dataset.filters.near_pairs import BITS_MAX
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from mmcr_dataset.record.images import decode_rgb, hash_distance, perceptual_hash
from mmcr_dataset.record.load import read_shards
from tests.conftest import image_bytes


def smaller_jpeg(data: bytes, quality: int = 60) -> bytes:
    """The same image as a benchmark would hold it: resized and saved again."""
    image = decode_rgb(data)
    buffer = io.BytesIO()
    image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def photo(seed: int) -> bytes:
    """An image whose hash is its own: blobs at places that the seed draws."""
    rng = random.Random(seed)
    small = Image.new("RGB", (6, 6))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(36)])
    buffer = io.BytesIO()
    small.resize((160, 120), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def dataset(make_dialogue: Callable[..., Dialogue], tmp_path: Path) -> Path:
    """Six dialogues; the last two show again what the first (one image) and the second (two images) show."""
    dialogues = []
    for seed in range(4):
        dialogue = make_dialogue(num_images=1 + seed % 2, num_turns=4 + 4 * (seed % 2), seed=seed)
        images = tuple(
            DialogueImage(photo(10 * seed + n), phash=perceptual_hash(decode_rgb(photo(10 * seed + n))))
            for n in range(len(dialogue.images))
        )
        dialogues.append(replace(dialogue, id=f"{seed:032x}", images=images))
    again = [
        replace(
            dialogues[seed],
            id=f"{seed + 8:032x}",
            images=tuple(DialogueImage(smaller_jpeg(p.data)) for p in reversed(dialogues[seed].images)),
        )
        for seed in range(2)
    ]
    write_dataset([*dialogues, *again], tmp_path / "set")
    (tmp_path / "set" / "funnel.json").write_text("[]")
    return tmp_path / "set"


def ids(folder: Path) -> list[int]:
    return sorted(int(i, 16) for _, table in read_shards(folder, ["id"]) for i in table["id"].to_pylist())


@pytest.mark.parametrize("bits", [0, 3, 6, BITS_MAX])
def test_image_index_finds_what_comparing_with_all_finds(bits: int) -> None:
    rng = random.Random(bits)
    known = [rng.getrandbits(64) for _ in range(300)]
    index: ImageIndex[int] = ImageIndex(bits)
    for number, value in enumerate(known):
        index.add(f"{value:016x}", number)
    num_found = 0
    for _ in range(400):
        asked = rng.choice(known)
        for bit in rng.sample(range(64), rng.randrange(10)):
            asked ^= 1 << bit
        distance = min((asked ^ value).bit_count() for value in known)
        seen = index.find(f"{asked:016x}")
        assert (seen is not None) == (distance <= bits)
        if seen is not None:
            num_found += 1
            assert seen.num_bits == distance == hash_distance(seen.phash, f"{asked:016x}")
            assert known[seen.name] == int(seen.phash, 16)
    assert num_found


@pytest.mark.parametrize("bits", [-1, BITS_MAX + 1])
def test_image_index_reach_that_could_miss_is_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="--bits"):
        ImageIndex(bits)


def test_overlap_with_itself_finds_near_duplicates_in_any_order(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["overlap", str(dataset)]) == 1
    said = capsys.readouterr().out
    assert f"{8:032x}" in said
    assert f"{9:032x}" in said
    assert "2 dialogues share images" in said
    assert main(["overlap", str(dataset), "--remove"]) == 0
    assert ids(dataset) == [0, 1, 2, 3]
    assert main(["overlap", str(dataset)]) == 0
    assert '"repeated images"' in (dataset / "removed.jsonl").read_text()


def write_tsv(path: Path, images: list[bytes]) -> None:
    lines = ["index\tquestion\timage"]
    lines += [f"{n}\tWhat?\t{base64.b64encode(data).decode()}" for n, data in enumerate(images)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def write_parquet(path: Path, images: list[bytes]) -> None:
    cells = [[{"bytes": data, "path": None}] for data in images]
    pq.write_table(pa.table({"question": ["What?"] * len(cells), "images": cells}), path)


def write_folder(path: Path, images: list[bytes]) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("not an image")
    for number, data in enumerate(images):
        (path / f"{number}.jpg").write_bytes(data)


@pytest.mark.parametrize(
    ("name", "write", "named"),
    [
        ("MMStar.tsv", write_tsv, "MMStar.tsv 1"),
        ("test.parquet", write_parquet, "test.parquet row 1"),
        ("images", write_folder, "1.jpg"),
    ],
)
def test_overlap_with_an_evaluation_set_in_every_form(
    name: str,
    write: Callable[[Path, list[bytes]], None],
    named: str,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / name, [smaller_jpeg(photo(500)), smaller_jpeg(photo(20)), b"\xff\xd8\xff broken" * 9])
    page = tmp_path / "overlap.html"
    assert main(["overlap", str(dataset), "--with", str(tmp_path / name), "--html", str(page)]) == 1
    said = capsys.readouterr().out
    assert f"{name}: 3 images, 1 of them unreadable; 1 dialogues show one of them" in said
    assert f"{2:032x}, {name}: image 1 is {named} (" in said
    assert page.read_text().count("<img") == 2
    assert main(["overlap", str(dataset), "--with", str(tmp_path / name), "--remove"]) == 0
    assert ids(dataset) == [0, 1, 3, 8, 9]
    assert f'"overlap with {name}"' in (dataset / "removed.jsonl").read_text()
    assert main(["overlap", str(dataset), "--with", str(tmp_path / name)]) == 0


def test_overlap_bad_sets_are_named(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    write_folder(tmp_path / "broken", [b"\xff\xd8\xff broken" * 9])
    (tmp_path / "deep").mkdir()
    write_folder(tmp_path / "deep" / "broken", [photo(1)])
    for sets, expected in [
        (["missing"], "no such file"),
        (["empty"], "no image found"),
        (["a.parquet"], "not a readable Parquet"),
        (["broken"], "none of the 1 images can be decoded"),
        (["broken", "deep/broken"], "two evaluation sets have the name 'broken'"),
    ]:
        assert main(["overlap", str(dataset), "--with", *(str(tmp_path / s) for s in sets)]) == 2
        assert expected in capsys.readouterr().err


def test_tsv_cell_that_lists_images_gives_each_a_name(tmp_path: Path) -> None:
    both = [base64.b64encode(image_bytes(seed)).decode() for seed in (1, 2)]
    (tmp_path / "m.tsv").write_text(f"index\timage\tlong\n7\t{both!r}\t{'a' * 90}\n")
    found = list(read_images(tmp_path / "m.tsv"))
    assert [p.name for p in found] == ["m.tsv 7", "m.tsv 7 #2"]
    assert [p.data for p in found] == [image_bytes(1), image_bytes(2)]
