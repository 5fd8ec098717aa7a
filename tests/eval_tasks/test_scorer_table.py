"""Every scorer with public code reads generated replies as that code does, or says why not.

`PEER_LMMS=CHECKOUT PEER_VLMEVALKIT=CHECKOUT PEER_M4U=CHECKOUT ... python -m pytest -m slow` with this file: PEER_ and
the name of a flag of `tests.scorer_table`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.peer_functions import functions_of, replies
from tests.scorer_table import PEERS, compare


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_replies_are_read_as_there(name: str) -> None:
    place = os.environ.get(f"PEER_{name.upper()}")
    if not place:
        pytest.skip(f"PEER_{name.upper()} names no checkout")
    for row in (row for read in PEERS[name] for row in read(Path(place))):
        assert row.why or compare(row, 1000) == [], row.task


def test_functions_of_a_peer_run_alone_and_a_missing_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("import nowhere\nLIMIT = 2\ndef f(x):\n    return len(x) < LIMIT\n")
    assert functions_of(tmp_path / "peer.py", ["f", "LIMIT"])["f"]("a")
    with pytest.raises(ValueError, match="no function g"):
        functions_of(tmp_path / "peer.py", ["g"])
    assert len(set(replies(1000))) > 800
