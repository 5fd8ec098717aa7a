"""What a killed process had in flight counts as paid, once, and nothing else does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mmcr_dataset.endpoint.in_flight import InFlight
from mmcr_dataset.endpoint.ledger import Ledger, to_asked


def paid(path: Path) -> list[tuple[str, str, float]]:
    database = sqlite3.connect(path)
    rows = list(database.execute("SELECT key, reason, usd FROM paid ORDER BY key"))
    database.close()
    return rows


def test_requests_of_a_killed_process_are_paid_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        ledger.store(to_asked({"model": "m"}), "{}", 0.5).result()
    killed = InFlight(path)
    killed.end(killed.begin("stored", 0.25))
    killed.begin("lost", 0.125)
    with (tmp_path / "ledger.sqlite.in_flight").open("a") as file:
        file.write("+ cut no-end 9")  # killed while it noted it: not sent
    for _ in range(2):
        with Ledger(path) as ledger:
            assert ledger.totals().usd == pytest.approx(0.625)
    assert [row for row in paid(path) if row[1]] == [("lost", "killed_in_flight", 0.125)]
    assert not (tmp_path / "ledger.sqlite.in_flight").exists()


def test_notes_are_private_and_go_when_all_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        entry = ledger.in_flight.begin("key", 1.0)
        assert (tmp_path / "ledger.sqlite.in_flight").stat().st_mode & 0o077 == 0
        ledger.in_flight.end(entry)
    assert not (tmp_path / "ledger.sqlite.in_flight").exists()
    with Ledger(path) as ledger:
        assert ledger.totals().usd == 0
