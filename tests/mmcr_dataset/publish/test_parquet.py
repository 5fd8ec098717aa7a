"""Shards, takedown, card and statistics: only what must change changes, and the card always tells the rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from mmcr_dataset.__main__ import main
from mmcr_dataset.publish import spill
from mmcr_dataset.publish.card import refresh_card, write_card
from mmcr_dataset.publish.describe import IMAGE_TOKENS, count_tokens, describe, show_histogram, write_statistics
from mmcr_dataset.publish.image_tokens import COUNTS
from mmcr_dataset.publish.parquet import ROWS_A_GROUP, ShardWriter, shard_of, write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Generation, Source
from mmcr_dataset.record.images import open_image
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.takedowns import private_log, redact_log


@pytest.fixture
def dialogues(make_dialogue: Callable[..., Dialogue]) -> list[Dialogue]:
    """Ten dialogues with ids as the pipeline gives them."""
    return [
        replace(
            make_dialogue(num_images=1 + seed % 2, num_turns=4 + 4 * (seed % 2), seed=seed),
            id=f"{seed:032x}",
            source=Source(f"https://page.example/{seed}", "CC0-1.0"),
            generation=Generation(writer="openai", model="m-2026"),
        )
        for seed in range(10)
    ]


@pytest.fixture
def dataset(dialogues: list[Dialogue], tmp_path: Path) -> Path:
    """A published folder of the ten."""
    folder = tmp_path / "set"
    write_dataset(dialogues, folder)
    write_statistics(folder, describe(folder))
    write_card(folder, "set")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def test_write_dataset_any_order_gives_the_same_bytes(dialogues: list[Dialogue], tmp_path: Path) -> None:
    write_dataset(dialogues, tmp_path / "a", size_bytes=900_000_000)
    write_dataset(reversed(dialogues), tmp_path / "b", size_bytes=900_000_000)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(files(tmp_path / "a")) == 6
    for name in files(tmp_path / "a"):
        ids = pq.read_table(tmp_path / "a" / name, columns=["id"])["id"].to_pylist()
        assert ids == sorted(ids)
        assert {shard_of(row_id, 3) for row_id in ids} == {int(name.split("-")[1])}


def test_shard_writer_spilled_rows_give_the_same_bytes(
    dialogues: list[Dialogue], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(dialogues, tmp_path / "a")
    monkeypatch.setattr(spill, "BUFFER_BYTES", 20_000)
    monkeypatch.setattr(spill, "_BATCH_ROWS", 3)
    write_dataset(dialogues, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert not list(tmp_path.rglob(".unfinished*"))


def test_shard_writer_rows_stand_in_groups_with_a_page_index(
    make_dialogue: Callable[..., Dialogue], tmp_path: Path
) -> None:
    with ShardWriter(tmp_path) as writer:
        for number in range(ROWS_A_GROUP + 20):
            writer.add(replace(make_dialogue(), id=f"{number:032x}"))
    metadata = pq.read_metadata(tmp_path / "train-00000-of-00001.parquet")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [ROWS_A_GROUP, 20]
    image = metadata.row_group(0).column(1)
    assert image.path_in_schema == "images.list.element.bytes"
    assert image.compression == "UNCOMPRESSED"
    assert image.has_offset_index


def test_write_dataset_failure_leaves_no_shard(dialogues: list[Dialogue], tmp_path: Path) -> None:
    def failing() -> object:
        yield from dialogues[:3]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        write_dataset(failing(), tmp_path / "set")  # type: ignore[arg-type]
    assert files(tmp_path) == {}


def test_remove_ids_only_the_shard_concerned_changes(dataset: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    before = files(dataset)
    (tmp_path / "ids.txt").write_text(f"{3:032x}\n{99:032x}\n")
    assert load_dataset(str(dataset), split="train").num_rows == 10
    assert main(["remove", str(dataset), "--ids", str(tmp_path / "ids.txt"), "--reason", "owner asked"]) == 0
    after = files(dataset)
    assert [name for name in before if before[name] != after[name]] == ["multi/train-00000-of-00001.parquet"]
    entry = json.loads((dataset / "removed.jsonl").read_text())
    assert entry == {"id": f"{3:032x}", "reason": "taken down"}  # who asks to be taken out is not named for it
    private = private_log(dataset)
    absent, kept = (json.loads(line) for line in private.read_text().splitlines())
    assert absent["id"] == f"{99:032x}"  # not in the set: left out of later builds
    assert (kept["reason"], kept["source"]["document_url"]) == ("owner asked", "https://page.example/3")
    assert private.stat().st_mode & 0o077 == 0
    assert load_dataset(str(dataset), split="train").num_rows == 9
    assert "| dialogues | 5 | 210,000 | 4 | 100,000 |" in (dataset / "README.md").read_text()
    assert "1 rows (1 taken down); ids and reasons" in (dataset / "README.md").read_text()


def test_remove_by_address_takes_document_and_image_addresses(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["remove", str(dataset), "--url-pattern", r"page\.example/[45]$"]) == 0
    assert "2 rows removed" in capsys.readouterr().out
    assert sum(1 for _ in load_dialogues(str(dataset))) == 8
    told = [path.name for path in dataset.iterdir() if path.is_file() and "page.example" in path.read_text()]
    assert not told, "no published file beside the shards tells an address"


def test_log_of_an_older_version_is_redacted(dataset: Path) -> None:
    entry = {"id": "a", "reason": "owner asked: address https://page.example/a", "source": {"document_url": "b"}}
    (dataset / "removed.jsonl").write_text(json.dumps(entry) + "\n")
    redact_log(dataset)
    assert json.loads((dataset / "removed.jsonl").read_text()) == {"id": "a", "reason": "taken down"}
    assert json.loads(private_log(dataset).read_text()) == entry


def test_foreign_text_stays_text_on_the_card(tmp_path: Path, make_dialogue: Callable[..., Dialogue]) -> None:
    bad = (
        "CC0\r\n\n# Log in\u2028![](https://t.example/a.gif) [x](https://p.example) <img src=x> | `y` http://z.example"
    )
    rows = [
        replace(
            make_dialogue(1, 4, seed=n), id=f"{n:032x}", source=Source(licence=bad), generation=Generation("m", bad)
        )
        for n in range(2)
    ]
    folder = tmp_path / "set"
    write_dataset(rows, folder)
    refresh_card(folder, 'x"\nlicense: mit\n---\n# Title [y](z)')
    card = (folder / "README.md").read_text()
    head = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert head["license"] == "other"
    assert head["pretty_name"].startswith('x" license: mit')
    body = re.sub(r"`[^`\n]*`", "", card.split("\n---\n", 1)[1])
    assert not re.search(r"^# Log|!\[|[^\\]\]\(https|<img|http://z", body, re.M)


def test_remove_whole_configuration_leaves_a_set_that_loads(dataset: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    (tmp_path / "ids.txt").write_text("\n".join(f"{n:032x}" for n in range(1, 10, 2)))
    assert main(["remove", str(dataset), "--ids", str(tmp_path / "ids.txt")]) == 0
    assert load_dataset(str(dataset), split="train").num_rows == 5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "give either --ids FILE or --url_pattern P"),
        (["--url-pattern", "("], "not a regular expression"),
        (["--url-pattern", "page"], "would leave none"),
        (["--ids", "no-such-file"], "No such file"),
    ],
)
def test_remove_wrong_input_changes_nothing(
    flags: list[str], said: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(dataset)
    assert main(["remove", str(dataset), *flags]) == 2
    assert said in capsys.readouterr().err
    assert files(dataset) == before


def test_describe_counts_table_1(dialogues: list[Dialogue], dataset: Path) -> None:
    numbers = describe(dataset)
    assert (numbers["single"].num_rows, numbers["multi"].num_rows) == (5, 5)
    assert (numbers["single"].num_images, numbers["multi"].num_images) == (5, 10)
    assert (numbers["single"].num_pairs, numbers["multi"].num_pairs) == (20, 40)
    assert numbers["multi"].turns == {"8": 5}
    assert numbers["single"].writers == {"openai m-2026": 5}
    first = dialogues[0]
    words = sum(
        count_tokens("".join(b for b in t.human if isinstance(b, str))) + count_tokens(t.assistant) for t in first.turns
    )
    lengths = [edge for edge in numbers["single"].tokens_edges if edge]
    assert min(lengths) <= words + IMAGE_TOKENS <= max(lengths)
    assert sum(numbers["single"].tokens_counts) == 5
    assert len(show_histogram(numbers["single"]).splitlines()) == 20


def test_describe_tokenizer_file_counts_instead(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    letters.save(str(tmp_path / "tokenizer.json"))
    assert main(["describe", str(dataset), "--tokenizer", str(tmp_path / "tokenizer.json")]) == 0
    letters_said = capsys.readouterr().out
    assert main(["describe", str(dataset)]) == 0
    assert letters_said != capsys.readouterr().out
    assert main(["describe", str(dataset), "--tokenizer", "nothing.json"]) == 2
    assert "expected a tokenizer.json" in capsys.readouterr().err


@pytest.mark.parametrize("family", ["ovis2", "qwen2_5_vl"])
def test_describe_counts_images_as_a_family_does(
    family: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"x": 0}, unk_token="x")).save(str(tmp_path / "tokenizer.json"))
    flags = ["--tokenizer", str(tmp_path / "tokenizer.json"), "--count_as", family]
    assert main(["describe", str(dataset), *flags]) == 0
    capsys.readouterr()
    counted = describe(dataset, lambda text: 0, COUNTS[family])
    images = {
        name: [[open_image(image.data).size for image in row.images] for row in load_dialogues(str(dataset), name)]
        for name in ("single", "multi")
    }
    for name, sizes in images.items():
        assert counted[name].tokens_max == max(map(COUNTS[family], sizes))
    assert main(["describe", str(dataset), *flags[2:]]) == 2
    assert "--tokenizer" in capsys.readouterr().err


def test_describe_empty_folder_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(tmp_path)]) == 2
    assert "python -m mmcr_dataset build" in capsys.readouterr().err


def test_card_is_valid_yaml_with_one_default_configuration(dataset: Path) -> None:
    from huggingface_hub import DatasetCard

    data = DatasetCard.load(dataset / "README.md").data.to_dict()
    assert [config["config_name"] for config in data["configs"]] == ["default", "single", "multi"]
    assert [config.get("default", False) for config in data["configs"]] == [True, False, False]
    assert data["size_categories"] == ["n<1K"]
    text = (dataset / "README.md").read_text()
    assert "CC0-1.0" in text
    assert "`openai m-2026`" in text
    assert "$" not in text.replace("$name", "")


@pytest.mark.parametrize("form", ["{:032x}", "doc-{:08d}", "{}"])
@pytest.mark.parametrize("num_shards", [8, 16, 100, 256])
def test_shards_are_even_whatever_the_ids_look_like(form: str, num_shards: int) -> None:
    rows = Counter(shard_of(form.format(number), num_shards) for number in range(200 * num_shards))
    assert len(rows) == num_shards
    assert max(rows.values()) < 1.5 * 200
