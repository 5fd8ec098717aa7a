"""Several writers side by side: shares, the model of each row, one limit of the money, the same choice in every run."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.load import load_dialogues
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_dataset.test_pipeline import contents, good_reply

NUM = 60


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(NUM):
        (folder / f"{number}.png").write_bytes(image_bytes(number, (40, 40)))
        (folder / f"{number}.txt").write_text(f"This is the field number {number}. It has a long fence.")
    return folder


def settings(writers: str) -> WriterSettings:
    return WriterSettings("openai", Endpoint("http://127.0.0.1:1/v1", "a", max_in_flight=10), writers=writers)


def test_shares_are_reached_by_a_choice_that_only_the_id_determines() -> None:
    one = settings("a=0.7,http://127.0.0.1:2/v1#b=0.3")
    counts = Counter(one.endpoint_of(f"document {n}").model for n in range(10_000))
    assert 0.69 < counts["a"] / 10_000 < 0.71
    assert [(e.base_url, e.model, e.max_in_flight, s) for e, s in one.shares()] == [
        ("http://127.0.0.1:1/v1", "a", 7, 0.7),
        ("http://127.0.0.1:2/v1", "b", 3, 0.3),
    ]


@pytest.mark.parametrize(
    ("writers", "said"),
    [
        ("a", "expected MODEL=SHARE"),
        ("a=0", "expected MODEL=SHARE"),
        ("a=1,a=2", "each model once"),
        ("b=1,c=1", "the model a of --endpoint"),
        ("a=x", "expected MODEL=SHARE"),
        ("a=nan", "expected MODEL=SHARE"),
    ],
)
def test_shares_of_another_form_are_refused(writers: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(writers)


def test_each_row_says_who_wrote_it_and_the_card_how_many(source: Path, tmp_path: Path) -> None:
    def answer(model: str) -> FakeChatServer:
        return FakeChatServer(good_reply, model=model)

    with answer("a-2026") as a, answer("b-2026") as b:
        words = ["build", "--source", str(source), "--filter", "none", "--endpoint", f"{a.base_url}#a"]
        words += ["--writers", f"a=3,{b.base_url}#b=1", "--output_dir"]
        assert main([*words, str(tmp_path / "set")]) == 0
        assert main([*words, str(tmp_path / "again" / "set")]) == 0
        num = {"a-2026": len(a.requests) // 2, "b-2026": len(b.requests) // 2}
    models = Counter(str(one.generation.model) for one in load_dialogues(str(tmp_path / "set")))
    assert models == num
    assert sum(num.values()) == NUM
    assert 5 <= num["b-2026"] <= 25
    assert contents(tmp_path / "set") == contents(tmp_path / "again" / "set")
    card = (tmp_path / "set" / "README.md").read_text()
    assert f"`openai b-2026` ({num['b-2026'] / NUM:.1%})" in card


def test_one_limit_holds_for_all_writers_together(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    with FakeChatServer(lambda request: Answer(good_reply(request), usage=usage)) as server:
        words = ["build", "--source", str(source), "--filter", "none", "--endpoint", f"{server.base_url}#gpt-4o"]
        words += [
            "--writers",
            "gpt-4o=1,gpt-4o-mini=1",
            "--max_cost_usd",
            "0.08",
            "--output_dir",
            str(tmp_path / "set"),
        ]
        assert main(words) == 2
        assert "stopped before crossing --max_cost_usd" in capsys.readouterr().err
        asked = Counter(request["model"] for request in server.requests)
    assert asked.keys() == {"gpt-4o", "gpt-4o-mini"}
    assert asked["gpt-4o"] * 0.0035 + asked["gpt-4o-mini"] * 0.00021 <= 0.08
