"""Documents that need not be paid for: each with its reason, by ranks as here, and only changed shards again."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from mmcr_dataset.collect.candidates import CandidateWriter
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.filters import prescreen as under_test
from mmcr_dataset.filters.contamination import Against, SetIndex
from mmcr_dataset.filters.dedup import ImageIndex
from mmcr_dataset.filters.prescreen import prescreen
from mmcr_dataset.record.dialogue import DialogueImage, Source
from mmcr_dataset.stage.checks import Checks
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.shard_job import DoShards
from mmcr_dataset.stage.stages import Stage
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import SCREENED

HERE = EngineSettings()


def write_shard(work: Path, number: int, documents: Iterable[tuple[str, list[int], str]]) -> None:
    """A shard of candidates. Args: documents: id, perceptual hashes and text of each."""
    writer = CandidateWriter(Stage.begin(work, "collect", {}).shard(number, "parquet"))
    for row_id, phashes, text in documents:
        images = tuple(DialogueImage(b"x", f"http://a/{row_id}", phash=f"{value:016x}") for value in phashes)
        writer.add(Candidate(row_id, (0, text), images, Source(f"http://a/{row_id}", "cc", "")))
    writer.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    far = [(0x1111_1111_1111_1111 * number) ^ (0x00FF << (8 * (number % 6))) for number in range(12)]
    write_shard(
        tmp_path, 0, [("a", [far[1]], "A field."), ("b", [far[2], far[3]], "Two."), ("c", [far[4]], "bad \ufffd")]
    )
    write_shard(
        tmp_path, 1, [("d", [far[3] ^ 1, far[2] ^ 6], "Again."), ("e", [far[4]], "Good."), ("f", [far[5]], "Seen.")]
    )
    write_shard(tmp_path, 3, [("g", [far[2]], "One of two."), ("h", [far[1]], "A copy."), ("i", [far[6]], "Gone.")])
    return tmp_path


@pytest.fixture
def against(work: Path) -> Against:
    index: ImageIndex[str] = ImageIndex()
    index.add(f"{(0x5555_5555_5555_5555 ^ (0x00FF << 40)) ^ 7:016x}", "7.png")
    return Against(
        [SetIndex("bench", index, 1, 0)],
        Takedowns(
            [{"id": "x", "source": {"document_url": "http://a/i", "picture_urls": ["http://a/i"]}, "reason": "asked"}]
        ),
    )


def reasons_of(work: Path) -> dict[int, dict[int, tuple[str, str]]]:
    return {number: found for number in range(4) if (found := Checks(work / SCREENED).reasons(number))}


def test_each_document_with_its_reason(work: Path, against: Against) -> None:
    assert prescreen(work, against, HERE)
    assert reasons_of(work) == {
        0: {2: ("unclear_text", "the document's text has replacement characters or mojibake")},
        1: {0: ("repeated_images", "b shows the same images"), 2: ("in_evaluation_set", "image 1 is 7.png of bench")},
        3: {1: ("repeated_images", "a shows the same images"), 2: ("taken_out", "asked")},
    }


def test_ranks_find_the_same(work: Path, against: Against, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "SHARDS_OF_RANKS", 0)
    other = tmp_path / "other"
    shutil.copytree(work / "1_candidates", other / "1_candidates")
    assert prescreen(work, against, HERE)
    assert prescreen(other, against, EngineSettings("datatrove-local", 2))
    files = {path.name: path.read_bytes() for path in (work / SCREENED).iterdir()}
    assert {path.name: path.read_bytes() for path in (other / SCREENED).iterdir()} == files
    assert len(files) == 3 * 2 + 2


def test_only_changed_shards_are_screened_again(work: Path, against: Against, monkeypatch: pytest.MonkeyPatch) -> None:
    assert prescreen(work, against, HERE)
    before, screened = reasons_of(work), list[list[int]]()
    done = under_test.run_shards

    def run(name: str, do_shards: DoShards, todo: list[int], folder: Path, engine: EngineSettings) -> bool:
        screened.append(todo)
        return done(name, do_shards, todo, folder, engine)

    monkeypatch.setattr(under_test, "run_shards", run)
    assert prescreen(work, against, HERE)
    assert reasons_of(work) == before
    write_shard(work, 0, [("z", [1], "Another field.")])
    assert prescreen(work, against, HERE)
    assert reasons_of(work) == {1: {2: before[1][2]}, 3: {2: before[3][2]}}  # nothing repeats a document that is gone
    (work / "1_candidates" / "00003.parquet").unlink()
    assert prescreen(work, Against([], against.taken_out), HERE)  # without the evaluation set
    assert reasons_of(work) == {}
    assert screened == [[], [0], [0, 1]]
