"""The limit of a command on its judges: kept by each, by a panel together, and by nothing of unknown price."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmcr_bench.judge.judge import open_judge
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.judge.spending import Spending, is_own_machine, spending
from mmcr_dataset.endpoint.client import EndpointUnusable
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.record.dialogue import Dialogue
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.trust.test_judge_trust import verdict

PRICED = "gpt-4o-2024-08-06"


def score_ever_more(judge: Judge, dialogues: list[Dialogue]) -> None:
    """Ask about other replies again and again."""
    for number in range(200):
        judge.score(dialogues, [[f"{text} {number}" for text in one.references] for one in dialogues])


@pytest.mark.parametrize("num_judges", [1, 2])
def test_judges_stop_before_the_limit_is_crossed(
    num_judges: int, tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    dialogues = [make_dialogue(seed=seed) for seed in range(20)]
    with FakeChatServer(lambda request: verdict(8)) as server:
        spec = ",".join(f"api:{server.base_url}#{PRICED}{'-b' * number}" for number in range(num_judges))
        with spending(0.2, allow_unknown_price=False):
            judge = open_judge(spec, tmp_path / "ledger")
            with pytest.raises(EndpointUnusable, match="--max_cost_usd"):
                score_ever_more(judge, dialogues)
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.totals().usd <= 0.2


def test_unknown_price_is_refused_unless_allowed_or_free(tmp_path: Path) -> None:
    far, near = "api:https://host.example/v1#mystery", "api:http://127.0.0.1:9/v1#mystery"
    with spending(None, allow_unknown_price=False):
        assert open_judge(near, tmp_path / "ledger").name == "mystery"
        with pytest.raises(ValueError, match="its price is unknown"):
            open_judge(far, tmp_path / "ledger")
    with spending(1.0, allow_unknown_price=False), pytest.raises(ValueError, match="its price is unknown"):
        open_judge(near, tmp_path / "ledger")
    with spending(1.0, allow_unknown_price=True):
        assert open_judge(far, tmp_path / "ledger").name == "mystery"
    assert open_judge(far, tmp_path / "ledger").name == "mystery"  # no command, no limit


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_limit_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="expected 0 or more"):
        Spending(limit)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:80/v1", True),
        ("https://api.openai.com/v1", False),
        ("http://127.0.0.1.example.org/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_only_this_machine_is_free(url: str, own: bool) -> None:
    assert is_own_machine(url) is own
