"""What is around a dialogue in a reply is stripped and named; what belongs to it stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcr_dataset.generate.parse import UnreadableReply, read_turns
from mmcr_dataset.generate.unwrap import unwrap

TURNS = [("<image 1> What is it?", "Image 1 shows a red kite."), ("Where?", "It hangs on a wall in image 1.")]


def dialogue(end: str = "") -> str:
    return "\n".join(
        f"< Human {n} >: {human}{end}\n< Assistant {n} >: {answer}{end}" for n, (human, answer) in enumerate(TURNS, 1)
    )


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        (dialogue(), ()),
        (f"<think>Let me see.\n{dialogue()}\nno, better:</think>\n\n{dialogue()}", ("thinking",)),
        (f"the template opened it\n</think>{dialogue()}", ("thinking",)),
        (f"<THINKING>a</THINKING> <reasoning>b</reasoning>\n{dialogue()}", ("thinking",)),
        (f"```\n{dialogue()}\n```", ("fence",)),
        (f"Sure, here it is:\n\n```text\n{dialogue()}\n```\nTell me if it fits.", ("opening_remark", "fence")),
        (f"~~~markdown\n{dialogue()}\n~~~", ("fence",)),
        (f"{dialogue()}\n```", ("fence",)),
        (f"{dialogue()}<|im_end|>", ("end_token",)),
        (f"{dialogue()}</s></s>\n", ("end_token",)),
        (f"{dialogue()}<|eot_id|><|start_header_id|>user<|end_header_id|>\nAnd more?", ("end_token",)),
        (dialogue(" <|end|>"), ("end_token",)),
        (f"{dialogue()}\n\n---\nAnything at all behind a rule.", ("closing_remark",)),
        (f"{dialogue()}\n\nLet me know if you want more turns!", ("closing_remark",)),
        (f"{dialogue()}\n\nI hope this conversation meets your requirements.\n", ("closing_remark",)),
        (f"{dialogue()}\n\n**Note:** every image is mentioned.", ("closing_remark",)),
        (f"{dialogue()}\n[End of conversation]", ("closing_remark",)),
        (dialogue().replace("\n< Human 2", "\n\n---\n\n< Human 2"), ("closing_remark",)),
        (f"```\n{dialogue()}\n```\n\nLet me know.<|im_end|>", ("fence",)),
        (f"{dialogue()}\n\n***\n", ("closing_remark",)),
        (f"\ufeff\u200b{dialogue()}", ()),
        (f"````\n{dialogue()}\n````", ("fence",)),
        (f"```{dialogue()}```", ()),
        (f"<output>{dialogue()}</output>", ("opening_remark",)),
        (f"\\boxed{{{dialogue()}}}", ("opening_remark",)),
        (f"<answer>\n{dialogue()}\n</answer>", ("opening_remark", "end_token")),
        (f"<|channel|>final<|message|>{dialogue()}<|return|>", ("opening_remark", "end_token")),
        (dialogue("<|end_of_box|>"), ("end_token",)),
        (f"{dialogue()}<pad><pad>[PAD]", ("end_token",)),
        (f"{dialogue()}<|im_start|>user\nAnd more?", ("end_token",)),
        (f"{dialogue()}\n[/INST] And more?", ("end_token",)),
        (dialogue().replace("\n< Human 2", "\n<think>what now?</think>\n< Human 2"), ("thinking",)),
        (dialogue().replace("It hangs", "<think>where?</think>It hangs"), ("thinking",)),
        (f"{dialogue()}\n\n(Word count: 42)\nTotal turns: 2", ("closing_remark",)),
        (f"{dialogue()}\n\nI've made sure that each image is mentioned. \U0001f60a\n\n\U0001f60a", ("closing_remark",)),
        (f"{dialogue()}\n\nIch hoffe, das hilft!", ("closing_remark",)),
        (f"{dialogue()}\n\n### Notes\n- The kite is in both turns.\n- No list.", ("closing_remark",)),
    ],
)
def test_what_is_around_the_dialogue_is_stripped_and_named(reply: str, names: tuple[str, ...]) -> None:
    assert read_turns(reply) == TURNS
    assert unwrap(reply)[1] == names


@pytest.mark.parametrize(
    "answer",
    [
        "Image 1 has a label:\n```\nkite 7\n```\nwhich names the model.",
        "Image 1 shows a kite.\n\nThe wall behind it is old.",
        "Let me know that image 1 is yours, the sign says.",
        "Image 1 shows the tag </think> on a screen.",
        "Image 1 shows - - a dash.\nIt ends there.",
        "Image 1 shows <|im_sep|>\nin a listing.",
        "Image 1 explains <think> and </thinking> as tags.",
        "Image 1 shows a heading.\n\n## Kites\nThey fly.",
    ],
)
def test_what_belongs_to_the_last_answer_stays(answer: str) -> None:
    assert read_turns(f"< Human 1 >: <image 1> Hm?\n< Assistant 1 >: {answer}") == [("<image 1> Hm?", answer)]


@pytest.mark.parametrize("reply", ["<think>\n< Human 1 >: a?\n< Assistant 1 >: b", "<think>I should"])
def test_a_reply_that_is_all_thinking_is_no_dialogue(reply: str) -> None:
    with pytest.raises(UnreadableReply, match="only_thinking"):
        read_turns(reply)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([dialogue(), "```\n", "</s>", "<think>", "</think>", "---\n", "x", "\n"])).map("".join))
def test_unwrapping_twice_is_unwrapping_once(reply: str) -> None:
    body, _ = unwrap(reply)
    assert len(body) <= len(reply)
    try:
        once = read_turns(reply)
    except UnreadableReply:
        return
    assert read_turns(body) == once
