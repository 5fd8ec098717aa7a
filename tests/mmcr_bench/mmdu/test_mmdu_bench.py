"""MMDU as a bench: one command to frozen files that our task and VLMEvalKit read; clusters judged; quality related."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.tasks.mmdu import samples
from mmcr_bench.__main__ import main
from mmcr_bench.freeze import check_frozen
from mmcr_bench.mmdu.accuracy import SOURCE_SHARES, Verdict, read_people, show_accuracy
from mmcr_bench.mmdu.asking import NoAnswer, read_object, show_cost
from mmcr_bench.mmdu.model_review import mark_items
from mmcr_bench.mmdu.quality import cluster_of
from mmcr_bench.review.calibration import add_calibration
from mmcr_bench.review.event_log import ReviewLog, export_lines, read_panel
from mmcr_bench.review.rewriting import rewrite_flagged
from mmcr_bench.review.rounds import Event, ReviewConflict
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.record.messages import Question
from tests.conftest import image_bytes
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.generate.test_long_dialogue import reply_to

ROOT = Path(__file__).resolve().parents[3]
CLONE = os.environ.get("PEER_VLMEVALKIT")
FLAGS = ["--writer", "offline", "--embedder", "offline", "--filter", "none", "--cluster_images_max", "6"]


def make(out: Path, *more: str) -> int:
    return main(["mmdu", "make", "--source", "made_wiki:40", "--output_dir", str(out / "set"), *FLAGS, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    assert make(out, "--items", "6") == 0
    return out


def test_one_command_makes_a_frozen_bench_that_loads(made: Path) -> None:
    from datasets import load_dataset

    bench = made / "set-bench"
    assert "every item matches" in check_frozen(bench)
    rows = load_dataset(str(bench), split="test")
    assert len(rows) == 6
    assert all(2 <= row["num_images"] <= 6 and row["num_turns"] >= 5 for row in rows)
    card = (bench / "README.md").read_text()
    assert "# MMDU bench" in card
    assert "Programs, not people, are 1 of them: rules:mmdu; people: 0." in card
    assert "| CC BY-SA 4.0 |" in card
    left = {dialogue.id for dialogue in load_dialogues(str(made / "set"))}
    assert not left & {row["id"] for row in rows}


@pytest.mark.parametrize("name", ["benchmark.json", "MMDU.tsv", "mmdu_pics"])
def test_changed_file_of_mmdus_form_is_found(name: str, made: Path, tmp_path: Path) -> None:
    bench = tmp_path / "bench"
    shutil.copytree(made / "set-bench", bench)
    path = next((bench / name).iterdir()) if name == "mmdu_pics" else bench / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=path.name):
        check_frozen(bench)


def test_both_forms_of_mmdu_hold_the_same_dialogues(made: Path) -> None:
    bench = made / "set-bench"
    from_folder = {sample.dialogue.id: sample.dialogue for sample in samples(str(bench), "official")}
    from_table = {sample.dialogue.id: sample.dialogue for sample in samples(str(bench / "MMDU.tsv"), "official")}
    assert from_folder == from_table
    ours = {dialogue.id: dialogue for dialogue in load_dialogues(str(bench), split="test")}
    assert {name.removeprefix("mmdu-") for name in from_folder} == ours.keys()
    for name, dialogue in from_folder.items():
        same = ours[name.removeprefix("mmdu-")]
        assert [turn.introduces for turn in dialogue.turns] == [turn.introduces for turn in same.turns]
        for read, written in zip(dialogue.turns, same.turns, strict=True):
            assert len(read.human) == len(written.human)
            for one, other in zip(read.human, written.human, strict=True):
                assert one == (other.replace("Image_", "Image ") if isinstance(other, str) else other)
        assert dialogue.references == same.references
        assert [image.data for image in dialogue.images] == [image.data for image in same.images]
    content = json.loads((bench / "benchmark.json").read_text())
    assert content[0].keys() == {"id", "conversations", "image"}
    assert content[0]["conversations"][0]["from"] == "user"


def test_frozen_version_is_not_replaced_and_a_draft_resumes(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(made, "--items", "6") == 2
    assert "immutable" in capsys.readouterr().err
    assert make(made, "--items", "6", "--bench", str(made / "again")) == 0
    assert (made / "again" / "benchmark.json").read_bytes() == (made / "set-bench" / "benchmark.json").read_bytes()


_LOADER = """
import sys, types, json
clone = sys.argv[1]
def stub(name, path=None, **values):
    module = types.ModuleType(name); module.__dict__.update(values)
    if path: module.__path__ = [path]
    sys.modules[name] = module
stub("validators", url=lambda text: False); stub("sty", fg=None)
stub("vlmeval", clone + "/vlmeval"); stub("vlmeval.dataset", clone + "/vlmeval/dataset")
stub("vlmeval.utils", track_progress_rich=None); stub("vlmeval.dataset.utils", clone + "/vlmeval/dataset/utils")
stub("vlmeval.dataset.utils.judge_util", build_judge=None)
from vlmeval.dataset.image_mt import MMDUDataset
MMDUDataset.DATASET_MD5 = {}  # of MMDU's own table
data = MMDUDataset("MMDU")
print(json.dumps([[str(data.data.iloc[n]["index"]), data.build_prompt(n)] for n in range(len(data))]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not CLONE, reason="PEER_VLMEVALKIT names no clone")
def test_vlmevalkits_own_loader_reads_the_table(made: Path, tmp_path: Path) -> None:
    """Its class runs as it is; stubs stand for packages that it imports and the loader doesn't use."""
    (tmp_path / "MMDU.tsv").write_bytes((made / "set-bench" / "MMDU.tsv").read_bytes())
    environment = os.environ | {"LMUData": str(tmp_path), "PYTHONPATH": str(CLONE)}
    found = subprocess.run(
        [sys.executable, "-c", _LOADER, str(CLONE)], env=environment, capture_output=True, text=True, check=True
    )
    read = json.loads(found.stdout.strip().splitlines()[-1])
    ours = {dialogue.id: dialogue for dialogue in load_dialogues(str(made / "set-bench"), split="test")}
    assert {name for name, _ in read} == ours.keys()
    for name, messages in read:
        dialogue = ours[name]
        assert [message["role"] for message in messages] == ["user", "assistant"] * len(dialogue.turns)
        files = [part["value"] for one in messages for part in one["content"] if part["type"] == "image"]
        assert len(files) == len(dialogue.images)
        asked = ["".join(p["value"] for p in one["content"] if p["type"] == "text") for one in messages[::2]]
        expected = ["".join(b for b in turn.human if isinstance(b, str)) for turn in dialogue.turns]
        assert asked == [text.replace("Image_", "Image ") for text in expected]
        assert [one["content"][0]["value"] for one in messages[1::2]] == list(dialogue.references)


def review_of(made: Path, path: Path) -> Path:
    assert main(["review", "start", str(path), str(made / "set-draft"), "--experts", "2", "--recipe", "mmdu"]) == 0
    return path


def test_model_marks_by_mmdus_criteria_and_unread_replies_stay_open(made: Path, tmp_path: Path) -> None:
    log = ReviewLog(review_of(made, tmp_path / "r.sqlite"))
    assert log.recipe == "mmdu"
    replies = iter(['{"flags": ["cluster"], "note": "a fish"}', "I like it.", '{"flags": ["precision"]}'])

    def answer(request: dict[str, Any]) -> str:
        return next(replies, 'Good.\n{"flags": [], "note": ""}')

    with FakeChatServer(answer) as server:
        marked = mark_items(log, f"{server.base_url}#m?", tmp_path / "ledger")
        images = [part for part in server.requests[0]["messages"][0]["content"] if part["type"] == "image_url"]
        assert 2 <= len(images) <= 6
    assert (marked.num_passed, marked.num_flagged) == (3, 1)
    assert marked.unread == {"no_object": 1, "unknown_criterion": 1}
    assert mark_items(log, "rules", tmp_path / "ledger").num_passed == 6


def test_review_keeps_its_recipe_and_refuses_the_criteria_of_another(made: Path, tmp_path: Path) -> None:
    log = ReviewLog(review_of(made, tmp_path / "r.sqlite"))
    name = next(iter(log.items()))
    with pytest.raises(ReviewConflict, match="unknown_criterion"):
        log.append(Event("marked", name, 1, "ann", 0.0, ("precision",)))
    log.append(Event("marked", name, 1, "ann", 0.0, ("image_relationship", "cluster")))
    assert read_panel(next(export_lines(log))).recipe == "mmdu"
    other = ReviewLog(tmp_path / "o.sqlite")
    other.add_dialogue(Event("opened", name, 1, "build", 0.0), log.dialogue(log.items()[name]))
    with pytest.raises(ReviewConflict, match="unknown_criterion"):
        other.append(Event("marked", name, 1, "ann", 0.0, ("cluster",)))


def test_people_judge_clusters_on_the_review_page(made: Path, tmp_path: Path) -> None:
    log = ReviewLog(review_of(made, tmp_path / "r.sqlite"))
    for place, name in enumerate(log.items()):
        log.append(Event("marked", name, 1, "ann", 0.0, ("cluster",) if place == 0 else ()))
        log.append(Event("marked", name, 1, "model:m", 0.0, ("cluster",)))
    verdicts = read_people(tmp_path / "r.sqlite")
    assert [one.right for one in verdicts] == [False, *[True] * 5]
    assert "| expert 1 | 6 | 83.3% |" in show_accuracy(verdicts, of_people=True)


def test_accuracy_by_known_topics_and_by_a_judge(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wiki = next(made.glob("set-wiki-*"))
    asked = [
        "mmdu",
        "accuracy",
        str(made / "set.work"),
        "--ledger",
        str(tmp_path / "l"),
        "--samples",
        "2",
        "--size",
        "4",
    ]
    assert main([*asked, "--topics", str(wiki / "topics.json")]) == 0
    assert "| all | 8 | 100.0% | 67.6% to 100.0% | 0 |" in capsys.readouterr().out
    replies = iter(['{"right": false, "odd": [2], "why": "a fish"}', "no idea"])
    with FakeChatServer(lambda _: next(replies, '{"right": true, "odd": [], "why": ""}')) as server:
        out = ["--output_file", str(tmp_path / "verdicts.jsonl"), "--judge", f"{server.base_url}#m"]
        assert main([*asked, *out]) == 0
        said = capsys.readouterr().out
        assert "| all | 8 | 75.0% |" in said
        assert f"{min(SOURCE_SHARES):.0%} to {max(SOURCE_SHARES):.0%}" in said
        assert main([*asked, *out]) == 0
        assert len(server.requests) == 8
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").open()]
    assert [line["right"] for line in lines].count(None) == 1
    assert main(asked) == 2


def test_accuracy_without_a_verdict_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 1 clusters has a verdict"):
        show_accuracy([Verdict("c", 1, None, "timeout")])


def test_quality_relates_scores_to_clusters(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from eval_tasks.__main__ import main as evaluate
    from mmcr_bench.judge.mmdu_rubric import MMDU_KEYS

    dialogues = list(load_dialogues(str(made / "set-bench"), split="test"))
    verdicts = tmp_path / "verdicts.jsonl"
    rows = [{"cluster": cluster_of(d), "sample": 1, "right": n > 0, "why": ""} for n, d in enumerate(dialogues)]
    verdicts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FakeChatServer(lambda body: repr(dict.fromkeys(MMDU_KEYS.values(), 7))) as server:
        asked = ["--model", f"lookup:{made}/set-bench", "--tasks", "mmdu", "--data", f"mmdu={made}/set-bench"]
        judge = ["--judge", f"api:{server.base_url}#m", "--output_dir", str(tmp_path / "run")]
        assert evaluate([*asked, *judge]) == 0
    capsys.readouterr()
    assert main(["mmdu", "quality", f"{made}/set.work", "--accuracy", str(verdicts), "--run", f"{tmp_path}/run"]) == 0
    said = capsys.readouterr().out
    assert (
        "| overall | 7.00 (5) | 7.00 (1) | not told: fewer than 5 on one side | not told: too few, or all alike |"
        in said
    )
    assert "6 dialogues, 6 of a judged cluster" in said


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('<think>{"right": true}</think> {"right": false}', {"right": False}),
        ('first {"a": 1} then {"right": true}', {"right": True}),
    ],
)
def test_last_object_of_a_reply_counts(reply: str, expected: dict[str, Any]) -> None:
    assert read_object(reply) == expected
    assert isinstance(read_object("{right: yes}"), NoAnswer)
    assert isinstance(read_object(base64.b64encode(reply.encode()).decode()), NoAnswer)


def test_draw_that_was_interrupted_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the bench on disk and the removal of its rows must leave no drawn row in the data set."""

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("mmcr_bench.build.remove_rows", killed)
        assert make(tmp_path, "--items", "5") == 130
    assert (tmp_path / "set-draft").is_dir()
    assert make(tmp_path, "--items", "5") == 0
    bench = {dialogue.id for dialogue in load_dialogues(str(tmp_path / "set-bench"), split="test")}
    assert len(bench) == 5
    assert not bench & {dialogue.id for dialogue in load_dialogues(str(tmp_path / "set"))}


def test_flagged_item_is_rewritten_or_replaced_until_it_passes(tmp_path: Path) -> None:
    """The second model flags one item in every version of it: it leaves the bench, with the reason."""
    flagged: list[str] = []

    def answer(request: dict[str, Any]) -> str:
        text = request["messages"][0]["content"][0]["text"]
        first = text.partition("The page of image 1")[2][:60] or "rewritten"
        if not flagged:
            flagged.append(first)
        return '{"flags": ["richness"], "note": "poor"}' if first in flagged else '{"flags": [], "note": ""}'

    with FakeChatServer(answer) as server:
        code = make(tmp_path, "--items", "5", "--reviewer", f"{server.base_url}#m")
    assert code == 0
    report = json.loads((tmp_path / "set-bench" / "frozen.json").read_text())
    assert report["marked_by_programs"] == ["model:m"]
    log = ReviewLog(tmp_path / "set-review.sqlite")
    kinds = [event.kind for event in log.events()]
    assert "regenerated" in kinds or "replaced" in kinds or "dropped" in kinds
    assert {item.status(1) for item in log.items().values()} <= {"passed", "dropped"}


def test_rewriting_tells_every_request_what_reviewers_found(made: Path, tmp_path: Path) -> None:
    log = ReviewLog(review_of(made, tmp_path / "r.sqlite"))
    item = next(iter(log.items().values()))
    for expert in ("ann", "bob"):
        log.append(Event("marked", item.name, 1, expert, 0.0, ("richness",), "says too little of the bridges"))
    with FakeChatServer(reply_to) as server:
        settings = WriterSettings("openai", Endpoint(server.base_url, "m"), recipe="mmdu")
        done = rewrite_flagged(log, settings, tmp_path / "ledger", made / "set", 0)
        asked = [request["messages"][0]["content"][0]["text"] for request in server.requests]
    assert done.num_regenerated == 1
    assert len(asked) == -(-len(log.dialogue(item).images) // 4) + 1
    assert all("richness: 2 of 2; says too little of the bridges" in text for text in asked)
    assert log.items()[item.name].version == 2


def test_planted_errors_break_criteria_of_mmdu(made: Path, tmp_path: Path) -> None:
    log = ReviewLog(review_of(made, tmp_path / "r.sqlite"))
    assert add_calibration(log, made / "set", 3, seed=0) == 3
    planted = [item.planted for item in log.items().values() if item.planted]
    assert len(planted) == 3
    assert all(set(flags) <= set(log.criteria) for flags in planted)


def test_report_draws_the_score_by_turn_images_and_length(made: Path, tmp_path: Path) -> None:
    from eval_tasks.__main__ import main as evaluate
    from eval_tasks.report.shape_curves import curve_of
    from eval_tasks.tasks.mmdu import TASK
    from mmcr_bench.judge.mmdu_rubric import MMDU_KEYS

    with FakeChatServer(lambda body: repr(dict.fromkeys(MMDU_KEYS.values(), 1 + len(str(body)) % 9))) as server:
        asked = ["--model", f"lookup:{made}/set-bench", "--tasks", "mmdu", "--data", f"mmdu={made}/set-bench"]
        assert evaluate([*asked, "--judge", f"api:{server.base_url}#m", "--output_dir", str(tmp_path / "run")]) == 0
    entry = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["mmdu"]
    by_turn = curve_of(entry, "overall", "turn")
    assert list(by_turn) == [str(n) for n in range(1, len(by_turn) + 1)]
    assert all(10 <= total["value"] <= 90 for total in by_turn.values())
    assert len(curve_of(entry, "overall", "images")) > 1
    assert TASK.figure is not None
    TASK.figure({"run": tmp_path / "run"}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert evaluate(["report", str(tmp_path / "run"), "--html", str(tmp_path / "report.html")]) == 0
    assert "data:image/png" in (tmp_path / "report.html").read_text()


def test_cost_of_questions_is_said_before_they_are_asked() -> None:
    asked = [Question("word " * 400, (DialogueImage(image_bytes(1)),))] * 10
    known = show_cost(Endpoint("http://127.0.0.1:1/v1", "gpt-4o"), asked)
    assert re.fullmatch(r"10 questions to gpt-4o: about 0\.0\d USD, at most 0\.1\d", known)
    assert "price is not known" in show_cost(Endpoint("http://127.0.0.1:1/v1", "m"), asked)
