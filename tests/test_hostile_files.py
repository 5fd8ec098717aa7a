"""Files made to use up time or memory, or to steer the terminal: each ends in one line, within its limit."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from eval_tasks.rows import table_files, xlsx
from eval_tasks.rows.table_files import load_json, read_table, to_list
from mmcr_dataset.__main__ import main
from mmcr_dataset.collect.sources.tar_shards import open_tar_shards
from mmcr_dataset.publish.describe import load_token_counter
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record import parquet_memory
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageError, check_image, reencode, to_data_url
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.record.plain_output import PlainOutput, visible
from mmcr_dataset.record.plain_text import figure_text
from mmcr_dataset.record.trial import try_out
from tests.conftest import image_bytes


def refused(read: Callable[[], object], limit_s: float = 20.0) -> str:
    """The one line that a reading ends in."""
    start = time.process_time()
    with pytest.raises(ValueError, match=r"\w") as error:
        read()
    assert time.process_time() - start < limit_s
    return " ".join(str(error.value).split())


def rows(path: Path) -> Callable[[], object]:
    return lambda: list(read_table(path))


def change_member(book: Path, name: str, data: bytes) -> None:
    """An XLSX file with one member replaced or added."""
    with zipfile.ZipFile(book) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(book, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, old in (members | {name: data}).items():
            archive.writestr(member, data if member == name else old)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    made = openpyxl.Workbook()
    made.active.append(["index", "prediction"])
    made.active.append([1, "A dog"])
    made.save(tmp_path / "book.xlsx")
    return tmp_path / "book.xlsx"


def test_xlsx_shared_strings_that_unpack_to_much_are_refused(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(read_table(book)) == [{"index": 1, "prediction": "A dog"}]
    change_member(book, "xl/sharedStrings.xml", b"<sst>" + b" " * 250_000_000)
    assert book.stat().st_size < 1_000_000
    assert "of them shared strings" in refused(rows(book))
    monkeypatch.setattr(xlsx, "_UNPACKED_BYTES_MAX", 1000)
    assert "unpacks to" in refused(rows(book))


def test_xlsx_with_entities_empty_rows_or_broken_xml_ends_in_one_line(book: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "lol"}">' for n in range(12))
    declared = f'<?xml version="1.0"?><!DOCTYPE worksheet [{entities}]>'
    sheet = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>%s</sheetData></worksheet>'
    head = b'<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
    far = head + b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    change_member(book, "xl/worksheets/sheet1.xml", sheet % far)
    assert "empty rows" in refused(rows(book), limit_s=60.0)
    change_member(book, "xl/worksheets/sheet1.xml", declared.encode() + sheet % head.replace(b"<t>a", b"<t>&e11;"))
    assert "not an XLSX file" in refused(rows(book))
    change_member(book, "xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row")
    assert "not an XLSX file" in refused(rows(book))


def test_deep_json_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deep = "[" * 200_000
    for name, text in {"a.json": deep, "a.jsonl": f'{{"a": {deep}\n', "b.json": f'{{"a":{deep}'}.items():
        (tmp_path / name).write_text(text)
        assert "nested too deeply" in refused(rows(tmp_path / name))
    assert "nested too deeply" in refused(lambda: load_json(tmp_path / "a.json"))
    assert "can't be parsed" in refused(lambda: to_list(deep, "cell"))
    (tmp_path / "images").mkdir()
    words = ["import", str(tmp_path / "a.json"), "--images", str(tmp_path / "images"), "--out", str(tmp_path / "set")]
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_huge_cells_and_lines_end_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "CELL_CHARACTERS_MAX", 1000)
    (tmp_path / "a.tsv").write_text('index\timage\n1\t"' + "x" * 5000)
    assert "field larger than field limit" in refused(rows(tmp_path / "a.tsv"))
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": "x" * 5000}))
    assert "line 1: longer than" in refused(rows(tmp_path / "a.jsonl"))


def test_parquet_of_one_large_value_many_times_is_read_in_small_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_memory, "_BATCH_BYTES_MAX", 600_000)
    value = bytes(range(256)) * 1000
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([value]))
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet", dictionary_pagesize_limit=1 << 30)
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert rows_a_batch(file, 64) == 2  # 256 kB a row
    pq.write_table(pa.table({"text": ["a", "b"] * 1000}), tmp_path / "b.parquet")
    with pq.ParquetFile(tmp_path / "b.parquet") as file:
        assert rows_a_batch(file, 64) == 64


def test_damaged_parquet_page_ends_in_one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [f"words {n}" for n in range(1000)]}), tmp_path / "a.parquet")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[20:400] = b"\xff" * 380
    (tmp_path / "a.parquet").write_bytes(data)
    refused(rows(tmp_path / "a.parquet"))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_tar_with_a_huge_extended_header_is_not_read_into_memory(kind: bytes, tmp_path: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = kind, (8 << 30) - 512
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(9 << 30)  # a hole: no block of the disk is used
    from mmcr_dataset.collect.sources.locations import list_files

    source = open_tar_shards(list_files(str(tmp_path / "a.tar"), (".tar",)))
    assert "extended header" in refused(lambda: list(source))


def test_chat_template_that_loops_or_grows_ends_in_one_line() -> None:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def render(template: str) -> Callable[[], str]:
        return lambda: ImmutableSandboxedEnvironment().from_string(template).render()

    try_out(render("{{ 'a' * 10 }}"), "the template")
    try_out(render("{{ 1 / 0 }}"), "the template")  # the real call says so
    loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    assert "more than 1 s" in refused(lambda: try_out(render(loops), "the template", seconds=1.0))
    assert "more than 2 GB" in refused(lambda: try_out(render("{{ 'a' * 10 ** 10 }}"), "the template"))


def test_gif_of_many_frames_and_tiff_in_a_circle_are_read_at_the_first_frame() -> None:
    frames = [Image.open(io.BytesIO(image_bytes(number))).quantize(16) for number in range(3)]
    gif = io.BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:] * 500)
    tiff = io.BytesIO()
    Image.open(io.BytesIO(image_bytes(1))).save(tiff, "TIFF")
    circle = bytearray(tiff.getvalue())
    first = struct.unpack("<I", circle[4:8])[0]
    num_tags = struct.unpack("<H", circle[first : first + 2])[0]
    circle[first + 2 + 12 * num_tags :][:4] = struct.pack("<I", first)
    circle[first + 2 + 12 * num_tags : first + 6 + 12 * num_tags] = struct.pack("<I", first)
    for data in (gif.getvalue(), bytes(circle)):
        start = time.process_time()
        for read in (check_image, reencode, lambda data: to_data_url(data, 64)):
            with contextlib.suppress(ImageError):
                read(data)
        assert time.process_time() - start < 5


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_odd_exif_is_an_image_or_a_named_reason(orientation: int) -> None:
    image, out = Image.open(io.BytesIO(image_bytes(1))), io.BytesIO()
    exif = image.getexif()
    exif[0x0112] = orientation
    exif[0x010E] = "x" * 60_000
    image.save(out, "JPEG", exif=exif)
    data = bytearray(out.getvalue())
    assert check_image(bytes(data)).size == image.size
    data[40:60] = b"\xff" * 20  # offsets that point nowhere
    with contextlib.suppress(ImageError):
        check_image(bytes(data))


@pytest.mark.parametrize("text", ["", "[" * 100_000, '{"version": "1.0", "model": {"type": "BPE"}}', "\0"])
def test_tokenizer_file_of_any_content_ends_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    assert "not a tokenizer.json" in refused(lambda: load_token_counter(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize("text", ["$x^{$", r"$\frac{a}{b}$", "5 $ and 6 $", "$" * 99, r"\$", "\x1b[2J$a$"])
def test_dollar_signs_are_no_formula_in_a_figure(text: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    figure.add_subplot().set_title(figure_text(text))
    figure.savefig(io.BytesIO(), format="png")


def test_foreign_text_steers_no_terminal(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue], capsys: pytest.CaptureFixture[str]
) -> None:
    assert visible("a\x1b[2J\x9b31m\tb\n\u202ec\r") == "a\\x1b[2J\\x9b31m\tb\n\\x202ec\\x0d"
    with contextlib.redirect_stdout(PlainOutput(sys.stdout)):
        print("x\x1b]0;title\x07", "y", sep="\x1b")
    assert "\x1b" not in capsys.readouterr().out
    write_dataset([make_dialogue(seed=n) for n in range(2)], tmp_path / "set")
    (tmp_path / "ids").write_text("\x1b[31mred\x1b[0m\n")
    assert main(["remove", str(tmp_path / "set"), "--ids", str(tmp_path / "ids")]) == 1
    assert main(["check", str(tmp_path / "no\x1b[31mset")]) in (1, 2)
    said = capsys.readouterr()
    assert "\\x1b[31mred" in said.out
    assert "\x1b" not in said.out + said.err
