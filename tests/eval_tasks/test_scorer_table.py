"""Every scorer with public code reads generated replies as that code does, or says why not.

`PEER_LMMS_EVAL=CHECKOUT PEER_VLMEVALKIT=CHECKOUT PEER_M4U=CHECKOUT python -m pytest -m slow` with this file.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scorer_table import compare, functions_of, lmms_rows, m4u_rows, replies, vlm_rows

PEERS = {"PEER_LMMS_EVAL": lmms_rows, "PEER_VLMEVALKIT": vlm_rows, "PEER_M4U": m4u_rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_replies_are_read_as_there(name: str) -> None:
    if not os.environ.get(name):
        pytest.skip(f"{name} names no checkout")
    for row in PEERS[name](Path(os.environ[name])):
        assert row.why or compare(row, 1000) == [], row.task


def test_functions_of_a_peer_run_alone_and_a_missing_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "peer.py").write_text("import nowhere\nLIMIT = 2\ndef f(x):\n    return len(x) < LIMIT\n")
    assert functions_of(tmp_path / "peer.py", ["f", "LIMIT"])["f"]("a")
    with pytest.raises(ValueError, match="no function g"):
        functions_of(tmp_path / "peer.py", ["g"])
    assert len(set(replies(1000))) > 800
