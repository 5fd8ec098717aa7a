"""Nine biases of multimodal judges: one that reads everything has none, one that reads the replies alone has them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmcr_bench.__main__ import main
from mmcr_bench.judge.judge import open_judge
from mmcr_bench.trust.judge_biases import BIASES, BiasReport, measure_biases
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import verdict

DIALOGUES = [patchwork_dialogue(f"d{number}", [patchwork(number)]) for number in range(6)]
LOWERED = {bias.name for bias in BIASES if bias.lowers}


def report(answer: Callable[[dict[str, Any]], str], tmp_path: Path, images: str = "?images=yes") -> BiasReport:
    with FakeChatServer(answer) as server:
        judge = open_judge(f"api:{server.base_url}#m{images}", tmp_path / "ledger")
        return measure_biases(judge, DIALOGUES)


def grey_fields(data: bytes) -> Any:
    image = Image.open(io.BytesIO(data)).convert("L").resize((8, 8), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.float64)


def is_alike(own: Any, other: Any) -> bool:
    return bool(other.std() > 1 and np.corrcoef(own.ravel(), other.ravel())[0, 1] > 0.8)


def looking_judge(request: dict[str, Any]) -> str:
    """Gives 9 where the questions are of the dialogue whose image it sees, else 1; 8 for every third dialogue."""
    content = [block for message in request["messages"] for block in message["content"] if isinstance(block, dict)]
    text = " ".join(block["text"] for block in content if block["type"] == "text")
    seen = [
        grey_fields(base64.b64decode(block["image_url"]["url"].partition(",")[2]))
        for block in content
        if block["type"] == "image_url"
    ]
    for number, dialogue in enumerate(DIALOGUES):
        own = grey_fields(dialogue.images[0].data)
        if f"picture 1 of d{number}?" in text and any(
            np.corrcoef(own.ravel(), one.ravel())[0, 1] > 0.8 for one in seen
        ):
            return verdict(8 if number % 3 == 0 else 9)
    return verdict(1)


def test_judge_that_looks_at_everything_has_no_bias(tmp_path: Path) -> None:
    found = report(looking_judge, tmp_path)
    assert [one.bias.name for one in found.results] == [bias.name for bias in BIASES]
    for one in found.results:
        assert one.value is not None
        assert one.value.value == 1.0, one.bias.name
        assert one.num_read == one.num_asked == 6
    assert found.skipped == {}


def test_judge_of_replies_alone_has_all_biases_that_lower(tmp_path: Path) -> None:
    found = report(lambda request: verdict(9), tmp_path)
    values = {one.bias.name: one.value.value for one in found.results if one.value is not None}
    assert {name for name, value in values.items() if value == 0.0} == LOWERED
    assert {name for name, value in values.items() if value == 1.0} == set(values) - LOWERED
    assert "a judge that says the same of everything" in found.show()


def test_one_bias_is_told_from_the_others(tmp_path: Path) -> None:
    def impressed(request: dict[str, Any]) -> str:
        return verdict(10) if "(Description of the image" in str(request["messages"]) else looking_judge(request)

    found = {one.bias.name: one for one in report(impressed, tmp_path).results}
    detail = found["detail description"]
    assert detail.change == pytest.approx(10 - (2 * 8 + 4 * 9) / 6)
    assert detail.value is not None
    assert detail.value.value == pytest.approx((2 * (1 - 2 / 7) + 4 * (1 - 1 / 8)) / 6)
    assert all(one.value is not None and one.value.value == 1 for name, one in found.items() if one is not detail)


def test_judge_without_images_is_asked_what_applies_and_unread_verdicts_are_counted(tmp_path: Path) -> None:
    found = report(lambda request: verdict(9) if "(no question)" not in str(request) else "?", tmp_path, images="")
    names = {one.bias.name: one for one in found.results}
    assert set(names) == {"image dominance", "instruction misalignment", "detail description"}
    assert names["image dominance"].value is None
    assert "unread" in found.show()
    assert found.unread == "no_verdict 6"
    assert "the judge sees no images" in found.skipped["text dominance"]


def test_references_are_withheld_and_nothing_is_judged_twice(tmp_path: Path) -> None:
    with FakeChatServer(lambda request: verdict(9)) as server:
        judge = open_judge(f"api:{server.base_url}#m?images=yes", tmp_path / "ledger")
        measure_biases(judge, DIALOGUES)
        assert all("T1| (no reference is given" in str(request) for request in server.requests)
        num_asked = len(server.requests)
        measure_biases(judge, DIALOGUES)
        assert len(server.requests) == num_asked


@pytest.mark.parametrize(("dialogues", "part"), [(DIALOGUES[:1], "at least two"), (DIALOGUES, "no verdict")])
def test_what_cannot_be_measured_is_an_error(dialogues: list[Dialogue], part: str, tmp_path: Path) -> None:
    with FakeChatServer(lambda request: "I would rather not.") as server:
        judge = open_judge(f"api:{server.base_url}#m", tmp_path / "ledger")
        with pytest.raises(ValueError, match=part):
            measure_biases(judge, dialogues)


def test_command_prints_the_table_and_a_limit_that_cannot_be_kept_stops_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(DIALOGUES, tmp_path / "bench", split="test")
    with FakeChatServer(looking_judge) as server:
        judge = f"api:{server.base_url}#m?images=yes"
        arguments = [
            "biases",
            str(tmp_path / "bench" / "single"),
            "--judge",
            judge,
            "--ledger",
            str(tmp_path / "ledger"),
        ]
        assert main([*arguments, "--max_cost_usd", "1"]) == 2
        assert "its price is unknown" in capsys.readouterr().err
        assert not server.requests
        assert main([*arguments, "--limit", "4"]) == 0
        assert 4 * len(BIASES) < len(server.requests) <= 4 * (1 + len(BIASES))  # black images are alike
    said = capsys.readouterr()
    assert "price unknown for 40 dialogues judged by m" in said.err
    assert "| texture insertion | words of the question in the image | stays (BC) | 1.00 [1.00, 1.00]" in said.out
