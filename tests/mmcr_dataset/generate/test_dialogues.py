"""Paid writers inside a build: what is said before it is paid, and a queue that stays full from shard to shard."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.collect import shards as collect_shards_module
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Endpoint, EndpointUnusable
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.prices import find_price
from mmcr_dataset.generate import run
from mmcr_dataset.generate.estimate import estimate
from mmcr_dataset.generate.shards import Row, Shards, write_shards
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.stage.stages import Removed
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_dataset.test_pipeline import folder, good_reply, openai  # noqa: F401  (folder is a fixture)


def candidate_of(number: int, num_images: int = 1) -> Candidate:
    images = tuple(DialogueImage(image_bytes(number * 10 + place)) for place in range(num_images))
    return Candidate(f"d{number}", (*range(1, num_images + 1), f"This is the field number {number}."), images)


def settings_of(server: FakeChatServer, **changes: Any) -> WriterSettings:
    return WriterSettings(
        "openai", Endpoint(server.base_url, "gpt-4o", max_in_flight=changes.pop("in_flight", 8)), **changes
    )


class Written:
    """Shards of candidates in memory, and what was written of them."""

    def __init__(self, sizes: list[int]) -> None:
        firsts = [sum(sizes[:place]) for place in range(len(sizes))]
        self.shards = [
            [candidate_of(first + n) for n in range(size)] for first, size in zip(firsts, sizes, strict=True)
        ]
        self.rows: dict[int, list[Row]] = {}

    def write(self, settings: WriterSettings, ledger: Path) -> None:
        shards = Shards(range(len(self.shards)), self.shards.__getitem__, self.rows.__setitem__)
        with Ledger(ledger) as open_ledger:
            write_shards(shards, settings, open_ledger, lambda spend: None)

    def kept(self) -> dict[int, int]:
        return {number: sum(not isinstance(row, Removed) for row in rows) for number, rows in self.rows.items()}


def test_write_shards_keeps_the_queue_full_over_their_borders(tmp_path: Path) -> None:
    """One answer of the first shard comes only after the last shard has begun: nobody waits for it."""
    begun: list[str] = []

    def reply(request: dict[str, Any]) -> Answer:
        text = request["messages"][0]["content"][0]["text"]
        begun.append(text)
        slow = "number 0." in text
        while slow and len(begun) < 10:
            asyncio.run(asyncio.sleep(0.01))
        return Answer(good_reply(request))

    with FakeChatServer(reply) as server:
        written = Written([3, 3, 0, 4])
        written.write(settings_of(server, in_flight=4), tmp_path / "l.sqlite")
    assert written.kept() == {0: 3, 1: 3, 2: 0, 3: 4}
    assert [row["id"] for row in written.rows[3] if isinstance(row, dict)] != []
    assert [*written.rows][-1] == 0


def test_write_shards_stopped_by_the_endpoint_keeps_whole_shards_and_what_was_in_flight(tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> Answer:
        text = request["messages"][0]["content"][0]["text"]
        return Answer("revoked", status=401) if "number 7." in text else Answer(good_reply(request), delay_s=0.1)

    with FakeChatServer(reply) as server:
        written = Written([3, 3, 3])
        with pytest.raises(EndpointUnusable, match="OPENAI_API_KEY"):
            written.write(settings_of(server, in_flight=9), tmp_path / "l.sqlite")
    assert written.kept() == {0: 3, 1: 3}
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.totals().num_answered == 8


def test_write_reply_cut_off_is_asked_once_more_with_twice_the_limit_and_paid_once(tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> Answer:
        if "number 1." not in request["messages"][0]["content"][0]["text"] or request["max_tokens"] == 200:
            return Answer(good_reply(request))
        return Answer("cut", finish_reason="length")

    with FakeChatServer(reply) as server:
        for _ in range(2):
            written = Written([3])
            written.write(settings_of(server, max_tokens=100), tmp_path / "l.sqlite")
            assert written.kept() == {0: 3}
        assert [request["max_tokens"] for request in server.requests].count(200) == 1
        assert len(server.requests) == 4


def test_estimate_counts_what_the_ledger_lacks_in_requests_tokens_and_money(tmp_path: Path) -> None:
    candidates = [candidate_of(0), candidate_of(1, 2), candidate_of(2), candidate_of(2)]
    with FakeChatServer(good_reply) as server:
        settings = settings_of(server)
        with Ledger(tmp_path / "l.sqlite") as ledger:
            cost = estimate([candidates[:2], candidates[2:]], settings, ledger)
        price = find_price("gpt-4o")
        assert price is not None
        assert (cost.num_to_pay, cost.num_known, cost.num_other) == (3, 0, 0)  # the last one is asked once
        assert cost.completion_tokens == 1400 + 3500 + 1400
        assert 4 * 255 + 2 * 700 < cost.prompt_tokens < 4 * 255 + 3 * 2000  # four images of one tile, three prompts
        assert cost.usd == pytest.approx(price.cost_usd(cost.prompt_tokens, cost.completion_tokens))
        assert cost.worst_case_usd is not None
        assert cost.usd < cost.worst_case_usd
        written = Written([1])
        written.write(settings, tmp_path / "l.sqlite")
        with Ledger(tmp_path / "l.sqlite") as ledger:
            cost = estimate([candidates], settings, ledger)
            batch = estimate([candidates], WriterSettings("openai-batch", settings.endpoint), ledger)
    assert (cost.num_to_pay, cost.num_known) == (2, 1)
    assert batch.usd == pytest.approx(cost.usd / 2)


def test_build_estimate_of_many_shards_is_made_from_some(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collect_shards_module, "DOCUMENTS_A_SHARD", 1)
    monkeypatch.setattr(run, "SHARDS_ESTIMATED", 4)
    with FakeChatServer(good_reply) as server:
        endpoint = f"{server.base_url}#gpt-4o-2024-11-20"
        assert openai(folder, tmp_path / "set", server, "--estimate", "--endpoint", endpoint) == 0
    said = capsys.readouterr().out
    assert "9 requests to gpt-4o-2024-11-20 (0 are in the ledger)" in said
    assert "(estimated from 3 of 9 shards)" in said


def test_build_estimate_says_the_cost_and_pays_nothing(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeChatServer(good_reply) as server:
        endpoint = f"{server.base_url}#gpt-4o-2024-11-20"
        assert openai(folder, tmp_path / "set", server, "--estimate", "--endpoint", endpoint) == 0
        assert server.requests == []
    said = capsys.readouterr().out
    assert "9 requests to gpt-4o-2024-11-20 (0 are in the ledger)" in said
    assert "USD, at most" in said
    assert not (tmp_path / "set").exists()


def test_build_ten_more_rows_pay_for_ten_and_a_changed_setting_says_what_it_costs_first(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeChatServer(good_reply) as server:
        assert openai(folder, tmp_path / "set", server) == 0
        for number in range(20, 30):
            (folder / f"{number}.png").write_bytes(image_bytes(number))
            (folder / f"{number}.txt").write_text(f"This is the field number {number} in autumn.")
        capsys.readouterr()
        assert openai(folder, tmp_path / "set", server) == 0
        assert len(server.requests) == 9 + 10
        said = capsys.readouterr()
        assert "10 requests to fake (9 are in the ledger)" in said.err
        assert "ATTENTION" not in said.err
        assert openai(folder, tmp_path / "set", server, "--temperature", "0.3", "--estimate") == 0
        assert len(server.requests) == 9 + 10
        said = capsys.readouterr()
    assert "temperature, max tokens, image size or detail changed since the last run" in said.err
    assert "19 answers in the ledger don't match any more, 19 requests are paid again" in said.err


def test_ledger_names_images_by_original_and_size_so_that_a_new_encoder_costs_nothing(tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        written = Written([1])
        written.write(settings_of(server, max_side_px=50), tmp_path / "l.sqlite")
        assert "data:image/jpeg;base64," in json.dumps(server.requests[0])
    stored = sqlite3.connect(tmp_path / "l.sqlite").execute("SELECT request FROM answered").fetchone()[0]
    assert f"data:sha256,{written.shards[0][0].images[0].sha256};max_side_px=50" in stored
