"""A key lives in the environment and nowhere else, whatever a run ends with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import planted_key
from tests.planted_key import OUTCOMES, PROGRAMS, TOKEN, search

FAST = [("build", "401"), ("build", "success"), ("build, batch", "401"), ("evaluate", "401"), ("publish", "401")]
ENDS_WELL = {"success", "verbose"}


def check(program: str, outcome: str, folder: Path) -> None:
    found = search(program, outcome, folder)
    assert found.hits == []
    said = (folder / "stderr").read_text()
    assert (found.code == 0) == (outcome in ENDS_WELL) or found.code == 1, said
    assert found.num_requests or PROGRAMS[program].on_hub, said


@pytest.mark.parametrize(("program", "outcome"), FAST)
def test_planted_key_is_found_nowhere(program: str, outcome: str, tmp_path: Path) -> None:
    check(program, outcome, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("program", PROGRAMS)
def test_planted_key_is_found_nowhere_after_any_outcome(program: str, outcome: str, tmp_path: Path) -> None:
    check(program, outcome, tmp_path)


def test_the_search_finds_a_key_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-of-this-test-alone"  # a search beside this one finds the other key only
    monkeypatch.setattr(planted_key, "KEY", key)
    program = PROGRAMS["publish"].__class__(
        f"this --flag {key}", lambda folder: (folder / "notes.txt").write_text(TOKEN)
    )
    monkeypatch.setitem(PROGRAMS, "leaks", program)
    hits = search("leaks", "success", tmp_path).hits
    assert "notes.txt" in hits
