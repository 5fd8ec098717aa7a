"""Existing conversation sets: every common form is taken as it is, and what can't be taken has its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.record.row import to_conversations
from tests.conftest import image_bytes


def told(*values: str, names: tuple[str, str] = ("human", "gpt")) -> list[dict[str, str]]:
    return [{"from": names[place % 2], "value": value} for place, value in enumerate(values)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four images, one file that is none."""
    folder = tmp_path / "images" / "coco"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(image_bytes(number))
    (folder / "bad.png").write_bytes(b"no image")
    (tmp_path / "secret.png").write_bytes(image_bytes(9))
    return tmp_path / "images"


def imported(tmp_path: Path, images: Path, records: list[Any], name: str = "set.json") -> list[Dialogue]:
    text = json.dumps(records) if name.endswith(".json") else "\n".join(map(json.dumps, records))
    (tmp_path / name).write_text(text)
    out = tmp_path / "imported"
    assert main(["import", str(tmp_path / name), "--images", str(images), "--out", str(out), "--licence", "CC0"]) == 0
    assert not [finding for finding in check_dataset(out) if finding.is_error]
    return sorted(load_dialogues(str(out)), key=lambda dialogue: len(dialogue.images))


FORMS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "llava": (
        {"id": "1", "image": "coco/0.png", "conversations": told("<image>\nWhat is it?", "A ramp.", "Why?", "It is.")},
        ["<image>\nWhat is it?", "A ramp.", "Why?", "It is."],
    ),
    "mmcr": (
        {
            "image": ["coco/0.png", "coco/1.png"],
            "conversations": told("Image_1: <image>\nHello?", "Image 1 it is.", "Image_2: <image>\nAnd?", "Image 2."),
        },
        ["Image_1: <image>\nHello?", "Image 1 it is.", "Image_2: <image>\nAnd?", "Image 2."],
    ),
    "mmdu": (
        {
            "image": ["coco/0.png", "coco/1.png"],
            "conversations": told(
                "Image-1: <ImageHere>;\nImage-2: <ImageHere>; ?", "Yes.", names=("user", "assistant")
            ),
        },
        ["Image-1: <image>;\nImage-2: <image>; ?", "Yes."],
    ),
    "sharegpt": (
        {
            "images": ["coco/2.png"],
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?\n  code()"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "A <b>ramp</b>."}]},
            ],
        },
        ["<image>What?\n  code()", "A <b>ramp</b>."],
    ),
    "paths": (
        {"images": [{"path": "coco/0.png"}, {"path": "coco/3.png"}], "conversations": told("<image><image>?", "Yes.")},
        ["<image><image>?", "Yes."],
    ),
    "text only": ({"conversations": told("Hello?", "Hello.")}, ["Hello?", "Hello."]),
    "wrong label": (
        {"image": "coco/0.png", "conversations": told("Image_3: <image>\nHm <|im_end|>?", "Yes.")},
        ["Image 3: <image>\nHm ‹¦im_end¦›?", "Yes."],
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["set.json", "set.jsonl"])
def test_import_takes_each_form_as_it_is(form: str, name: str, images: Path, tmp_path: Path) -> None:
    record, expected = FORMS[form]
    (dialogue,) = imported(tmp_path, images, [record], name)
    assert [entry["value"] for entry in to_conversations(dialogue)] == expected
    assert dialogue.generation.writer == "import"
    assert dialogue.source.licence == "CC0"
    assert all(image.phash for image in dialogue.images)


GOOD = FORMS["llava"][0]
REFUSED: dict[str, Any] = {
    "marks_and_images_differ": GOOD | {"image": ["coco/0.png", "coco/1.png"]},
    "missing_image": GOOD | {"image": "coco/" + "none" * 100 + ".png"},  # longer than a name of a file may be
    "image_outside": GOOD | {"image": "../secret.png"},
    "not_an_image": GOOD | {"image": "coco/bad.png"},
    "alternation": GOOD | {"conversations": told("<image>\nWhat?")},
    "image_in_answer": GOOD | {"conversations": told("What?", "This: <image>")},
    "system_message": GOOD | {"conversations": [{"from": "system", "value": "Be kind."}]},
    "unknown_role": GOOD | {"conversations": [{"from": "tool", "value": "x"}]},
    "unknown_entry": GOOD | {"conversations": ["What?"]},
    "unknown_block": {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
    "no_text": {"messages": [{"role": "user", "content": None}]},
    "no_conversation": {"image": "coco/0.png"},
    "blank_text": GOOD | {"conversations": told("<image>", "A ramp.")},
    "no_image_mark": GOOD | {"conversations": told("What is it?", "A ramp.")},
    "video": {"video": "a.mp4", "conversations": told("<video>\nWhat happens?", "A kite flies.")},
    "not_an_object": ["no record"],
    "repeated_record": GOOD | {"id": "again"},
}


def test_import_refuses_by_name_counts_and_keeps_the_rest(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = imported(tmp_path, images, [GOOD, *REFUSED.values()])
    assert len(kept) == 1
    said = capsys.readouterr().out
    assert f"{len(REFUSED) + 1} in, 1 kept" in said
    for reason in REFUSED:
        (row,) = [json.loads(line) for line in (tmp_path / "imported.work/1_removed" / f"{reason}.jsonl").open()]
        assert row["reason"] == reason
        assert f"1 {reason}" in said
    card = (tmp_path / "imported" / "README.md").read_text()
    assert card.startswith("---\npretty_name: imported\n")
    assert "Imported from an existing conversation set" in card
    assert '"single", split="train")  # 1 image, 2 turns' in card
    assert "multi = load_dataset" not in card, "there is no such configuration"
    assert "Made after the recipe" not in card


def test_import_says_which_line_is_bad_and_goes_on(images: Path, tmp_path: Path) -> None:
    good = json.dumps(GOOD).encode()
    lines = [good, b'{"id": ', b"\xff\xfe", b"[1]", b"", b"[" * 100_000, b"NaN"]
    (tmp_path / "set.jsonl").write_bytes(b"\n".join(lines))
    out = tmp_path / "imported"
    assert main(["import", str(tmp_path / "set.jsonl"), "--images", str(images), "--output_dir", str(out)]) == 0
    assert len(list(load_dialogues(str(out)))) == 1
    folder = tmp_path / "imported.work/1_removed"
    found = [json.loads(line)["detail"] for path in sorted(folder.glob("*.jsonl")) for line in path.open()]
    assert sorted(detail.split(":")[0] for detail in found) == ["line 2", "line 3", "line 4", "line 6", "line 7"]


def test_import_bad_files_are_named(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"b": 2}\n')
    (tmp_path / "dict.json").write_text('{"a": 1}')
    (tmp_path / "none.json").write_text('[{"image": "coco/0.png"}]')
    (tmp_path / "utf16.jsonl").write_bytes('{"image": "coco/0.png"}\n'.encode("utf-16"))
    (tmp_path / "empty.jsonl").write_bytes(b"\r\n\n")
    for name, expected in [
        ("missing.json", "no such file"),
        ("lines.json", "JSON Lines file must end in .jsonl"),
        ("dict.json", "expected a list of objects"),
        ("none.json", "none of 1 records is a dialogue"),
        ("utf16.jsonl", "is UTF-16; write it as UTF-8"),
        ("empty.jsonl", "holds no record"),
    ]:
        assert main(["import", str(tmp_path / name), "--images", str(images), "--out", str(tmp_path / "o")]) == 2
        assert expected in capsys.readouterr().err
        assert not (tmp_path / "o").exists()
    assert main(["import", str(tmp_path / "none.json"), "--images", str(tmp_path / "no"), "--out", "o"]) == 2
    assert main(["import", str(tmp_path / "none.json"), "--images", str(images), "--out", str(images)]) == 2
    assert "is there already" in capsys.readouterr().err
