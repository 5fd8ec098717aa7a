"""What `compare` calls significant, and the smallest difference it would find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from tests.fake_chat_server import FakeChatServer

NUM_SAMPLES = 40
DIGITS = '''"""Digits: each digit of a reply is the points of a metric of its own."""
from eval_tasks.rows.hub_rows import single_turn_dialogue
from eval_tasks.task import Sample, Task
from eval_tasks.totals import mean_total
METRICS = [f"digit_{n}" for n in range(6)]
def samples(data, rules):
    for n in range(40):
        yield Sample(single_turn_dialogue(f"s{n}", [], f"Which digits are in {n}?", "000000"), None, group=str(n))
def score(sample, replies, rules, verdict):
    return {metric: float(digit) for metric, digit in zip(METRICS, replies[0])}
def totals(scored, rules):
    return {metric: mean_total(scored, metric) for metric in METRICS}
TASK = Task("digits", "made here", samples, score, totals, rules=("own@1",))
'''


def test_metrics_of_a_task_are_corrected_for_their_number(
    tmp_path: Path, write_script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A gain on 4 of 40 samples has p = 0.04 alone: not enough where six metrics are looked at."""
    (tmp_path / "digits.py").write_text(DIGITS)
    said = {f"s{n}": [f"{int(n < 25)}{int(n < 4)}0000"] for n in range(NUM_SAMPLES)}
    for name, script in (("a", {"*": "000000"}), ("b", said)):
        ask = ["--model", write_script(script, f"{name}.json"), "--tasks", "digits", "--out", str(tmp_path / name)]
        assert main([*ask, "--tasks_from", str(tmp_path / "digits.py")]) == 0
    capsys.readouterr()
    compare = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--tasks_from", str(tmp_path / "digits.py")]
    assert main(compare) == 0
    table, note = capsys.readouterr().out.strip().split("\n\n")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    verdicts = {row[1]: row[5] for row in rows}
    assert verdicts["digit_0"] == "significant"
    assert {verdicts[f"digit_{n}"] for n in range(1, 6)} == {"not significant"}
    gain = next(row for row in rows if row[1] == "digit_1")
    assert gain[4].startswith("+10.00 [+0.28, +19.72]")  # its own interval leaves 0 out
    assert float(gain[6]) == pytest.approx(2.8 * 100 * (0.1 * 0.9 / NUM_SAMPLES) ** 0.5, rel=0.1)
    assert "Holm" in note


JUDGED = '''"""Judged: a chat model says 1 or 0 about each reply."""
from eval_tasks.rows.hub_rows import single_turn_dialogue
from eval_tasks.task import Sample, Task
from eval_tasks.totals import mean_total
def samples(data, rules):
    for n in range(3):
        yield Sample(single_turn_dialogue(f"s{n}", [], f"What is {n}?", "one"), None, group=str(n))
def score(sample, replies, rules, verdict):
    return {"right": {"1": 1.0, "0": 0.0}.get(verdict)}
def to_judge(sample, replies, rules):
    return f"Is {replies[0]!r} right?"
def totals(scored, rules):
    return {"right": mean_total(scored, "right")}
TASK = Task("judged", "made here", samples, score, totals, judge="chat", to_judge=to_judge, rules=("own@1",))
'''


def test_runs_with_other_replies_to_the_same_chat_judge_are_compared(
    tmp_path: Path, write_script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "judged.py").write_text(JUDGED)
    outside = ["--tasks_from", str(tmp_path / "judged.py")]
    with FakeChatServer(lambda request: str(int("one" in str(request)))) as server:
        for name, said in (("a", "two"), ("b", "one")):
            ask = ["--model", write_script({"*": said}, f"{name}.json"), "--tasks", "judged", *outside]
            ask += ["--judge", f"api:{server.base_url}#judge", "--out", str(tmp_path / name)]
            assert main(ask) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), *outside]) == 0
    assert "| judged | right | 0.00 | 100.00 | +100.00" in capsys.readouterr().out
