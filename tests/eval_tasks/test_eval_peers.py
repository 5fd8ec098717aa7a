"""benchmarks.eval_peers, as far as it goes without the packages it compares with."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

from benchmarks import eval_peers
from benchmarks.eval_peers_side import joined
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from mmcr_dataset.record.messages import to_messages


def test_images_are_the_same_after_jpeg() -> None:
    """lmms-eval sends the images of a dialogue as JPEG of quality 85."""
    for tokens in (4, 25, 64):
        image = Image.open(io.BytesIO(eval_peers.grey_tiles(0, tokens)))
        assert image.size == (28 * tokens**0.5,) * 2
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(buffer)))


def test_joined_history_reads_as_the_messages_of_a_dialogue_do(tmp_path: Path) -> None:
    (sample,) = eval_peers.make_samples(tmp_path, 1, num_turns=4, num_images=2, num_words=3, image_tokens=4)
    replies = ["One.", " two "]
    images = tuple(DialogueImage(Path(place).read_bytes()) for place in sample["images"])
    turns = tuple(Turn(tuple(blocks), "reference") for blocks in sample["turns"])
    whole = to_messages(Dialogue("d", turns, images), ["One.", "two"])
    one = [{"type": "text", "text": b} if isinstance(b, str) else {"type": "image"} for b in joined(sample, replies)]
    template = jinja2.Environment(autoescape=False).from_string(eval_peers.TEMPLATE)
    expected = template.render(messages=whole, add_generation_prompt=True)
    assert template.render(messages=[{"role": "user", "content": one}], add_generation_prompt=True) == expected
    assert expected.count("<|image_pad|>") == 2


def test_number_of_image_tokens_that_is_no_square_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["eval_peers", "--image_tokens", "65"])
    with pytest.raises(SystemExit):
        eval_peers.main()
    assert "--image_tokens 65: expected a square number" in capsys.readouterr().err


@pytest.mark.slow
def test_missing_peers_are_named_and_ours_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--questions", "2", "--dialogues", "0", "--tokens", "2", "--image_tokens", "4", "--width", "64"]
    monkeypatch.setattr(sys, "argv", ["eval_peers", *small, "--vlmevalkit", "/nowhere/python"])
    eval_peers.main()
    said = capsys.readouterr().out
    assert "ours: " in said
    assert "lmms_eval: not measured; name an interpreter with --lmms_eval" in said
    assert "vlmevalkit: /nowhere/python can't be started: No such file or directory" in said
