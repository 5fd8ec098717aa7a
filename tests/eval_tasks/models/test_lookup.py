from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from eval_tasks.models.lookup import LookupModel
from eval_tasks.models.model import NoReply
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce


def dialogue(name: str, *turns: tuple[str, str]) -> Dialogue:
    (first, answer), *rest = turns
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    human = [Turn(introduce([1], first), answer), *(Turn((question,), said) for question, said in rest)]
    return Dialogue(name, tuple(human), (DialogueImage(file.getvalue()),))


@pytest.fixture
def model(tmp_path: Path) -> LookupModel:
    shown = [("What stands on the table?", "A cup."), ("What colour is the cup?", "Red."), ("And its size?", "Small.")]
    write_dataset([dialogue("a", *shown)], tmp_path / "train")
    return LookupModel(str(tmp_path / "train"))


def answer(model: LookupModel, question: str) -> str:
    return asyncio.run(model.reply(dialogue("b", (question, "?")), (), 16))


def test_lookup_gives_the_answer_of_the_question_that_shares_most_words(model: LookupModel) -> None:
    assert answer(model, "What colour is the large cup?") == "Red."
    assert answer(model, "And the size of it?") == "Small."


def test_lookup_a_question_without_a_common_word_has_no_reply(model: LookupModel) -> None:
    asked = Dialogue("b", (Turn(("Warum?",), "?"),), ())
    with pytest.raises(NoReply, match="nothing_similar"):
        asyncio.run(model.reply(asked, (), 16))
